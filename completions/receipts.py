"""Receipts of orders: who asked for what and when, and each id once with the answer that ended it.

A receipt is a file, with its SHA-256 kept beside it; it stays when the rows, the selection and the operation
are long gone.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any

from django.core.files import File
from django.core.files.storage import storages
from django.db import transaction
from django.utils import timezone

from completions import ledger
from completions.models import ChangeOrder, UpstreamChange
from portal import operations
from portal.models import Connection, Operation
from portal.operations import Done, Outcome, Working
from portal.progress import name_results

KIND = "completions.receipt"
FORMAT = 1
State = UpstreamChange.State

name_results(
    {"ended": "Done", "failed": "Failed", "conflicts": "In conflict", "nobody_knows": "Nobody knows"}
)


def results(made: ChangeOrder) -> dict[str, Any]:
    """What its operation says at the end."""
    found = ledger.counts(made)
    return {
        "ended": found.get(State.DONE, 0),
        "failed": found.get(State.FAILED, 0),
        "conflicts": found.get(State.CONFLICT, 0),
        "nobody_knows": found.get(State.UNKNOWN, 0),
        "sha256": made.receipt_sha256,
    }


def write(made: ChangeOrder) -> None:
    """Write the receipt as things stand now, in place of an earlier one."""
    digest, size = hashlib.sha256(), 0
    with tempfile.TemporaryFile() as file:
        for value in chain([_head(made)], _lines(made)):
            size += _put(file, digest, value)
        file.seek(0)
        name = f"receipts/{made.pk}-{digest.hexdigest()[:12]}.jsonl"
        storage = storages["artifacts"]
        if storage.exists(name):  # a worker that died had written the same
            storage.delete(name)
        saved = storage.save(name, File(file, name=name))
    before = made.receipt
    made.receipt, made.receipt_sha256, made.receipt_size = saved, digest.hexdigest(), size
    made.receipt_at = timezone.now()
    with transaction.atomic():
        made.save(update_fields=["receipt", "receipt_sha256", "receipt_size", "receipt_at"])
        if before and before != saved:
            transaction.on_commit(lambda: storage.delete(before), robust=True)


def _put(file: IO[bytes], digest: Any, value: dict[str, Any]) -> int:
    line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
    digest.update(line)
    return file.write(line)


def _head(made: ChangeOrder) -> dict[str, Any]:
    sources = made.connections.order_by("slug").values_list("slug", "name", "base_url")
    found = ledger.counts(made)
    return {
        "receipt": made.get_kind_display(),
        "format": FORMAT,
        "number": made.pk,
        "by": made.requested_by_name,
        "asked": made.created.isoformat(),
        "written": timezone.now().isoformat(),
        "where": made.get_mode_display(),
        **({} if made.deletes else {"wanted": made.wanted, "providers": made.does}),
        "filter": made.q,
        "selection": made.described,
        "selected": made.count,
        "connections": [{"slug": slug, "name": name, "address": url} for slug, name, url in sources],
        "counts": {state.label: found[state] for state in State if state in found},
    }


def _lines(made: ChangeOrder) -> Iterator[dict[str, Any]]:
    slugs = dict(Connection.objects.filter(change_orders=made).values_list("pk", "slug"))
    for row in made.changes.order_by("id").iterator(chunk_size=2000):
        line = {
            "connection": slugs.get(row.connection_id, ""),
            "id": row.upstream_id,
            "outcome": row.get_state_display(),
            "status": row.status,
            "at": row.at.isoformat() if row.at else None,
        }
        if not made.deletes:
            line |= {"before": row.before, "found": row.found}
        yield line | {name: text for name in ("note", "error") if (text := getattr(row, name))}


def write_later(operation: Operation) -> None:
    """An order that failed or was cancelled has a receipt too: of what was done until then."""
    made = ChangeOrder.objects.filter(pk=operation.cursor.get("order")).first()
    if made is not None:
        operations.begin(
            KIND,
            title=f"Receipt: {operation.title}",
            dedupe_key=str(made.pk),
            connection=operation.connection,
            requested_by=operation.requested_by,
            subject=made,
            cursor={"order": made.pk},
        )


@operations.handler(KIND, queue="house")
def run(work: Working) -> Outcome:
    """Write what has become of an order that did not come to its end."""
    made = ledger.of(work)
    if made is None:
        return Done()
    if made.operation is None or not made.operation.is_live:
        with transaction.atomic():
            made.changes.filter(state=State.SENT).update(
                state=State.UNKNOWN, unsure=True, error="The work stopped while the request was under way."
            )
            work.advance()
    write(made)
    return Done(results(made))
