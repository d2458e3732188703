"""Metadata keys that a filter names and that no completion has: most often a slip of the hand."""

from dataclasses import dataclass, replace
from difflib import get_close_matches

from completions.filters import Filter
from completions.listing import Listing
from completions.models import Term
from completions.readings import term_of


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """A key that nobody has, the one probably meant, and the filter with it; empty if none is near."""

    key: str
    near: str
    instead: Filter | None


def unknown_keys(listing: Listing) -> list[UnknownKey]:
    """Those of the listing's filter, looked for on every connection that the person may read."""
    asked = dict.fromkeys(
        clause.key for clause in listing.wanted.clauses if clause.key is not None and not clause.negated
    )
    known = Term.objects.filter(
        connection__in=[each.pk for each in listing.readable], kind=Term.Kind.METADATA, n__gt=0
    )
    missing = [key for key in asked if not known.filter(key=term_of(key, "")[0]).exists()]
    if not missing:
        return []
    by_folded = {
        key.casefold(): key for key in known.order_by("key").values_list("key", flat=True).distinct()
    }
    return [_unknown(listing.wanted, key, by_folded) for key in missing]


def _unknown(wanted: Filter, key: str, by_folded: dict[str, str]) -> UnknownKey:
    found = get_close_matches(key.casefold(), by_folded, 1, 0.6)
    if not found:
        return UnknownKey(key, "", None)
    near = by_folded[found[0]]
    clauses = tuple(replace(clause, key=near) if clause.key == key else clause for clause in wanted.clauses)
    return UnknownKey(key, near, replace(wanted, clauses=clauses))
