"""Looking inside a version: which rows, in which order, from where on. The whole state is an address.

A page is found by its place, never by counting rows off, so that the last page of a version costs what the
first one does. The text is searched in the file itself, for a bounded time; the place that was reached is
kept in the address and the search goes on from there.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce

from datasets import reading
from datasets.build import files
from datasets.build.lines import in_words
from datasets.models import DatasetVersion, Example

PAGE: Final = 20
SEARCH_SECONDS: Final = 1.5
SCANNED: Final = 1000  # rows that are read at a time while searching
SHOWS: Final = ("rows", "raw", "left-out", "about")
ORDERS: Final = {"": "As in the file", "worst": "Worst first", "longest": "Longest first"}
LONGEST_SEARCH: Final = 200


class Place(NamedTuple):
    """Behind which row a page begins. `first` is what rows are ordered by: the part, doubts or tokens."""

    first: int
    position: int

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """The place in an address; None if there is none, or nonsense."""
        first, _, position = text.partition(".")
        if not (_is_number(first) and _is_number(position)):
            return None
        return cls(int(first), int(position) - 1)

    def __str__(self) -> str:
        return f"{self.first}.{self.position + 1}"


@dataclass(frozen=True, slots=True)
class Look:
    """What of a version is shown."""

    show: str = "rows"
    words: str = ""
    split: str = ""
    flag: str = ""
    reason: str = ""
    edited: bool = False
    least: int = 0
    most: int = 0
    order: str = ""
    completion: int = 0
    line: int = 0
    open: int = 0
    after: Place | None = None

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> "Look":
        """The state that an address asks for; what cannot be read is not asked for."""

        def number(name: str) -> int:
            text = asked.get(name, "")
            return int(text) if _is_number(text) else 0

        def text(name: str, most: int) -> str:
            return asked.get(name, "").replace("\x00", "").strip()[:most]

        order = asked.get("order", "")
        return cls(
            show=asked.get("show", "rows"),
            words=text("q", LONGEST_SEARCH),
            split=text("split", 20),
            flag=text("flag", 60),
            reason=text("reason", 120),
            edited=asked.get("edited") == "1",
            least=number("least"),
            most=number("most"),
            order=order if order in ORDERS else "",
            completion=number("completion"),
            line=number("line"),
            open=number("open"),
            after=Place.read(asked.get("after", "")),
        )

    def query(self, **changes: Any) -> str:
        """The address of this state with changes, beginning with its question mark; from its first row on
        unless `after` or `line` is among the changes."""
        state = replace(self, **{"after": None, "line": 0, "open": 0, **changes})
        found: dict[str, Any] = {
            "show": "" if state.show == "rows" else state.show,
            "q": state.words,
            "split": state.split,
            "flag": state.flag,
            "reason": state.reason,
            "edited": 1 if state.edited else "",
            "least": state.least,
            "most": state.most,
            "order": state.order,
            "completion": state.completion,
            "line": state.line,
            "after": str(state.after) if state.after else "",
            "open": state.open,
        }
        return f"?{urlencode({name: value for name, value in found.items() if value})}"

    @property
    def is_filtered(self) -> bool:
        """Whether it shows less than every row."""
        chosen = (self.words, self.split, self.flag, self.edited, self.least, self.most, self.completion)
        return any(chosen)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and where the next page begins. `unfinished`: the search ran out of time, not of rows."""

    examples: list[Example]
    following: Place | None = None
    unfinished: bool = False
    looked: int = 0


def page(version: DatasetVersion, look: Look, *, seconds: float = SEARCH_SECONDS) -> Page:
    """The rows that are shown, at most PAGE."""
    start = look.after or (_place_of_line(version, look.line) if look.line else None)
    if look.words:
        return _searched(version, look, start, seconds)
    found = _rows(version, look, start, PAGE + 1)
    more = len(found) > PAGE
    return Page(found[:PAGE], place_of(version, look, found[PAGE - 1]) if more else None)


def count(version: DatasetVersion, look: Look) -> int:
    """How many rows the filters leave, whatever is searched for."""
    return int(_chosen(version, look).count())


def left_out(version: DatasetVersion, look: Look) -> Page:
    """Completions without a row, by position."""
    rows = version.examples.filter(line__isnull=True).exclude(excluded_reason="")
    if look.reason == "by_hand":
        rows = rows.filter(excluded_reason__startswith="by_hand")
    elif look.reason:
        rows = rows.filter(excluded_reason=look.reason)
    if look.completion:
        rows = rows.filter(completion=look.completion)
    after = look.after.position if look.after else -1
    rows = rows.filter(position__gt=after).select_related("completion__connection")
    found = list(rows.order_by("position")[: PAGE + 1])
    more = len(found) > PAGE
    return Page(found[:PAGE], Place(0, found[PAGE - 1].position) if more else None)


