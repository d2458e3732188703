"""Metadata keys that a filter names and that no completion has: most often a slip of the hand."""

from dataclasses import dataclass
from difflib import get_close_matches

from completions import observed
from completions.filters import Filter
from completions.listing import Listing
from completions.models import Term

MOST_KEYS = 1_000  # keys that a slip is compared with


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """A key that nobody has, the one probably meant, and the filter with it; empty if none is near."""

    key: str
    near: str
    instead: Filter | None


def unknown_keys(listing: Listing) -> list[UnknownKey]:
    """Those of the listing's filter, looked for on every connection that the person may read."""
    asked = {
        clause.key: clause.field_name[1]
        for clause in listing.wanted.leaves()
        if clause.key is not None and not clause.negated
    }
    if not asked:
        return []
    on = [each.pk for each in listing.readable]
    known = Term.objects.filter(connection__in=on, kind=Term.Kind.FIELD, key__in=asked.values(), n__gt=0)
    held = set(known.values_list("key", flat=True))
    missing = [key for key, name in asked.items() if name not in held]
    if not missing:
        return []
    by_folded = {each.text.casefold(): each.text for each in observed.keys(on, limit=MOST_KEYS)}
    return [_unknown(listing.wanted, key, by_folded) for key in missing]


def _unknown(wanted: Filter, key: str, by_folded: dict[str, str]) -> UnknownKey:
    found = get_close_matches(key.casefold(), by_folded, 1, 0.6)
    if not found:
        return UnknownKey(key, "", None)
    near = by_folded[found[0]]
    return UnknownKey(key, near, wanted.renamed(key, near))
