"""Numbers that a worker counted, and the operation that counts them: what slices and comparisons share.

What is counted while somebody waits is kept in the same way, so that the next look is immediate.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final, Protocol

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from completions.columns.changes import removed_after
from completions.models import Mirror, StoredCompletion
from datasets.models import Counts, DatasetVersion, Example
from portal import operations
from portal.crashpoints import crashpoint
from portal.models import Operation

AT_ONCE: Final = 10_000  # verdicts that are counted while a page is waited for, about half a second
_LOOKED: Final = 10_000  # completions that became others; of more it is not asked which
State = Operation.State


class Counting(Protocol):
    """A count that goes on while it may; `done` items are counted."""

    done: int

    def go_on(self, may_go_on: Callable[[], bool]) -> bool:
        """True once every item is counted."""
        ...


def key_of(*told: Any) -> str:
    """The key of numbers that depend on all this."""
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()


def read(key: str) -> Counts | None:
    found: Counts | None = Counts.objects.filter(key=key).first()
    return found


def keep(key: str, data: bytes, seen: Mapping[str, Any] | None = None, **of: Any) -> None:
    """Keep what was counted of a run or of a comparison; whoever counts it twice keeps the same."""
    packed = {"data": zlib.compress(data, 1), "seen": dict(seen or {})}
    with transaction.atomic():
        Counts.objects.update_or_create(key=key, defaults=packed, create_defaults={**packed, **of})


def data_of(kept: Counts) -> bytes:
    return zlib.decompress(bytes(kept.data))


def pack(told: Mapping[str, Any], **arrays: NDArray[Any]) -> bytes:
    """Plain data and arrays of numbers as one file, which holds nothing that could be run."""
    file = BytesIO()
    parts: dict[str, Any] = {"told": np.frombuffer(json.dumps(told).encode(), np.uint8), **arrays}
    np.savez(file, allow_pickle=False, **parts)
    return file.getvalue()


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What `pack` was given; keys of mappings are texts then."""
    with np.load(BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(arrays.pop("told").tobytes()), arrays


def seen_now(version: DatasetVersion) -> dict[str, Any]:
    """How far the mirrors are that the items come from; ask before counting."""
    connections = version.connections.values_list("pk", flat=True)
    changes = Mirror.objects.filter(connection__in=list(connections)).values_list("connection_id", "change")
    return {"changes": {str(pk): change for pk, change in changes}, "linked": _linked(version)}


def has_changed(version: DatasetVersion, seen: Mapping[str, Any]) -> bool:
    """Whether a completion of the items became another one since, was reviewed, or is gone."""
    before = seen.get("changes", {})
    connections = version.connections.values_list("pk", flat=True)
    for pk, change in Mirror.objects.filter(connection__in=list(connections)).values_list(
        "connection_id", "change"
    ):
        known = before.get(str(pk), 0)
        if known == change:
            continue
        others = StoredCompletion.objects.filter(connection=pk, change__gt=known)
        ids = list(others.values_list("pk", flat=True)[: _LOOKED + 1])
        if len(ids) > _LOOKED or Example.objects.filter(version=version, completion__in=ids).exists():
            return True
        if len(removed_after(pk, known)) and _linked(version) != seen.get("linked"):
            return True
    return False


def _linked(version: DatasetVersion) -> int:
    return int(Example.objects.filter(version=version, completion__isnull=False).count())


def begin(kind: str, key: str, *, again: bool = False, **options: Any) -> Operation:
    """The operation that counts what is missing: the live one, the one that failed, else a new one.

    One that failed is begun anew only when somebody asks for it, `again`.
    """
    last: Operation | None = Operation.objects.filter(kind=kind, dedupe_key=key).order_by("-id").first()
    if last is not None and (last.is_live or (last.state != State.DONE and not again)):
        return last
    with transaction.atomic():
        return operations.begin(kind, dedupe_key=key, **options)


def go_on(work: operations.Working, counting: Counting, total: int) -> bool:
    """Count for as long as a step may; True once every item is counted."""

    def may_go_on() -> bool:
        crashpoint(f"{work.operation.kind}.counted")
        with transaction.atomic():
            work.advance(step="counting", done=counting.done, total=total)
        if work.cancelled():
            raise operations.Cancelled
        return work.time_left()

    return counting.go_on(may_go_on)
