"""Metadata keys and labels that a filter names and that no completion has: most often a slip of the hand."""

from dataclasses import dataclass
from difflib import get_close_matches

from completions import observed
from completions.filters import Clause, Filter
from completions.filters.language import write_name
from completions.listing import Listing
from completions.models import Label, Term

MOST_KEYS = 1_000  # keys that a slip is compared with


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """A key that nobody has, the one probably meant, and the filter with it; empty if none is near.

    `what` says what it is, “key” or “label”.
    """

    what: str
    key: str
    near: str
    instead: Filter | None


def unknown_keys(listing: Listing) -> list[UnknownKey]:
    """Those of the listing's filter, looked for on every connection that the person may read."""
    asked = {
        clause.name: clause
        for clause in listing.wanted.leaves()
        if clause.key is not None and not clause.negated
    }
    if not asked:
        return []
    on = [each.pk for each in listing.readable]
    names = [clause.field_name[1] for clause in asked.values()]
    known = Term.objects.filter(connection__in=on, kind=Term.Kind.FIELD, key__in=names, n__gt=0)
    held = set(known.values_list("key", flat=True))
    missing = [clause for clause in asked.values() if clause.field_name[1] not in held]
    near: dict[str, dict[str, str]] = {}
    for field in {clause.field for clause in missing}:
        there = [each.text for each in observed.keys(on, limit=MOST_KEYS, kind=field.column)]
        if field.column == Term.Kind.LABEL:
            # One that nobody has answered yet is none that was misspelt.
            there += Label.objects.filter(connection__in=on).values_list("name", flat=True)[:MOST_KEYS]
        near[field.name] = {key.casefold(): key for key in there}
    return [
        _unknown(listing.wanted, clause, near[clause.field.name])
        for clause in missing
        if (clause.key or "") not in near[clause.field.name].values()
    ]


def _unknown(wanted: Filter, clause: Clause, by_folded: dict[str, str]) -> UnknownKey:
    key, name = clause.key or "", clause.field.name
    what = "key" if name == "meta" else name
    found = get_close_matches(key.casefold(), by_folded, 1, 0.6)
    if not found:
        return UnknownKey(what, key, "", None)
    near = by_folded[found[0]]
    return UnknownKey(what, key, near, wanted.renamed(clause.name, write_name(name, near)))
