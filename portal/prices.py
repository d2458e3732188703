"""What models cost, as people entered it: find the price of a model, and what calls come to.

A price carries the day on which it was read, because prices age; nothing here knows one by itself.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from django.conf import settings
from django.utils import timezone

from portal.models import Connection, Kind, Price

PER: Final = Decimal(1_000_000)  # tokens that a price is for
OLD: Final = timedelta(days=180)
# What may follow the name that a price is for: a version's date, or the marks of a fine-tuned model.
_VERSION = re.compile(r"[-@:_](?:\d{4}(?:-?\d{2}-?\d{2})?)(?![0-9])|[.:-]ft[:-]", re.IGNORECASE)


def find(model: str, kind: str, provider: str = "", training_type: str = "") -> Price | None:
    """The price of a model: that of the longest name which the model's begins with; None if there is none.

    What follows that name may only be a version or the marks of a fine-tuned model: the price of gpt-4.1 is
    not the price of gpt-4.1-mini. A price for one provider or training type counts there alone, before one
    that says none.
    """
    wanted = training_type.lower()
    entered = Price.objects.filter(kind=kind, provider__in={"", provider})
    found = [
        price
        for price in entered
        if _is_for(price.model.lower(), model.lower()) and price.training_type.lower() in ("", wanted)
    ]
    return max(
        found, key=lambda each: (len(each.model), bool(each.provider), bool(each.training_type)), default=None
    )


def _is_for(name: str, model: str) -> bool:
    return model == name or (model.startswith(name) and _VERSION.match(model, len(name)) is not None)


def provider_of(connection: Connection) -> str:
    """The name by which prices are told apart: azure, openai, or empty for every other service."""
    if connection.is_azure:
        return "azure"
    return "openai" if connection.kind == Kind.OPENAI else ""


@dataclass(frozen=True, slots=True)
class Rates:
    """What calls of one model cost; a part that nobody entered is None."""

    input: Price | None
    output: Price | None

    @property
    def known(self) -> bool:
        return self.input is not None and self.output is not None

    @property
    def as_of(self) -> date | None:
        """The day of the older one."""
        return min((price.as_of for price in (self.input, self.output) if price), default=None)

    def of(self, prompt_tokens: int, completion_tokens: int) -> Decimal | None:
        """What so many tokens cost; None unless both prices are known. Discounts for caching do not count."""
        if self.input is None or self.output is None:
            return None
        return (prompt_tokens * self.input.amount + completion_tokens * self.output.amount) / PER


def rates(model: str, provider: str = "") -> Rates:
    """What calls of a model cost."""
    return Rates(find(model, Price.Kind.INPUT, provider), find(model, Price.Kind.OUTPUT, provider))


def cost(model: str, provider: str, prompt_tokens: int, completion_tokens: int) -> Decimal | None:
    """What calls of these tokens cost; None where a price is missing."""
    return rates(model, provider).of(prompt_tokens, completion_tokens)


def is_old(as_of: date) -> bool:
    """Whether a price was read so long ago that somebody should look again."""
    return timezone.now().date() - as_of > OLD


def money(amount: Decimal | None) -> str:
    """An amount in words: "12.40 USD"; of less than a cent the first digits that are not nought."""
    if amount is None:
        return "unknown"
    digits = 2
    if 0 < abs(amount) < Decimal("0.01"):
        digits = min(6, 1 - amount.adjusted())
    rounded = amount.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    return f"{rounded:,f} {settings.CURRENCY}"
