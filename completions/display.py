"""How a list is shown: its order, its columns, how close its rows stand, how moments are told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self
from urllib.parse import quote, unquote, urlencode

from completions.listing import NEWEST, Sort
from portal.hidden import name as spelled

MOST_COLUMNS = 40
NARROWEST, WIDEST = 48, 960
TEXT_WIDTH = 320  # at least this much for what takes the rest
SELECT_WIDTH = 52
META = "meta."
DENSITIES = ("comfortable", "compact")
TIMES = ("clock", "ago")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table. `reads` are the fields of a row that its cells need; `filter` names what it is
    filtered by, where that is called otherwise; without a width it takes what is left."""

    name: str
    title: str
    reads: tuple[str, ...]
    width: int | None = None
    css: str = ""
    leaves: str = ""
    sort: str = ""
    filter: str = ""

    @property
    def key(self) -> str | None:
        """The metadata key that it shows, if it shows one."""
        return self.name.removeprefix(META) if self.name.startswith(META) else None

    @property
    def links(self) -> bool:
        """Whether its cells are links to filters already, and so cannot open the row."""
        return self.name in ("metadata", "labels") or self.key is not None


_NUMBER = "r num"
COLUMNS: dict[str, Column] = {
    each.name: each
    for each in (
        Column("created", "Created", ("created",), 112, "num muted", sort="created"),
        Column("text", "Prompt → answer", ("prompt_preview", "answer_preview"), None, "io-c"),
        Column("prompt", "Prompt", ("prompt_preview",), None, "io-c"),
        Column("answer", "Answer", ("answer_preview",), None, "io-c"),
        Column("model", "Model", ("model",), 164, "m"),
        Column("metadata", "Metadata", ("metadata",), 176, leaves="opt2", filter="meta"),
        Column("tokens", "Tokens", ("total_tokens",), 76, _NUMBER, "opt1", sort="tokens"),
        Column("prompt_tokens", "Prompt tokens", ("prompt_tokens",), 116, _NUMBER),
        Column("completion_tokens", "Answer tokens", ("completion_tokens",), 118, _NUMBER),
        Column("length", "Answer length", ("answer_length",), 120, _NUMBER, sort="length"),
        Column("turns", "Turns", ("turns",), 64, _NUMBER),
        Column("finish", "Finish", ("finish_reason",), 84, "s muted", "opt2"),
        Column("language", "Language", ("language",), 92, "muted"),
        Column("temperature", "Temperature", ("temperature",), 104, _NUMBER),
        Column("review", "Review", ("review__state",), 124, "s", "slim"),
        Column("rating", "Rating", ("review__rating",), 76),
        Column("labels", "Labels", ("review__labels",), 176, filter="label"),
        Column("notes", "Notes", ("review__notes",), 64, _NUMBER, filter="note"),
        Column("reviewer", "Reviewer", ("review__reviewers",), 116, "muted"),
        Column("reviewed", "Reviewed", ("review__reviewed",), 112, "num muted"),
        Column("connection", "Connection", (), 116, "muted", "opt3"),
        Column("state", "State", (), 96, "s", filter="is"),
        Column("id", "Id", (), 220, "id-c"),
    )
}
USUAL = ("created", "text", "model", "metadata", "tokens", "finish", "review")


def column_of(name: str) -> Column | None:
    """The column of a name, also `meta.KEY`; None if there is none."""
    if name.startswith(META) and len(name) > len(META):
        return Column(name, spelled(name.removeprefix(META))[:80], ("metadata",), 136, filter="meta")
    return COLUMNS.get(name)


@dataclass(frozen=True, slots=True)
class Shown:
    """A column in its place, as wide as it was made."""

    column: Column
    resized: int | None = None

    @property
    def width(self) -> int | None:
        return self.resized or self.column.width

    def write(self) -> str:
        name = self.column.name
        if self.column.key is not None:
            name = META + quote(self.column.key, safe="", errors="replace")
        return f"{name}:{self.resized}" if self.resized else name


@dataclass(frozen=True)
class Display:
    """How a list is shown. An address names only what is not as usual: no columns are the usual ones."""

    sort: Sort = NEWEST
    columns: tuple[Shown, ...] = ()
    density: str = "comfortable"
    times: str = "clock"

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> Self:
        """What the parameters of an address ask for; what cannot be read is as usual."""
        density, times = parameters.get("density", ""), parameters.get("times", "")
        return cls(
            read_sort(parameters.get("sort", "")),
            read_columns(parameters.get("columns", "").split(",")),
            density if density in DENSITIES else "comfortable",
            times if times in TIMES else "clock",
        )

    @cached_property
    def parameters(self) -> dict[str, str]:
        """What an address has to say, in one order."""
        said = {
            "sort": "" if self.sort == NEWEST else write_sort(self.sort),
            "columns": ",".join(each.write() for each in self.columns),
            "density": self.density if self.density != "comfortable" else "",
            "times": self.times if self.times != "clock" else "",
        }
        return {name: value for name, value in said.items() if value}

    @property
    def query(self) -> str:
        """The same as text, to keep: `Display.parse(QueryDict(display.query)) == display`."""
        return urlencode(self.parameters)

    def but(self, **changes: Any) -> Self:
        """This display with something else about it."""
        return replace(self, **changes)

    def shown(self, *, several: bool) -> tuple[Shown, ...]:
        """The columns from left to right; several connections are told apart."""
        return self.columns or usual(several=several)

    @property
    def is_compact(self) -> bool:
        return self.density == "compact"


def usual(*, several: bool) -> tuple[Shown, ...]:
    """The columns of somebody who chose none."""
    return tuple(Shown(COLUMNS[name]) for name in (*USUAL, *(("connection",) if several else ())))


def read_columns(names: Iterable[str]) -> tuple[Shown, ...]:
    """Columns as an address or a form writes them, each once; what is unknown is left out."""
    found: dict[str, Shown] = {}
    for text in names:
        name, _, size = text.partition(":")
        if name.startswith(META):
            name = META + unquote(name.removeprefix(META), errors="replace")
        column = column_of(name)
        if column is not None and name not in found and len(found) < MOST_COLUMNS:
            width = int(size) if size.isascii() and size.isdigit() and len(size) < 6 else 0
            found[name] = Shown(column, min(max(width, NARROWEST), WIDEST) if width else None)
    # Somewhere a row has to be opened.
    if found and all(each.column.links for each in found.values()):
        return (Shown(COLUMNS["created"]), *found.values())
    return tuple(found.values())


def write_sort(sort: Sort) -> str:
    """`-tokens` for the most first, `tokens` for the fewest."""
    return f"{'-' * sort.descending}{sort.column}"


def read_sort(text: str) -> Sort:
    """A sort from an address; newest first if it is none."""
    name = text.removeprefix("-")
    if not any(each.sort == name for each in COLUMNS.values() if each.sort):
        return NEWEST
    return Sort(name, text.startswith("-"))
