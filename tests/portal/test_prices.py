"""Prices: the one of the longest name, never that of another model, and what tokens come to."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from portal import prices
from portal.models import Kind, Price
from tests import factories

pytestmark = pytest.mark.django_db


def price(model: str, amount: str, kind: str = Price.Kind.INPUT, **fields: Any) -> Price:
    values: dict[str, Any] = {"as_of": date(2026, 11, 1), "source": "a page"} | fields
    made: Price = Price.objects.create(model=model, kind=kind, amount=Decimal(amount), **values)
    return made


@pytest.mark.parametrize(
    ("model", "amount"),
    [
        ("gpt-4.1", 2),
        ("gpt-4.1-2025-04-14", 2),
        ("GPT-4.1-2025-04-14", 2),
        ("gpt-4.1-mini", 1),
        ("gpt-4.1-mini-2025-04-14", 1),
        ("gpt-4.1-mini-2025-04-14.ft-8c1f-support", 1),
        ("gpt-3.5-turbo-0125", 5),
        ("ft:gpt-4.1-mini-2025-04-14:acme:support:abc", 3),
        ("gpt-4.1-nano", None),
        ("gpt-4", None),
        ("gpt-4.1-mini-audio", None),
        ("ft:gpt-4.1-2025-04-14:acme::abc", None),
        ("my-deployment", None),
        ("", None),
    ],
)
def test_a_price_is_for_a_model_and_its_versions(model: str, amount: int | None) -> None:
    for name, each in {"gpt-4.1": 2, "gpt-4.1-mini": 1, "ft:gpt-4.1-mini": 3, "gpt-3.5-turbo": 5}.items():
        price(name, str(each))
    found = prices.find(model, Price.Kind.INPUT)
    assert (found.amount if found else None) == amount


def test_the_longest_name_wins() -> None:
    price("gpt-4o", "2")
    price("gpt-4o-2024-05-13", "5")
    found = prices.find("gpt-4o-2024-05-13", Price.Kind.INPUT)
    assert found is not None
    assert found.amount == 5


@pytest.mark.parametrize(
    ("provider", "training_type", "amount"),
    [
        ("azure", "GlobalStandard", 1),
        ("azure", "globalstandard", 1),
        ("azure", "Standard", 2),
        ("openai", "", 9),
        ("", "", 9),
    ],
)
def test_provider_and_training_type_count_before_none(provider: str, training_type: str, amount: int) -> None:
    training = Price.Kind.TRAINING
    price("gpt-4.1", "9", training)
    price("gpt-4.1", "2", training, provider="azure")
    price("gpt-4.1", "1", training, provider="azure", training_type="GlobalStandard")
    found = prices.find("gpt-4.1-2025-04-14", training, provider, training_type)
    assert found is not None
    assert found.amount == amount


def test_calls_cost_what_their_tokens_do_and_are_unknown_without_both_prices() -> None:
    price("gpt-4.1", "2")
    assert prices.cost("gpt-4.1", "", 1_000_000, 10) is None
    price("gpt-4.1", "8", Price.Kind.OUTPUT, as_of=date(2026, 3, 1))
    assert prices.cost("gpt-4.1", "", 1_000_000, 500_000) == 6
    assert prices.rates("gpt-4.1").as_of == date(2026, 3, 1)


def test_a_price_is_old_after_half_a_year() -> None:
    today = timezone.now().date()
    assert not prices.is_old(today - timedelta(days=180))
    assert prices.is_old(today - timedelta(days=181))


@pytest.mark.parametrize(
    ("kind", "provider"),
    [
        (Kind.AZURE_V1, "azure"),
        (Kind.AZURE_DATED, "azure"),
        (Kind.OPENAI, "openai"),
        (Kind.COMPATIBLE, ""),
    ],
)
def test_a_connection_has_the_prices_of_its_provider(kind: str, provider: str) -> None:
    assert prices.provider_of(factories.connection(kind=kind)) == provider


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0.00 USD"),
        ("12.4", "12.40 USD"),
        ("1234567.891", "1,234,567.89 USD"),
        ("0.0042", "0.0042 USD"),
        ("0.000001", "0.000001 USD"),
        ("-1.5", "-1.50 USD"),
    ],
)
def test_an_amount_in_words(amount: str, text: str) -> None:
    assert prices.money(Decimal(amount)) == text
