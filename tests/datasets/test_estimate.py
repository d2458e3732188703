"""What a job may cost: epochs as the provider's guide has them, tokens of the training part alone."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from datasets.finetune.estimate import auto_epochs, training
from datasets.models import Dataset, DatasetVersion, FineTune, Purpose
from portal.models import Price
from tests import factories


@pytest.mark.parametrize(
    ("rows", "epochs"),
    [(0, 0), (1, 25), (4, 25), (10, 10), (33, 3), (34, 3), (8_333, 3), (8_334, 2), (20_000, 1), (90_000, 1)],
)
def test_few_rows_are_trained_on_more_often(rows: int, epochs: int) -> None:
    assert auto_epochs(rows) == epochs


def split(name: str, rows: int, tokens: int) -> dict[str, Any]:
    return {
        "name": name, "first_line": 1, "rows": rows, "offset": 0, "size": 1, "sha256": "0" * 64,
        "file_name": f"{name}.jsonl", "tokens": tokens,
    }  # fmt: skip


@pytest.fixture
def version(db: None) -> DatasetVersion:
    dataset = Dataset.objects.create(name="Support", purpose=Purpose.SUPERVISED)
    return DatasetVersion(
        dataset=dataset, number=1, rows=220, splits=[split("train", 200, 500_000), split("validation", 20, 9)]
    )


@pytest.mark.parametrize(("chosen", "epochs", "known"), [("auto", 3, False), (2, 2, True), (None, 3, False)])
def test_tokens_times_epochs_times_price(
    chosen: Any, epochs: int, known: bool, version: DatasetVersion
) -> None:
    Price.objects.create(model="gpt-4.1", kind="training", amount=Decimal(2), as_of=date(2026, 11, 1))
    made = training(version, "gpt-4.1-2025-04-14", factories.connection(), "", {"n_epochs": chosen})
    assert (made.rows, made.validation_rows) == (200, 20)
    assert (made.epochs, made.epochs_known) == (epochs, known)
    assert (made.tokens, made.trained_tokens) == (500_000, 500_000 * epochs)
    assert (made.amount, made.as_of) == (Decimal(epochs), date(2026, 11, 1))
    assert made.as_data()["price"] == "2.000000"


def test_without_a_price_the_amount_is_not_known(version: DatasetVersion) -> None:
    made = training(version, "gpt-4.1", factories.connection(), "", {})
    assert (made.price, made.amount, made.as_of, made.trained_tokens) == (None, None, None, 1_500_000)


def test_reinforcement_is_billed_by_the_hour(version: DatasetVersion) -> None:
    Price.objects.create(model="o4-mini", kind="training", amount=Decimal(2), as_of=date(2026, 11, 1))
    method = FineTune.Method.REINFORCEMENT
    made = training(version, "o4-mini-2025-04-16", factories.connection(), "", {}, method)
    assert (made.amount, made.tokens) == (None, 500_000)
