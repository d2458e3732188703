"""A run's counts as the numbers, sentences and pictures of its report. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from datasets.evaluate.report_cells import UNIT, Bar, Cell
from datasets.evaluate.report_preferences import Preference
from datasets.evaluate.report_words import SIGNIFICANT, chance, signed
from datasets.evaluate.statistics import Interval, holm, mcnemar, paired_difference
from portal.wording import percent

__all__ = ["Bar", "Cell", "Difference", "Judged", "Report", "Shift", "chance", "read", "signed"]
UNSENDABLE = "unsendable"
NO_VERDICT = "no_verdict"  # a judge answered, and what it said cannot be read as one
ERROR_KINDS = {
    "throttled": "Too many requests",
    "timeout": "No answer in time",
    "server": "Error of the service",
    "network": "No connection",
    "bad_request": "Refused as invalid",
    "content_filter": "Stopped by the content filter",
    UNSENDABLE: "Cannot be sent again",
    "unreadable": "Unreadable answer",
    NO_VERDICT: "No verdict",
    "conflict": "Conflict",
    "unexpected": "Unexpected",
}


@dataclass(frozen=True)
class Shift:
    """How far scores moved from the first target to another one, on the items scored for both.

    `corrected` is the p-value among those of all graders with such scores (Holm); None where it stands alone.
    """

    items: int
    mean: float
    interval: Interval
    p: float
    corrected: float | None = None

    @property
    def in_words(self) -> str:
        """The mean difference and its interval, three decimals each."""
        low, high = signed(self.interval.low, 3), signed(self.interval.high, 3)
        return f"{signed(self.mean, 3)} ({low} to {high})"

    @property
    def chance(self) -> str:
        return chance(self.p)

    @property
    def corrected_chance(self) -> str:
        """The chance among all graders, where that is another one; else empty."""
        return chance(self.corrected) if self.corrected is not None and self.corrected != self.p else ""


@dataclass(frozen=True)
class Difference:
    """A target against the first one, on the items judged for both.

    `corrected` is the p-value among those of all graders (Holm); None where it stands alone.
    """

    first: str
    second: str
    items: int
    only_first: int
    only_second: int
    shift: Shift | None = None
    corrected: float | None = None

    @property
    def points(self) -> float:
        return 100 * (self.only_second - self.only_first) / self.items if self.items else 0.0

    @property
    def interval(self) -> Interval | None:
        return paired_difference(self.only_first, self.only_second, self.items)

    @property
    def p(self) -> float:
        return mcnemar(self.only_first, self.only_second)

    @property
    def is_clear(self) -> bool:
        deciding = self.p if self.corrected is None else self.corrected
        return self.items > 0 and deciding < SIGNIFICANT

    @property
    def is_close(self) -> bool:
        """The exact test, which decides, leaves it to chance, but the approximate interval excludes zero."""
        interval = self.interval
        return interval is not None and not self.is_clear and (interval.low > 0 or interval.high < 0)

    @property
    def tone(self) -> str:
        return "none" if not self.is_clear else "ok" if self.points > 0 else "bad"

    @property
    def in_points(self) -> str:
        return f"{signed(self.points, finest=4)} points"

    @property
    def range(self) -> str:
        """The interval in points, in words."""
        interval = self.interval
        if interval is None:
            return "unknown"
        low, high = (signed(100 * end, finest=3) for end in (interval.low, interval.high))
        return f"{low} to {high}"

    @property
    def chance(self) -> str:
        return chance(self.p)

    @property
    def corrected_chance(self) -> str:
        """The chance among all graders, where that is another one; else empty."""
        return chance(self.corrected) if self.corrected is not None and self.corrected != self.p else ""


@dataclass(frozen=True)
class Judged:
    """One grader over all targets; id 0 is all graders together."""

    id: int
    name: str
    cells: tuple[Cell, ...]
    differences: tuple[Difference, ...]
    threshold: float | None = None
    explained: str = ""
    span: tuple[float, float] = UNIT
    preferences: tuple[Preference, ...] = ()

    @property
    def is_preference(self) -> bool:
        """Whether it compares with the first target, and says nothing of one alone."""
        return bool(self.preferences)

    @property
    def changed(self) -> list[Cell]:
        """The targets whose items were judged more than once."""
        return [cell for cell in self.cells if cell.repeated]

    @property
    def has_scores(self) -> bool:
        """Whether scores are more than passed and failed."""
        return self.threshold is not None

    @property
    def threshold_x(self) -> float:
        low, high = self.span
        return round(200 * ((self.threshold or 0) - low) / (high - low), 2) if high > low else 0.0


@dataclass(frozen=True)
class Report:
    """Everything on the page above the rows."""

    items: int
    left_out: int
    targets: tuple[Mapping[str, Any], ...]
    graders: tuple[Judged, ...]
    ungraded: tuple[Mapping[str, Any], ...]
    judges: tuple[Mapping[str, Any], ...] = ()
    repetitions: int = 1

    @property
    def rated(self) -> list[Judged]:
        """The graders that say of each target whether it passes."""
        return [judged for judged in self.graders if not judged.is_preference]

    @property
    def preferred(self) -> list[Judged]:
        """The judges that compare each target with the first one."""
        return [judged for judged in self.graders if judged.is_preference]

    @property
    def chief(self) -> Judged | None:
        """What the headline speaks of: all graders together if there are several."""
        found = self.rated or self.graders
        return found[-1] if found else None

    @property
    def is_corrected(self) -> bool:
        """Whether p-values of several graders stand beside each other."""
        return any(test.corrected is not None for judged in self.graders for test in _tests(judged))

    @property
    def fresh(self) -> list[Mapping[str, Any]]:
        return [target for target in self.targets if target["kind"] == "fresh"]

    @property
    def failed_calls(self) -> int:
        """Calls that may succeed when they are made again; what cannot be sent is not among them."""
        errors = (error for asked in (*self.fresh, *self.judges) for error in asked["errors"])
        return sum(int(error["n"]) for error in errors if error["kind"] != UNSENDABLE)

    @property
    def asked_again(self) -> int:
        """Calls made once more after an error that may pass, some of which may have been paid for; without
        those of which a service that was down answered none.
        """
        return sum(int(asked.get("again", 0)) for asked in (*self.fresh, *self.judges))

    @property
    def headline(self) -> str:
        """The result as a sentence."""
        chief = self.chief
        if chief is None or not any(cell.judged for cell in chief.cells):
            return "Nothing could be judged."
        if chief.is_preference:
            return " ".join(each.in_words for each in chief.preferences if each.items)
        where = "every grader" if chief.id == 0 else f"“{chief.name}”"
        told = [_compare(difference, chief, where) for difference in chief.differences if difference.items]
        # What was compared with nothing is told by itself.
        alone = (
            [cell for cell, pair in zip(chief.cells[1:], chief.differences, strict=False) if not pair.items]
            if told
            else chief.cells
        )
        told += [f"“{cell.label}” passes {where} on {_share(cell)}." for cell in alone if cell.judged]
        return " ".join(
            [
                *told,
                *(f"Nothing of “{cell.label}” could be judged." for cell in chief.cells if not cell.judged),
            ]
        )


def read(summary: Mapping[str, Any], graders: Mapping[int, Mapping[str, Any]]) -> Report:
    """The report of a saved summary. `graders` has, by id, what each one's `threshold` and definition are."""
    labels = {target["key"]: target["label"] for target in summary.get("targets", ())}
    return Report(
        repetitions=summary.get("repetitions", 1),
        judges=tuple({**judge, "errors": _errors(judge)} for judge in summary.get("judges", ())),
        items=summary.get("items", 0),
        left_out=summary.get("left_out", 0),
        targets=tuple({**target, "errors": _errors(target)} for target in summary.get("targets", ())),
        graders=_corrected(
            [_judged(entry, labels, graders.get(entry["id"], {})) for entry in summary.get("graders", ())]
        ),
        ungraded=tuple(summary.get("ungraded", ())),
    )


