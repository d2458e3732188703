"""Which rows of a report a person asks for: by verdict, grader, target, score, slice, and words in them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any
from urllib.parse import urlencode

from django.db.models import Avg, Count, Exists, F, OuterRef, Q, QuerySet

from datasets.models import Example, Grader, Result, Run

SHOWS = {
    "all": "All rows",
    "failed": "Failed",
    "passed": "Passed",
    "disagreed": "Disagreements",
    "ungraded": "Ungraded",
    "changed": "Unsteady",
}
LONGEST = 200  # characters of a text that is looked for


@dataclass(frozen=True)
class Filter:
    """What is asked for; nothing of it means every row. `grader` is an id, 0 for any of them.

    `dimension` and `value` name a slice (datasets.evaluate.slice_facts).
    """

    show: str = "all"
    grader: int = 0
    target: str = ""
    low: float | None = None
    high: float | None = None
    text: str = ""
    dimension: str = ""
    value: str = ""

    @classmethod
    def read(cls, asked: Mapping[str, Any], run: Run) -> "Filter":
        """From an address; what the run does not have is left out."""
        show, grader, target = (str(asked.get(name, "")) for name in ("show", "grader", "target"))
        known = {str(pk) for pk in run.evaluation.graders.values_list("pk", flat=True)}
        dimension = str(asked.get("slice", ""))[:LONGEST]
        return cls(
            show=show if show in SHOWS else "all",
            grader=int(grader) if grader in known else 0,
            target=target if target in {each["key"] for each in run.targets} else "",
            low=_number(asked.get("from")),
            high=_number(asked.get("to")),
            text=str(asked.get("q", "")).replace("\x00", "").strip()[:LONGEST],
            dimension=dimension,
            value=str(asked.get("value", ""))[:LONGEST] if dimension else "",
        )

    @property
    def query(self) -> dict[str, str]:
        """The same as the fields of an address: the verdict, and what else is asked for."""
        fields = {
            "show": self.show,
            "grader": str(self.grader or ""),
            "target": self.target,
            "from": _told(self.low),
            "to": _told(self.high),
            "q": self.text,
            "slice": self.dimension,
            "value": self.value,
        }
        # The value of a slice may be empty, and is one all the same.
        return {name: text for name, text in fields.items() if text or (name == "value" and self.dimension)}

    @property
    def is_narrow(self) -> bool:
        """Whether more is asked for than a verdict."""
        return replace(self, show="all") != Filter()

    @property
    def scans(self) -> bool:
        """Whether rows have to be looked at one by one."""
        return bool(self.text or self.dimension)

    def address(self, **page: Any) -> str:
        """The end of an address of these rows."""
        fields = self.query | {name: str(value) for name, value in page.items() if value}
        return f"?{urlencode(fields)}"

    def but(self, **changes: Any) -> "Filter":
        return replace(self, **changes)

    def examples(self, run: Run) -> "QuerySet[Example]":
        """The items in their order that verdicts do not rule out; words and slices are looked at later."""
        found: QuerySet[Example] = Example.objects.filter(
            version=run.evaluation.version_id, line__isnull=False
        ).order_by("line")
        asks_scores = self.low is not None or self.high is not None
        if self.show == "all" and not asks_scores:
            return found
        verdicts = self._verdicts(run)
        if self.show == "changed":
            changed = _grouped(verdicts).filter(self._between("mean"), good__gt=0, bad__gt=0)
            return found.filter(pk__in=changed.values("example"))
        if self.show == "disagreed":
            others = self.but(target="")._verdicts(run) if self.target else None
            found = found.filter(_disagreed(run, verdicts, others))
            return found.filter(pk__in=self._scored(run, verdicts)) if asks_scores else found
        if run.repetitions == 1:
            return self._single(found, verdicts)
        return self._settled(found, verdicts)

    def _verdicts(self, run: Run) -> "QuerySet[Result]":
        verdicts: QuerySet[Result] = Result.objects.filter(run=run)
        if self.grader:
            verdicts = verdicts.filter(grader=self.grader)
        else:
            verdicts = verdicts.exclude(grader__in=preferences_of(run))
        return verdicts.filter(target=self.target) if self.target else verdicts

    def _single(self, found: "QuerySet[Example]", verdicts: "QuerySet[Result]") -> "QuerySet[Example]":
        """Where every verdict is one row."""
        of_item = verdicts.filter(example=OuterRef("pk"))
        wanted = of_item.filter(self._between("score"))
        if self.show == "failed":
            return found.filter(Exists(wanted.filter(passed=False)))
        if self.show == "ungraded":
            return found.filter(Exists(wanted.filter(passed__isnull=True)))
        if self.show == "passed":
            other = of_item.exclude(passed=True)
            return found.filter(Exists(wanted.filter(passed=True)), ~Exists(other))
        return found.filter(Exists(wanted))

    def _settled(self, found: "QuerySet[Example]", verdicts: "QuerySet[Result]") -> "QuerySet[Example]":
        """Where several verdicts make one."""
        settled = _grouped(verdicts)
        wanted = settled.filter(self._between("mean"))
        failed = Q(bad__gt=0, bad__gte=F("good"))
        ungraded = Q(bad=0, good=0)
        if self.show == "failed":
            wanted = wanted.filter(failed)
        elif self.show == "ungraded":
            wanted = wanted.filter(ungraded)
        elif self.show == "passed":
            wanted = wanted.filter(good__gt=F("bad"))
            found = found.exclude(pk__in=settled.filter(failed | ungraded).values("example"))
        return found.filter(pk__in=wanted.values("example"))

    def _scored(self, run: Run, verdicts: "QuerySet[Result]") -> Any:
        field = "score" if run.repetitions == 1 else "mean"
        found = verdicts if run.repetitions == 1 else _grouped(verdicts)
        return found.filter(self._between(field)).values("example")

    def _between(self, field: str) -> Q:
        low = Q((f"{field}__gte", self.low)) if self.low is not None else Q()
        high = Q((f"{field}__lte", self.high)) if self.high is not None else Q()
        return low & high


def preferences_of(run: Run) -> list[int]:
    """The graders that compare with the first target, where there are others that do not."""
    kinds = dict(run.evaluation.graders.values_list("pk", "kind"))
    apart = [pk for pk, kind in kinds.items() if kind == Grader.Kind.PAIRWISE]
    return apart if len(apart) < len(kinds) else []


def _grouped(verdicts: "QuerySet[Result]") -> Any:
    """One row for each item, target and grader, with how often it was passed and failed."""
    return (
        verdicts.order_by()
        .values("example", "target", "grader")
        .annotate(
            good=Count("pk", filter=Q(passed=True)),
            bad=Count("pk", filter=Q(passed=False)),
            mean=Avg("score", filter=Q(passed__isnull=False)),
        )
    )


def _disagreed(run: Run, verdicts: "QuerySet[Result]", others: "QuerySet[Result] | None") -> Any:
    """Some target passes a grader that another one fails; with `others`, one of both is among those."""
    found = Q(pk__in=[])
    every, ways = (verdicts, (True,)) if others is None else (others, (True, False))
    if run.repetitions == 1:
        for passed in ways:
            other = every.filter(example=OuterRef("example"), grader=OuterRef("grader"), passed=not passed)
            found |= Q(Exists(verdicts.filter(Exists(other), example=OuterRef("pk"), passed=passed)))
        return found
    says = {True: Q(good__gt=F("bad")), False: Q(bad__gt=0, bad__gte=F("good"))}
    for grader in list(verdicts.order_by().values_list("grader", flat=True).distinct()):
        one, other = (_grouped(some.filter(grader=grader)) for some in (verdicts, every))
        for passed in ways:
            mine, theirs = one.filter(says[passed]), other.filter(says[not passed])
            found |= Q(pk__in=mine.values("example")) & Q(pk__in=theirs.values("example"))
    return found


def _told(number: float | None) -> str:
    """As it was read, to the last digit: another number would ask for other rows on the next page."""
    return "" if number is None else repr(number).removesuffix(".0")


def _number(text: Any) -> float | None:
    try:
        number = float(str(text))
    except ValueError:
        return None
    return number if isfinite(number) and abs(number) < 1e9 else None
