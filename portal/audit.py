"""Write and verify the audit trail: an explicit call beside the change, in the same transaction."""

import hashlib
import json
from datetime import UTC
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal.models import AuditEntry, AuditHead

GENESIS = "0" * 64


def record(
    actor: Any,
    verb: str,
    target: Any = None,
    *,
    connection: Any = None,
    **details: str | int | float | bool | None,
) -> AuditEntry:
    """Append one deed to the chain.

    `actor` is a User or None (the system), `verb` reads "<noun>.<past tense>" ("dataset.created"), `target`
    any model instance. `details` are small plain values: never a secret, never the text of a completion. Must
    run inside the transaction of the change it describes; the head row is locked until that transaction ends.
    """
    with transaction.atomic():
        head = AuditHead.objects.select_for_update().filter(pk=1).first()
        if head is None:
            AuditHead.objects.bulk_create([AuditHead(pk=1, digest=GENESIS)], ignore_conflicts=True)
            head = AuditHead.objects.select_for_update().get(pk=1)
        entry = AuditEntry(
            at=timezone.now(),
            actor=actor,
            actor_name=str(actor) if actor is not None else "system",
            verb=verb,
            connection=connection,
            target_type=target._meta.label_lower if target is not None else "",
            target_id=str(target.pk) if target is not None else "",
            target_name=str(target)[:200] if target is not None else "",
            details=details,
            previous=head.digest,
        )
        entry.digest = seal(entry)
        entry.save(force_insert=True)
        head.digest = entry.digest
        head.save(update_fields=["digest"])
        return entry


def seal(entry: AuditEntry) -> str:
    """SHA-256 over the previous digest and the entry's canonical text, without foreign keys."""
    body = json.dumps(
        [
            entry.previous,
            entry.at.astimezone(UTC).isoformat(),
            entry.actor_name,
            entry.verb,
            entry.target_type,
            entry.target_id,
            entry.target_name,
            entry.details,
        ],
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
    )
    return hashlib.sha256(body.encode()).hexdigest()


def verify() -> tuple[int, int | None]:
    """Walk the chain: (entries checked, id of the first broken entry or None)."""
    previous, checked = GENESIS, 0
    for entry in AuditEntry.objects.order_by("id").iterator(chunk_size=1000):
        if entry.previous != previous or seal(entry) != entry.digest:
            return checked, entry.pk
        previous, checked = entry.digest, checked + 1
    head = AuditHead.objects.filter(pk=1).first()
    if head is not None and head.digest != previous:
        last: Any = AuditEntry.objects.order_by("-id").first()
        return checked, last.pk if last else 0
    return checked, None
