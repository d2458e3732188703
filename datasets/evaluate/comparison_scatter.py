"""Quality against price or time as a picture: one mark for each column. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import floor, log10

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 14, 40
NAME, LINE = 120, 15  # how wide and high a name is, about
COLOURS = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Given:
    """One column: how it is called, what it takes, the share that passes and its interval."""

    label: str
    x: float
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Mark:
    """One column in the units of the drawing."""

    label: str
    number: int
    colour: str
    x: float
    y: float
    top: float
    bottom: float
    at_end: bool  # its name stands to the left of it
    shift: int = 4  # its name stands so far below its middle


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Scatter:
    """The whole drawing; `x_title` says what the horizontal axis is."""

    x_title: str
    marks: tuple[Mark, ...]
    xs: tuple[Tick, ...]
    ys: tuple[Tick, ...]

    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    width, height = WIDTH, HEIGHT


def draw(given: Sequence[Given], x_title: str, unit: str = "{}") -> Scatter:
    """The horizontal axis begins at 0, so that twice as far is twice as dear; the vertical one fits."""
    most = _ceiling(max(one.x for one in given))
    low = max(0.0, floor(10 * min(one.low for one in given)) / 10)
    high = min(1.0, -floor(-10 * max(one.high for one in given)) / 10)
    if high <= low:
        low, high = max(0.0, low - 0.1), min(1.0, high + 0.1)

    def across(x: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * x / most, 2)

    def up(rate: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (rate - low) / (high - low), 2)

    marks = _apart(
        Mark(
            one.label,
            place + 1,
            COLOURS[place % len(COLOURS)],
            across(one.x),
            up(one.rate),
            up(one.high),
            up(one.low),
            one.x > 0.6 * most,
        )
        for place, one in enumerate(given)
    )
    parts = 4
    xs = tuple(
        Tick(across(most * n / parts), unit.format(_short(most * n / parts))) for n in range(parts + 1)
    )
    steps = max(2, min(5, round(10 * (high - low))))
    ys = tuple(
        Tick(up(low + (high - low) * n / steps), f"{100 * (low + (high - low) * n / steps):.0f}%")
        for n in range(steps + 1)
    )
    return Scatter(x_title, marks, xs, ys)


def _apart(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """The marks, with names that would stand in each other's way moved up or down."""
    placed: list[Mark] = []
    for mark in sorted(marks, key=lambda one: one.y):
        shift = mark.shift
        for other in placed:
            near = abs(other.x - mark.x) < NAME and other.at_end == mark.at_end
            if near and mark.y + shift - (other.y + other.shift) < LINE:
                shift = round(other.y + other.shift + LINE - mark.y)
        placed.append(replace(mark, shift=shift))
    return tuple(sorted(placed, key=lambda one: one.number))


def _ceiling(most: float) -> float:
    """The next number that people count by: 1, 2, 4, 6, 8, 10 of a power of ten."""
    if most <= 0:
        return 1.0
    power: float = 10.0 ** floor(log10(most))
    return next((n * power for n in (1, 2, 4, 6, 8, 10) if n * power >= most * (1 - 1e-9)), 10 * power)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"
