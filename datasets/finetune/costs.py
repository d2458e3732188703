"""What a job was said to cost, what is kept for it, and what it did cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from datasets.finetune.estimate import amount_of
from datasets.models import FineTune
from portal import prices
from portal.models import Price, Spending

SUBJECT = "datasets.finetune"  # as an operation names it; what is reserved for a job is found by it


@dataclass(frozen=True)
class Costs:
    """Amounts as words for a page; empty where they are not known. `about`: from our price, not settled."""

    tokens: int | None = None  # said before the launch
    estimated: str = ""
    as_of: str = ""
    reserved: str = ""
    settled: str = ""
    about: str = ""
    over: bool = False  # it has ended: what was estimated no longer says what it costs

    @property
    def shortly(self) -> str:
        """The one amount that is nearest to the truth."""
        if self.settled:
            return self.settled
        nearest = self.about or ("" if self.over else self.estimated)
        return f"about {nearest}" if nearest else ""


def of(tune: FineTune) -> Costs:
    """Estimate and settlement beside each other."""
    return of_many([tune])[tune.pk]


def of_many(tunes: Sequence[FineTune]) -> dict[int, Costs]:
    """The same for several, by their keys."""
    ids = [str(tune.pk) for tune in tunes]
    rows = Spending.objects.filter(subject_type=SUBJECT, subject_id__in=ids)
    kept = {row.subject_id: row for row in rows}
    return {tune.pk: _of(tune, kept.get(str(tune.pk))) for tune in tunes}


def _of(tune: FineTune, kept: Spending | None) -> Costs:
    said = tune.estimate
    settled = kept.settled if kept is not None else None
    reserved = kept.reserved if kept is not None and kept.state == Spending.State.RESERVED else None
    return Costs(
        tokens=_whole(said.get("trained_tokens")),
        estimated=_words(_amount(said.get("amount"))),
        as_of=_day(said.get("as_of")),
        reserved=_words(reserved),
        settled=_words(settled),
        about=_words(worked_out(tune)) if settled is None else "",
        over=tune.state in FineTune.ENDED,
    )


def worked_out(tune: FineTune) -> Decimal | None:
    """What the trained tokens come to at the price that is entered today."""
    if tune.trained_tokens is None or tune.method == FineTune.Method.REINFORCEMENT:
        return None
    provider = prices.provider_of(tune.connection)
    price = prices.find(tune.base_model, Price.Kind.TRAINING, provider, tune.training_type)
    return amount_of(tune.trained_tokens, price)


def _words(amount: Decimal | None) -> str:
    return "" if amount is None else prices.money(amount)


def _amount(value: Any) -> Decimal | None:
    try:
        return Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _day(value: Any) -> str:
    try:
        return date.fromisoformat(value).isoformat() if isinstance(value, str) else ""
    except ValueError:
        return ""
