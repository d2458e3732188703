"""What changed from one version of a dataset to another: its rows, its rules, its counts.

Both versions are gone through side by side in the order of their source keys, so that no more than one page
is held. The counts of two versions never change, so they are found once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from django.core.cache import cache
from django.db import connection as database
from django.db.models.functions import Collate
from django.utils.safestring import SafeString

from completions import diff_html
from completions.diff import STEPS
from datasets import preview, recipe_words
from datasets.build import files
from datasets.models import DatasetVersion

PAGE: Final = 20
KINDS: Final = {"added": "Added", "dropped": "Dropped", "edited": "Edited", "moved": "Moved"}
_KEPT_SECONDS: Final = 7 * 24 * 3600
Kind = Literal["added", "dropped", "edited", "moved"]


class Facts(NamedTuple):
    """What is compared of a row."""

    key: str
    pk: int
    content: str
    split: str


@dataclass(frozen=True, slots=True)
class Change:
    """One row: as it was (`before`), as it is (`after`)."""

    kind: Kind
    key: str
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A change as people see it. `why` tells for a dropped row what left it out."""

    change: Change
    before: preview.Row | None = None
    after: preview.Row | None = None
    text: SafeString | str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """A page of changes, and the key to go on behind."""

    shown: list[Shown] = field(default_factory=list)
    following: str = ""


def counts(before: DatasetVersion, after: DatasetVersion) -> dict[str, int]:
    """How many rows changed in each way, and how many stayed the same."""
    name = f"dataset-changes:{before.pk}:{before.sha256}:{after.pk}:{after.sha256}"
    kept = cache.get(name)
    if isinstance(kept, dict):
        return kept
    found = dict.fromkeys((*KINDS, "same"), 0)
    for kind, _, _ in _compared(before, after, ""):
        found[kind] += 1
    cache.set(name, found, _KEPT_SECONDS)
    return found


def page(before: DatasetVersion, after: DatasetVersion, kind: str, behind: str) -> Compared:
    """Changes of one kind behind a key, at most PAGE."""
    found: list[Change] = []
    for this, old, new in _compared(before, after, behind):
        if this != kind:
            continue
        if len(found) == PAGE:
            return Compared(_shown(before, after, found), found[-1].key)
        key = (new or old or Facts("", 0, "", "")).key
        found.append(Change(this, key, old.pk if old else None, new.pk if new else None))
    return Compared(_shown(before, after, found))


def rules(before: DatasetVersion, after: DatasetVersion) -> tuple[list[str], list[str]]:
    """The sentences of the recipe that went, and those that came."""
    old, new = (
        recipe_words.of_version(each.recipe, uploaded=each.origin != each.Origin.SELECTION)
        for each in (before, after)
    )
    return [each for each in old if each not in new], [each for each in new if each not in old]


def numbers(before: DatasetVersion, after: DatasetVersion) -> list[tuple[str, int, int]]:
    """What is counted, before and after."""
    found = [
        ("Selected", before.counts.get("selected", 0), after.counts.get("selected", 0)),
        ("Rows", before.rows, after.rows),
        ("Tokens", before.counts.get("tokens", 0), after.counts.get("tokens", 0)),
        ("Bytes", before.size, after.size),
    ]
    names = dict.fromkeys(part.name for version in (before, after) for part in version.parts)
    if len(names) > 1:
        found += [(f"Rows for {name}", _rows_of(before, name), _rows_of(after, name)) for name in names]
    left = {each.reason: (each.text, each.count) for each in preview.left_out(before)}
    now = {each.reason: (each.text, each.count) for each in preview.left_out(after)}
    for reason in dict.fromkeys((*left, *now)):
        text = (now.get(reason) or left[reason])[0]
        was, is_now = left.get(reason, ("", 0))[1], now.get(reason, ("", 0))[1]
        if was != is_now:
            found.append((f"Left out: {text}", was, is_now))
    return found


def _rows_of(version: DatasetVersion, name: str) -> int:
    part = version.part(name)
    return part.rows if part else 0


# Side by side.


def _compared(
    before: DatasetVersion, after: DatasetVersion, behind: str
) -> Iterator[tuple[Any, Facts | None, Facts | None]]:
    """Every row of either, as (kind, before, after), in the order of keys."""
    old, new = _rows(before, behind), _rows(after, behind)
    a, b = next(old, None), next(new, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a.key < b.key):
            yield "dropped", a, None
            a = next(old, None)
        elif a is None or b.key < a.key:
            yield "added", None, b
            b = next(new, None)
        else:
            yield _kind(a, b), a, b
            a, b = next(old, None), next(new, None)


def _kind(a: Facts, b: Facts) -> str:
    if a.content != b.content:
        return "edited"
    return "same" if a.split == b.split else "moved"


def _rows(version: DatasetVersion, behind: str) -> Iterator[Facts]:
    # Both sides must be in the order in which Python compares, whatever the database's language is.
    key = Collate("source_key", "C" if database.vendor == "postgresql" else "BINARY")
    rows = version.examples.filter(line__isnull=False).annotate(key=key)
    if behind:
        rows = rows.filter(key__gt=behind)
    found = rows.order_by("key", "position").values_list("key", "pk", "content_hash", "split")
    return (Facts(*values) for values in found.iterator(chunk_size=2000))


# What is shown of it.


def _shown(before: DatasetVersion, after: DatasetVersion, found: list[Change]) -> list[Shown]:
    old = _texts(before, [change.before for change in found if change.before])
    new = _texts(after, [change.after for change in found if change.after])
    why = _reasons(after, [change.key for change in found if change.kind == "dropped"])
    room = [STEPS]
    shown: list[Shown] = []
    for change in found:
        was, now = old.get(change.before or 0), new.get(change.after or 0)
        text: SafeString | str = ""
        if change.kind == "edited" and was and now:
            text = diff_html.changes(was.reading.text, now.reading.text, room)
        told = why.get(change.key, "It is not selected any more") if change.kind == "dropped" else ""
        if change.kind == "moved" and was and now:
            told = f"From {was.example.split} to {now.example.split}"
        shown.append(Shown(change, was, now, text, told))
    return shown


def _texts(version: DatasetVersion, ids: list[int]) -> dict[int, preview.Row]:
    examples = version.examples.filter(pk__in=ids).select_related("completion__connection")
    return {row.example.pk: row for row in preview.rows(version, examples)}


def _reasons(version: DatasetVersion, keys: list[str]) -> dict[str, str]:
    """Why rows of these keys have no line in the version."""
    if not keys:
        return {}
    rows = version.examples.filter(source_key__in=keys, line__isnull=True)
    found = rows.values_list("source_key", "excluded_reason", "partner")
    return {
        key: preview.why(reason) if reason else "It is the other half of a pair"
        for key, reason, partner in found
        if reason or partner
    }


def is_comparable(version: DatasetVersion) -> bool:
    """Whether the version has rows to compare."""
    return bool(version.state == DatasetVersion.State.READY and files.artifacts().exists(version.path))