def _corrected(graders: Sequence[Judged]) -> tuple[Judged, ...]:
    """The graders with p-values corrected for asking several of them; all together are one question."""
    single = [judged for judged in graders if judged.id]
    if len(single) < 2:
        return tuple(graders)
    columns = [_column(tests) for tests in zip(*(_tests(judged) for judged in single), strict=True)]
    made = {
        judged.id: _with(judged, tuple(column[place] for column in columns))
        for place, judged in enumerate(single)
    }
    return tuple(made.get(judged.id, judged) for judged in graders)


def _tests(judged: Judged) -> Sequence[Difference | Preference]:
    return judged.differences or judged.preferences


def _with(judged: Judged, tests: tuple[Any, ...]) -> Judged:
    return replace(judged, preferences=tests) if judged.is_preference else replace(judged, differences=tests)


def _column(tests: Sequence[Difference | Preference]) -> list[Difference | Preference]:
    """What every grader says of one target, corrected; one that compared nothing asked nothing."""
    ps = iter(holm([test.p for test in tests if test.items]))
    found = [replace(test, corrected=next(ps)) if test.items else test for test in tests]
    shifts = [test.shift if isinstance(test, Difference) else None for test in found]
    ps = iter(holm([shift.p for shift in shifts if shift is not None]))
    return [
        replace(test, shift=replace(shift, corrected=next(ps)))
        if isinstance(test, Difference) and shift is not None
        else test
        for test, shift in zip(found, shifts, strict=True)
    ]


