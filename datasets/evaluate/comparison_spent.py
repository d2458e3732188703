"""What the answers of each column took: tokens, time, and what they would cost at the prices of today."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, Sum

from completions.models import StoredCompletion
from datasets.evaluate.comparison import Column
from datasets.evaluate.report_costs import EACH
from datasets.models import Example, Run
from datasets.purse import rates_of
from portal.models import Connection


@dataclass(frozen=True)
class Spent:
    """Of all answers of a column; None where it is not known."""

    answers: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: Decimal | None
    p50: int | None = None
    p95: int | None = None

    @property
    def cost_each(self) -> Decimal | None:
        """Of a thousand answers."""
        return None if self.cost is None or not self.answers else EACH * self.cost / self.answers

    @property
    def tokens_each(self) -> float | None:
        """Tokens of an answer on average."""
        return self.completion_tokens / self.answers if self.completion_tokens and self.answers else None


def spent_by(columns: Sequence[Column]) -> dict[str, Spent]:
    """By the key of the column: fresh answers from the run's report, stored ones as they were stored."""
    asked = {column.target.connection for column in columns if column.target is not None}
    known: dict[int, Connection] = Connection.objects.defer("secret").in_bulk(asked - {None})
    stored: dict[int, Spent] = {}
    found = {}
    for column in columns:
        run, target = column.run, column.target
        if run is None or target is None:
            continue
        if target.is_fresh:
            told: dict[str, Any] = next(
                (each for each in run.summary.get("targets", ()) if each["key"] == target.key), {}
            )
            found[column.key] = _fresh(told, known.get(target.connection or 0), target.model)
        else:
            version = run.evaluation.version_id
            if version not in stored:
                stored[version] = _stored(run)
            found[column.key] = stored[version]
    return found


def _fresh(told: Mapping[str, Any], connection: Connection | None, model: str) -> Spent:
    tokens, latency = told.get("tokens", {}), told.get("latency", {})
    prompt, completion = tokens.get("prompt_tokens"), tokens.get("completion_tokens")
    cost = None
    if connection is not None and prompt is not None and completion is not None and not told.get("untold"):
        cost = rates_of(connection, model).of(prompt, completion)
    return Spent(told.get("answered", 0), prompt, completion, cost, latency.get("p50"), latency.get("p95"))


def _stored(run: Run) -> Spent:
    """From the stored completions that the items were made of, as far as they are here."""
    items = Example.objects.filter(version=run.evaluation.version_id, line__isnull=False)
    rows = StoredCompletion.objects.filter(examples__in=items).order_by()
    grouped = list(
        rows.values_list("connection", "model").annotate(
            n=Count("pk"), told=Count("prompt_tokens"), p=Sum("prompt_tokens"), c=Sum("completion_tokens")
        )
    )
    answers = sum(n for _, _, n, _, _, _ in grouped)
    if not answers or any(n != told for _, _, n, told, _, _ in grouped):
        return Spent(answers, None, None, None)
    connections = Connection.objects.defer("secret").in_bulk({pk for pk, *_ in grouped})
    costs = [rates_of(connections[pk], model).of(p or 0, c or 0) for pk, model, _, _, p, c in grouped]
    known = [cost for cost in costs if cost is not None]
    return Spent(
        answers,
        sum(p or 0 for _, _, _, _, p, _ in grouped),
        sum(c or 0 for _, _, _, _, _, c in grouped),
        sum(known, Decimal(0)) if len(known) == len(costs) else None,
    )
