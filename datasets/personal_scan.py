"""What personal data a selection holds: counted over all of its rows, before anything is replaced.

A tally keeps numbers and the ids of examples, never what was found: whoever looks reads it again from the
completions, so that it is gone when they are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from time import monotonic
from typing import Any, Final, Self

from django.conf import settings
from django.db import transaction

from completions import selection
from datasets.build.lines import Refusal
from datasets.build.own_patterns import TooMany
from datasets.build.personal import Hit, Scanner
from datasets.build.taking import Sources, Taken
from datasets.models import DatasetVersion
from datasets.recipe import PERSONAL, Personal
from portal import operations
from portal.crashpoints import crashpoint
from portal.models import Operation

KIND: Final = "dataset.personal"
CHUNK: Final = 100
SAMPLE: Final = 200  # rows that are looked at while a page is waited for
SAMPLE_SECONDS: Final = 2.0
EXAMPLES: Final = 3  # completions of one value
KEPT: Final = 200  # values of one kind, those that occur most often
Patterns = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Value:
    """How often one value was found, in how many rows, and the first of them."""

    times: int = 0
    rows: int = 0
    examples: list[int] = field(default_factory=list)
    what: str = ""


@dataclass(slots=True)
class OfKind:
    """What was found of one kind. Not `whole`: values that were seldom found were forgotten."""

    times: int = 0
    rows: int = 0
    values: dict[str, Value] = field(default_factory=dict)
    whole: bool = True


@dataclass(slots=True)
class Tally:
    """What was found in so many rows; `unread` of them could not be looked through."""

    rows: int = 0
    unread: int = 0
    kinds: dict[str, OfKind] = field(default_factory=dict)

    def add(self, completion: int, hits: Iterable[Hit]) -> None:
        """Count what one row holds."""
        seen: set[tuple[str, str]] = set()
        for hit in hits:
            of_kind = self.kinds.setdefault(hit.kind, OfKind())
            key = key_of(hit)
            value = of_kind.values.setdefault(key, Value(what=hit.what))
            of_kind.times += 1
            value.times += 1
            if (hit.kind, "") not in seen:
                of_kind.rows += 1
            if (hit.kind, key) not in seen:
                value.rows += 1
                value.examples = [*value.examples, completion][:EXAMPLES]
            seen |= {(hit.kind, ""), (hit.kind, key)}

    def forget(self) -> None:
        """Keep the values that were found most often, so that a tally stays small."""
        for of_kind in self.kinds.values():
            if len(of_kind.values) > KEPT:
                of_kind.values, of_kind.whole = dict(most(of_kind.values, KEPT)), False

    def as_data(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "unread": self.unread,
            "kinds": {
                kind: {
                    "times": each.times,
                    "rows": each.rows,
                    "whole": each.whole,
                    "values": {
                        key: [value.times, value.rows, value.examples, value.what]
                        for key, value in each.values.items()
                    },
                }
                for kind, each in self.kinds.items()
            },
        }

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        kinds = {
            kind: OfKind(
                each["times"],
                each["rows"],
                {key: Value(*value) for key, value in each["values"].items()},
                each["whole"],
            )
            for kind, each in data.get("kinds", {}).items()
        }
        return cls(data.get("rows", 0), data.get("unread", 0), kinds)


def most(values: Mapping[str, Value], count: int) -> list[tuple[str, Value]]:
    """The values that were found most often."""
    return sorted(values.items(), key=lambda entry: (-entry[1].times, entry[0]))[:count]


def key_of(hit: Hit) -> str:
    """What stands for a value where the value itself is not to be kept."""
    key = settings.SECRET_KEY.encode()[:64]
    return blake2b(f"{hit.kind}\0{hit.value}".encode("utf-8", "replace"), digest_size=9, key=key).hexdigest()


def scanner_for(patterns: Patterns) -> Scanner:
    """One that looks for every kind and for these patterns."""
    return Scanner(Personal(kinds=tuple(PERSONAL), patterns=patterns))


def look(tally: Tally, taken: Iterable[Taken], scanner: Scanner) -> None:
    """Count what some rows hold."""
    for each in taken:
        tally.rows += 1
        hits = None if isinstance(each.material, Refusal) else found_in(scanner, each)
        if hits is None or each.completion is None:
            tally.unread += 1
        else:
            tally.add(each.completion, hits)


def found_in(scanner: Scanner, taken: Taken) -> list[Hit] | None:
    """What a row holds; None where it cannot be looked through."""
    assert not isinstance(taken.material, Refusal)
    try:
        return scanner.hits_of_row(taken.material)
    except (TooMany, RecursionError):
        return None


def sample(version: DatasetVersion, patterns: Patterns) -> Tally:
    """What some rows hold, spread over the selection; of a small one that is all rows."""
    tally, scanner, until = Tally(), scanner_for(patterns), monotonic() + SAMPLE_SECONDS
    sources = Sources.of(version)
    for some in _chunks(_spread(version), 25):
        look(tally, sources.take(some), scanner)
        if monotonic() > until:
            break
    return tally


def _spread(version: DatasetVersion) -> list[int]:
    frozen = version.frozen_selection
    if frozen is None:
        return []
    every = max(1, frozen.count // SAMPLE)
    return list(islice(selection.ids_of(frozen), 0, every * SAMPLE, every))


def _chunks(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(ids), size):
        yield ids[first : first + size]


# All rows, as an operation.


def begin(version: DatasetVersion, patterns: Patterns, user: Any) -> Operation:
    """Begin to look through all rows; the operation that does it already, or did, if there is one."""
    done = newest(version, patterns)
    if done is not None and (done.is_live or done.state == Operation.State.DONE):
        return done
    sources = list(version.connections.all()[:2])
    with transaction.atomic():
        return operations.begin(
            KIND,
            title=f"Look for personal data in {version.dataset}"[:200],
            dedupe_key=_key(version, patterns),
            connection=sources[0] if len(sources) == 1 else None,
            requested_by=user,
            subject=version,
            cursor={"position": 0, "patterns": [list(pattern) for pattern in patterns], "tally": {}},
        )


def newest(version: DatasetVersion, patterns: Patterns) -> Operation | None:
    """The newest operation that looked through the rows of this version for these patterns."""
    found: Operation | None = _of(version).filter(dedupe_key=_key(version, patterns)).order_by("-id").first()
    return found


def of_number(version: DatasetVersion, number: str) -> Operation | None:
    """An operation of this version by its number in an address."""
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        return None
    found: Operation | None = _of(version).filter(pk=int(number)).first()
    return found


def _of(version: DatasetVersion) -> Any:
    return Operation.objects.filter(
        kind=KIND, subject_type=version._meta.label_lower, subject_id=str(version.pk)
    )


def _key(version: DatasetVersion, patterns: Patterns) -> str:
    digest = blake2b(repr((str(version.frozen_selection_id), patterns)).encode(), digest_size=12).hexdigest()
    return f"version:{version.pk}:{digest}"


def patterns_of(operation: Operation) -> Patterns:
    """The patterns that an operation looks for."""
    return tuple((name, expression) for name, expression in operation.cursor.get("patterns", []))


def tally_of(operation: Operation) -> Tally:
    """What an operation has found so far."""
    return Tally.read(operation.cursor.get("tally", {}))


@operations.handler(KIND, queue="dataset")
def run(work: operations.Working) -> operations.Done | operations.Again:
    """One step of looking through all rows."""
    version = _version_of(work.operation)
    frozen = version.frozen_selection
    assert frozen is not None
    cursor = dict(work.operation.cursor)
    tally, scanner = Tally.read(cursor["tally"]), scanner_for(patterns_of(work.operation))
    sources, ids = Sources.of(version), islice(selection.ids_of(frozen), cursor["position"], None)
    while chunk := list(islice(ids, CHUNK)):
        if work.cancelled():
            raise operations.Cancelled
        if not work.time_left():
            return operations.Again()
        look(tally, sources.take(chunk), scanner)
        tally.forget()
        cursor |= {"position": cursor["position"] + len(chunk), "tally": tally.as_data()}
        crashpoint("dataset.personal.looked")
        with transaction.atomic():
            work.advance(cursor=dict(cursor), step="looking", done=cursor["position"], total=frozen.count)
    return operations.Done({"rows": tally.rows, "found": sum(each.times for each in tally.kinds.values())})


def _version_of(operation: Operation) -> DatasetVersion:
    versions = DatasetVersion.objects.select_related("frozen_selection")
    version: DatasetVersion | None = versions.filter(pk=operation.subject_id).first()
    if version is None or version.frozen_selection is None:
        raise operations.Failed("gone", "The dataset or its selection was deleted.")
    if not DatasetVersion.objects.actionable_by(operation.requested_by).filter(pk=version.pk).exists():
        raise operations.Failed("forbidden", "Whoever started this may no longer act on every source.")
    return version
