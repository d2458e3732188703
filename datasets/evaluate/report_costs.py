"""What a run's answers and verdicts took, and what they come to at the prices of today."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from datasets.evaluate import provider_paying
from datasets.evaluate.report import Report
from datasets.models import Run
from datasets.purse import rates_of
from portal.models import Connection

EACH = 1000  # answers that a price is said for


@dataclass(frozen=True)
class Taken:
    """One target's answers, or one judge's; `cost` is None where a price or what was used is not known.

    Of a judge that the provider asked nothing is told by itself.
    """

    told: Mapping[str, Any]
    is_judge: bool
    rate: float | None
    cost: Decimal | None
    is_elsewhere: bool = False

    @property
    def cost_each(self) -> Decimal | None:
        """Of a thousand answers."""
        answered = int(self.told["answered"])
        return EACH * self.cost / answered if self.cost is not None and answered else None


@dataclass(frozen=True)
class Costs:
    """Everything that a run asked of models."""

    lines: tuple[Taken, ...]
    total: Decimal | None  # None where one of them is not known

    @property
    def has_judges(self) -> bool:
        return any(line.is_judge for line in self.lines)


def costs_of(run: Run, report: Report) -> Costs:
    """Fresh answers beside how good they are, then judges; of what a provider did it says the total."""
    asked: Sequence[Mapping[str, Any]] = [*report.fresh, *report.judges]
    known: dict[int, Connection] = Connection.objects.defer("secret").in_bulk(
        {each["connection"] for each in asked if each.get("connection")}
    )
    rates = {cell.target: cell.rate for cell in report.chief.cells} if report.chief else {}
    fresh = [Taken(each, False, rates.get(each["key"]), _cost(each, known)) for each in report.fresh]
    there = run.backend == Run.Backend.PROVIDER
    judges = [
        Taken(each, True, None, None if there else _cost(each, known), is_elsewhere=there)
        for each in report.judges
    ]
    lines = (*fresh, *judges)
    return Costs(lines, provider_paying.total_of(run) if there else _sum(lines))


def _sum(lines: Sequence[Taken]) -> Decimal | None:
    known = [line.cost for line in lines if line.cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(lines) else None


def _cost(told: Mapping[str, Any], known: Mapping[int, Connection]) -> Decimal | None:
    connection = known.get(told.get("connection") or 0)
    if connection is None or told.get("untold"):
        return None
    tokens = told["tokens"]
    return rates_of(connection, told["model"]).of(tokens["prompt_tokens"], tokens["completion_tokens"])
