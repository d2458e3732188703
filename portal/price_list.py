"""The list of prices as people keep it: entered one by one, from a file, or from a few that come along.

Every change is in the audit trail. Suggestions carry the day and the page that they were read on, never
replace what somebody entered, and age like all others.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from io import StringIO
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from portal import audit, tables
from portal.models import Price

COLUMNS: Final = ("model", "kind", "provider", "training_type", "amount", "currency", "as_of", "source")
NEEDED: Final = ("model", "kind", "amount", "as_of")
MOST_ROWS: Final = 5_000
_KEY: Final = ("model", "kind", "provider", "training_type")

_OPENAI = ("https://platform.openai.com/docs/pricing", date(2025, 6, 3))
_AZURE = (
    "https://learn.microsoft.com/azure/foundry/openai/how-to/fine-tuning-cost-management",
    date(2025, 7, 8),
)
# In US dollars: (model, kind, provider, training type, amount), where and when it was read.
_SUGGESTED: Final = (
    *(
        (model, kind, provider, "", amount, *_OPENAI)
        for model, paid in (
            ("gpt-4.1", ("2.00", "8.00")),
            ("gpt-4.1-mini", ("0.40", "1.60")),
            ("gpt-4.1-nano", ("0.10", "0.40")),
            ("gpt-4o", ("2.50", "10.00")),
            ("gpt-4o-mini", ("0.15", "0.60")),
        )
        for kind, amount in zip((Price.Kind.INPUT, Price.Kind.OUTPUT), paid, strict=True)
        for provider in ("openai",)
    ),
    ("gpt-4.1", Price.Kind.TRAINING, "azure", "GlobalStandard", "2.00", *_AZURE),
    ("gpt-4.1", Price.Kind.HOSTING, "azure", "", "1.70", *_AZURE),
)


class Unreadable(ValueError):
    """The file cannot be taken; `problems` says why, line by line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the rows of a file."""

    added: int
    changed: int
    same: int


def save(price: Price, user: Any) -> None:
    """Write down a price that was checked."""
    with transaction.atomic():
        price.save()
        audit.record(user, "price.saved", price, **_told(price))


def delete(price: Price, user: Any) -> None:
    """Forget a price; what was reserved by it stays."""
    with transaction.atomic():
        audit.record(user, "price.deleted", price, **_told(price))
        price.delete()


def _told(price: Price) -> dict[str, str]:
    return {
        "amount": f"{price.amount:f}",
        "as_of": price.as_of.isoformat(),
        "provider": price.provider,
        "training_type": price.training_type,
    }


def suggestions() -> list[Price]:
    """Prices that come along and that nobody has entered yet; none where another currency is counted in."""
    if settings.CURRENCY != "USD":
        return []
    held = set(Price.objects.values_list(*_KEY))
    made = [
        Price(
            model=model, kind=kind, provider=provider, training_type=training_type,
            amount=Decimal(amount), as_of=as_of, source=source,
        )
        for model, kind, provider, training_type, amount, source, as_of in _SUGGESTED
    ]  # fmt: skip
    return [price for price in made if _key_of(price) not in held]


def take_suggestions(user: Any) -> int:
    """Enter them; returns how many that are."""
    with transaction.atomic():
        wanted = suggestions()
        made = Price.objects.bulk_create(wanted, ignore_conflicts=True)
        if made:
            audit.record(user, "price.suggestions_taken", prices=len(made))
        return len(made)


def _key_of(price: Price) -> tuple[str, ...]:
    return tuple(str(getattr(price, name)) for name in _KEY)


# As a file.


def as_table(prices: Iterable[Price]) -> bytes:
    """The list for a spreadsheet, in the form that `read` takes."""
    rows = [
        [
            price.model, price.kind, price.provider, price.training_type, f"{price.amount.normalize():f}",
            settings.CURRENCY, price.as_of.isoformat(), price.source,
        ]
        for price in prices
    ]  # fmt: skip
    return tables.rows([COLUMNS, *rows])


def read(content: bytes) -> list[Price]:
    """The prices of a file. Raises Unreadable; then nothing of it is taken."""
    try:
        text = content.decode("utf-8-sig")
        lines = csv.DictReader(StringIO(text, newline=""), strict=True)
        named = [str(name or "").strip().lower() for name in lines.fieldnames or ()]
        lines.fieldnames = named
        rows = list(lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise Unreadable([f"This is no table of text in UTF-8: {error}"]) from error
    if missing := [name for name in NEEDED if name not in named]:
        raise Unreadable([f"The first line has to name the columns; missing: {', '.join(missing)}."])
    if len(rows) > MOST_ROWS:
        raise Unreadable([f"A list may have {MOST_ROWS:,} prices."])
    problems: list[str] = []
    prices: dict[tuple[str, ...], Price] = {}
    for number, row in enumerate(rows, start=2):
        try:
            price = _price_of(row)
        except ValueError as problem:
            problems.append(f"Line {number}: {problem}")
            continue
        if _key_of(price) in prices:
            problems.append(f"Line {number}: the price of {price.model} ({price.kind}) stands there twice.")
        prices[_key_of(price)] = price
    if problems:
        raise Unreadable(problems[:20])
    return list(prices.values())


def _price_of(row: Mapping[str, Any]) -> Price:
    def text(name: str) -> str:
        value = row.get(name)
        return value.strip().removeprefix("'") if isinstance(value, str) else ""

    if (currency := text("currency")) and currency != settings.CURRENCY:
        raise ValueError(f"This installation counts in {settings.CURRENCY}, not in {currency[:20]}.")
    try:
        amount = Decimal(text("amount"))
    except InvalidOperation as error:
        raise ValueError(f"{text('amount')[:20]!r} is no amount.") from error
    if not amount.is_finite():
        raise ValueError("The amount is not finite.")
    try:
        as_of = date.fromisoformat(text("as_of"))
    except ValueError as error:
        raise ValueError(f"{text('as_of')[:20]!r} is no day such as 2026-11-21.") from error
    price = Price(
        model=text("model"), kind=text("kind").lower(), provider=text("provider").lower(),
        training_type=text("training_type"), amount=amount, as_of=as_of, source=text("source"),
    )  # fmt: skip
    try:
        price.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from error
    if price.amount < 0:
        raise ValueError("A price is not below zero.")
    return price


def take(prices: Sequence[Price], user: Any) -> Taken:
    """Enter what a file says; prices that it does not name stay."""
    added = changed = same = 0
    with transaction.atomic():
        held = {_key_of(price): price for price in Price.objects.all()}
        for price in prices:
            old = held.get(_key_of(price))
            if old is None:
                price.save()
                added += 1
            elif (old.amount, old.as_of, old.source) == (price.amount, price.as_of, price.source):
                same += 1
            else:
                old.amount, old.as_of, old.source = price.amount, price.as_of, price.source
                old.save()
                changed += 1
        if added or changed:
            audit.record(user, "price.imported", added=added, changed=changed, same=same)
    return Taken(added, changed, same)
