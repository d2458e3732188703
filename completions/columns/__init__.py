"""Rows of the mirror as columns in memory: what filters, counts and facets are answered from."""

from completions.columns.changes import DERIVED, next_change, note_removed
from completions.columns.packing import PACK_AT, SMALL, pack, pack_if_due
from completions.columns.store import Columns, Part, Store, current

__all__ = [
    "DERIVED",
    "PACK_AT",
    "SMALL",
    "Columns",
    "Part",
    "Store",
    "current",
    "next_change",
    "note_removed",
    "pack",
    "pack_if_due",
]
