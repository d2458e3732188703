"""A line chart as a value: what the script draws, and the table behind it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

COLOURS = ("a", "b", "c", "d")
TABLE_ROWS = 200


@dataclass(frozen=True)
class Line:
    """One curve; `values` has an entry for each x, None where there is none. Not `joined`: marks alone."""

    label: str
    values: Sequence[float | None]
    colour: str = ""
    marks: bool = False
    joined: bool = True


@dataclass(frozen=True)
class Chart:
    """`name` is unique on the page and becomes part of an element's id; `x` names the horizontal axis."""

    name: str
    title: str
    x: str
    xs: Sequence[float]
    series: Sequence[Line]
    from_zero: bool = False

    @property
    def lines(self) -> list[Line]:
        """The curves with a colour each."""
        return [
            line if line.colour else replace(line, colour=COLOURS[place % len(COLOURS)])
            for place, line in enumerate(self.series)
        ]

    @property
    def data(self) -> dict[str, Any]:
        """What is drawn."""
        return {
            "x": self.x,
            "xs": list(self.xs),
            "fromZero": self.from_zero,
            "lines": [
                {
                    "label": line.label,
                    "values": list(line.values),
                    "colour": line.colour,
                    "marks": line.marks,
                    "joined": line.joined,
                }
                for line in self.lines
            ],
        }

    @property
    def text(self) -> str:
        """What the script reads, from an attribute: htmx takes script elements out of what it swaps in."""
        return json.dumps(self.data)

    @property
    def rows(self) -> list[tuple[float | None, ...]]:
        """The table behind the picture, thinned when there are very many points."""
        every = max(1, -(-len(self.xs) // TABLE_ROWS))
        columns = [self.xs, *(line.values for line in self.series)]
        return list(zip(*(column[::every] for column in columns), strict=True))
