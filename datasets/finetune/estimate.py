"""What a fine-tuning job will train on and cost, as far as that can be said before it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from datasets.models import DatasetVersion, FineTune
from portal import prices
from portal.models import Connection, Price

# How often the rows are trained on where the provider chooses; the estimate that its cookbook gives:
# https://cookbook.openai.com/examples/chat_finetuning_data_prep
TARGET_EPOCHS: Final = 3
LEAST_ROWS, MOST_ROWS = 100, 25_000
LEAST_EPOCHS, MOST_EPOCHS = 1, 25


@dataclass(frozen=True, slots=True)
class Estimate:
    """`tokens` are those of one epoch; `amount` and `price` are None where nobody entered a price."""

    rows: int
    validation_rows: int
    epochs: int
    epochs_known: bool
    tokens: int
    trained_tokens: int
    price: Price | None
    amount: Decimal | None
    as_of: date | None

    def as_data(self) -> dict[str, Any]:
        """As a fine-tune keeps it: what was said before the launch."""
        return {
            "rows": self.rows,
            "validation_rows": self.validation_rows,
            "epochs": self.epochs,
            "epochs_known": self.epochs_known,
            "tokens": self.tokens,
            "trained_tokens": self.trained_tokens,
            "price": None if self.price is None else f"{self.price.amount:f}",
            "amount": None if self.amount is None else f"{self.amount:f}",
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
        }


def auto_epochs(rows: int) -> int:
    """How often the provider trains on so many rows if it may choose; an estimate."""
    if rows <= 0:
        return 0
    if TARGET_EPOCHS * rows < LEAST_ROWS:
        return min(MOST_EPOCHS, LEAST_ROWS // rows)
    if TARGET_EPOCHS * rows > MOST_ROWS:
        return max(LEAST_EPOCHS, MOST_ROWS // rows)
    return TARGET_EPOCHS


def training(
    version: DatasetVersion,
    base_model: str,
    connection: Connection,
    training_type: str,
    hyperparameters: Mapping[str, Any],
    method: str = FineTune.Method.SUPERVISED,
) -> Estimate:
    """What a job on a version that is built trains on and may cost.

    Reinforcement is billed by the hour, which nobody knows before, so its amount is None.
    """
    train, validation = version.part("train"), version.part("validation")
    rows, tokens = (train.rows, train.tokens) if train else (0, 0)
    chosen = hyperparameters.get("n_epochs", "auto")
    known = isinstance(chosen, int) and not isinstance(chosen, bool)
    epochs = int(chosen) if known else auto_epochs(rows)
    price = None
    if method != FineTune.Method.REINFORCEMENT:
        price = prices.find(base_model, Price.Kind.TRAINING, prices.provider_of(connection), training_type)
    return Estimate(
        rows=rows,
        validation_rows=validation.rows if validation else 0,
        epochs=epochs,
        epochs_known=known,
        tokens=tokens,
        trained_tokens=tokens * epochs,
        price=price,
        amount=amount_of(tokens * epochs, price),
        as_of=price.as_of if price else None,
    )


def amount_of(trained_tokens: int, price: Price | None) -> Decimal | None:
    """What so many trained tokens cost."""
    return None if price is None else trained_tokens * price.amount / prices.PER