def _errors(target: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {**error, "label": ERROR_KINDS.get(error["kind"], error["kind"])}
        for error in target.get("errors", ())
    ]


def _judged(entry: Mapping[str, Any], labels: Mapping[str, str], grader: Mapping[str, Any]) -> Judged:
    low, high = entry.get("span") or UNIT
    return Judged(
        id=entry["id"],
        name=entry["name"],
        cells=tuple(
            Cell(
                target=cell["target"],
                label=labels.get(cell["target"], cell["target"]),
                passed=cell["passed"],
                failed=cell["failed"],
                ungraded=cell["ungraded"],
                mean=cell["mean"],
                bins=tuple(cell["bins"]),
                span=(low, high),
                repeated=cell.get("repeated", 0),
                changed=cell.get("changed", 0),
            )
            for cell in entry["cells"]
        ),
        differences=tuple(
            Difference(
                first=labels.get(pair["first"], pair["first"]),
                second=labels.get(pair["second"], pair["second"]),
                items=pair["both_judged"],
                only_first=pair["only_first"],
                only_second=pair["only_second"],
                shift=_shift(pair.get("scores")),
            )
            for pair in entry["pairs"]
        ),
        threshold=grader.get("threshold"),
        explained=grader.get("explained", ""),
        span=(low, high),
        preferences=tuple(
            Preference(
                first=labels.get(pair["first"], pair["first"]),
                second=labels.get(pair["second"], pair["second"]),
                wins=pair["wins"],
                ties=pair["ties"],
                losses=pair["losses"],
                ungraded=pair["ungraded"],
            )
            for pair in entry.get("preferences", ())
        ),
    )


def _shift(scores: Mapping[str, Any] | None) -> Shift | None:
    if not scores:
        return None
    return Shift(scores["n"], scores["mean"], Interval(scores["low"], scores["high"]), scores["p"])


def _share(cell: Cell) -> str:
    interval = cell.interval
    assert interval is not None
    return (
        f"{percent(cell.rate, 1)} of {cell.judged:,} {'item' if cell.judged == 1 else 'items'}"
        f" (95% interval {100 * interval.low:.1f} to {100 * interval.high:.1f}%)"
    )


def _compare(difference: Difference, chief: Judged, where: str) -> str:
    rates = {cell.label: cell.rate or 0.0 for cell in chief.cells}
    first, second = difference.first, difference.second
    told = f"95% interval {difference.range}, {difference.items:,} items, {difference.chance}"
    if difference.is_clear:
        word = "more" if difference.points > 0 else "less"
        points = f"{difference.in_points[1:]} {word} often"
        return f"“{second}” passes {where} {points} than “{first}” ({told})."
    if difference.only_first == difference.only_second == 0:
        return f"“{second}” and “{first}” pass {where} on the same items ({difference.items:,} compared)."
    passed = (
        f"“{second}” passes {where} on {percent(rates[second], 1)} of the items,"
        f" “{first}” on {percent(rates[first], 1)}"
    )
    if difference.is_close:
        return (
            f"A difference can hardly be told: {passed}. The 95% interval, {difference.range} points,"
            " excludes zero; the exact test does not rule out chance"
            f" ({difference.items:,} items, {difference.chance})."
        )
    if any(cell.judged > difference.items for cell in chief.cells if cell.label in (first, second)):
        # The rates are of all that was judged; what is compared are fewer items.
        told = (
            f"on the {difference.items:,} items judged for both {difference.in_points},"
            f" 95% interval {difference.range}, {difference.chance}"
        )
    return f"No difference can be told: {passed} ({told})."