def place_of(version: DatasetVersion, look: Look, example: Any) -> Place:
    """The place behind this row, in the order of the look."""
    if look.order == "worst":
        return Place(example.doubts, example.position)
    if look.order == "longest":
        return Place(example.tokens or 0, example.position)
    return Place(_part_numbers(version).get(example.split, 0), example.position)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _part_numbers(version: DatasetVersion) -> dict[str, int]:
    """The parts that have rows, by their place in the file; none if the version is in one piece."""
    parts = version.parts
    return {part.name: number for number, part in enumerate(parts)} if len(parts) > 1 else {}


def _chosen(version: DatasetVersion, look: Look) -> QuerySet[Example]:
    """The rows that the filters leave, in no order."""
    rows: QuerySet[Example] = version.examples.filter(line__isnull=False, excluded_reason="")
    if look.split:
        rows = rows.filter(split=look.split)
    if look.flag:
        rows = rows.filter(flags__contains=f" {look.flag} ")
    if look.edited:
        rows = rows.filter(edited=True)
    if look.least:
        rows = rows.filter(tokens__gte=look.least)
    if look.most:
        rows = rows.filter(tokens__lte=look.most)
    if look.completion:
        rows = rows.filter(completion=look.completion)
    return rows


def _rows(version: DatasetVersion, look: Look, after: Place | None, most: int) -> list[Example]:
    return _taken(
        version, look, after, most, lambda rows: list(rows.select_related("completion__connection"))
    )


def _taken(
    version: DatasetVersion,
    look: Look,
    after: Place | None,
    most: int,
    take: Callable[[QuerySet[Example]], list[Any]],
) -> list[Any]:
    """The rows behind a place, at most so many, as `take` makes them of a query."""
    rows = _chosen(version, look)
    if look.order:
        rows = rows.annotate(rank=F("doubts") if look.order == "worst" else Coalesce("tokens", 0))
        if after:
            rows = rows.filter(rank__lte=after.first).filter(
                Q(rank__lt=after.first) | Q(position__gt=after.position)
            )
        return take(rows.order_by("-rank", "position")[:most])
    numbers = _part_numbers(version)
    if not numbers:
        rows = rows.filter(position__gt=after.position) if after else rows
        return take(rows.order_by("position")[:most])
    # The file holds part after part, each by position: so no sorting is needed to follow it.
    found: list[Any] = []
    for name, number in numbers.items():
        if len(found) >= most or (look.split and name != look.split) or (after and number < after.first):
            continue
        some = rows.filter(split=name)
        if after and number == after.first:
            some = some.filter(position__gt=after.position)
        found += take(some.order_by("position")[: most - len(found)])
    return found


def _place_of_line(version: DatasetVersion, line: int) -> Place | None:
    """The place before this line of the file; the beginning if there is no such line."""
    row = version.examples.filter(line=line).only("split", "position").first()
    if row is None:
        return None
    return Place(_part_numbers(version).get(row.split, 0), row.position - 1)


# Searching


def _searched(version: DatasetVersion, look: Look, start: Place | None, seconds: float) -> Page:
    if version.state != DatasetVersion.State.READY:
        return Page([])
    until, place, looked = monotonic() + seconds, start, 0
    found: list[int] = []
    says = Matcher(look.words)
    with files.open_file(version) as file:
        while some := _taken(version, look, place, SCANNED, _places):
            for row in some:
                if len(found) == PAGE:
                    return Page(_in_order(version, found), place, looked=looked)
                place, looked = place_of(version, look, row), looked + 1
                file.seek(row.offset)
                if says(file.read(row.length)):
                    found.append(row.pk)
            if len(some) < SCANNED:
                break
            if monotonic() >= until:
                return Page(_in_order(version, found), place, unfinished=True, looked=looked)
    return Page(_in_order(version, found), looked=looked)


def _places(rows: QuerySet[Example]) -> list[Any]:
    """No more of rows than searching them takes."""
    return list(
        rows.values_list("pk", "split", "position", "doubts", "tokens", "offset", "length", named=True)
    )


def _in_order(version: DatasetVersion, ids: list[int]) -> list[Example]:
    rows = version.examples.select_related("completion__connection").in_bulk(ids)
    return [rows[pk] for pk in ids]


class Matcher:
    """Whether a line says these words, whatever their case.

    Looks into the bytes first, which is cheap, and reads only lines that may hold the words."""

    def __init__(self, words: str) -> None:
        self._words = words.casefold()
        self._escaped = json.dumps(words, ensure_ascii=False)[1:-1].casefold()

    def __call__(self, line: bytes) -> bool:
        text = line.decode(errors="replace")
        # A character may stand as an escape; then only reading tells.
        if self._escaped not in text.casefold() and "\\u" not in text:
            return False
        return self._words in reading.read(reading.parsed(line)).said.casefold()


def flags_of(version: DatasetVersion) -> Iterator[tuple[str, str, int]]:
    """What was found in rows that were taken, the most frequent first: its code, its words, how often."""
    counted: Mapping[str, int] = version.counts.get("problems", {})
    for code, count in sorted(counted.items(), key=lambda entry: (-entry[1], entry[0])):
        yield code, in_words(code), count
