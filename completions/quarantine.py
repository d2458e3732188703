"""Items of a page that no row can be made of: kept aside once each, and let go when they can be stored."""

import zlib
from collections import Counter
from collections.abc import Collection, Sequence

from django.db.models import F
from django.utils import timezone

from completions.models import Quarantine
from completions.readings import Unstorable, clean, digest_of

KEPT_BYTES = 1_000_000


def set_aside(connection_id: int, items: Sequence[Unstorable]) -> int:
    """Keep these, each once however often it is met; returns how many were not known before."""
    by_digest = {digest_of(item.raw): item for item in items}
    met = Counter(digest_of(item.raw) for item in items)
    known = dict(
        Quarantine.objects.filter(connection_id=connection_id, digest__in=by_digest).values_list(
            "digest", "pk"
        )
    )
    for digest, pk in known.items():
        Quarantine.objects.filter(pk=pk).update(
            seen=F("seen") + met[digest], last_seen=timezone.now(), reason=by_digest[digest].reason[:300]
        )
    fresh = [digest for digest in by_digest if digest not in known]
    Quarantine.objects.bulk_create(
        Quarantine(
            connection_id=connection_id,
            upstream_id=_fit(by_digest[digest].upstream_id),
            digest=digest,
            raw=zlib.compress(by_digest[digest].raw[:KEPT_BYTES], 3),
            reason=by_digest[digest].reason[:300],
            seen=met[digest],
        )
        for digest in fresh
    )
    return len(fresh)


def release(connection_id: int, upstream_ids: Collection[str]) -> int:
    """Forget items that have been stored after all."""
    gone, _ = Quarantine.objects.filter(connection_id=connection_id, upstream_id__in=upstream_ids).delete()
    return gone


def text_of(item: Quarantine) -> str:
    """What was received, as text for a person to look at."""
    return zlib.decompress(bytes(item.raw)).decode("utf-8", "replace")


def _fit(upstream_id: str | None) -> str | None:
    return None if upstream_id is None else clean(upstream_id)[:200]
