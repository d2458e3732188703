"""How far a job has come: its step, of how many, and the loss there."""

import math
import re
from dataclasses import dataclass
from typing import Any

from datasets.finetune import metrics
from datasets.models import FineTune

_OF = re.compile(r"\bstep\s+(\d{1,9})\s*(?:/|of)\s*(\d{1,9})", re.I)


@dataclass(frozen=True)
class Progress:
    """`total` is None where nobody knows; `told` says that the provider gave it, else it is worked out."""

    step: int
    total: int | None = None
    told: bool = False
    loss: float | None = None
    reward: float | None = None

    @property
    def words(self) -> str:
        """As it stands in the state: "step 120 of about 300, loss 0.42"."""
        parts = [f"step {self.step:,}"]
        if self.total is not None and self.total >= self.step:
            parts[0] += f" of {'' if self.told else 'about '}{self.total:,}"
        if self.loss is not None:
            parts.append(f"loss {self.loss:.2f}")
        elif self.reward is not None:
            parts.append(f"reward {self.reward:.2f}")
        return ", ".join(parts)


def of(tune: FineTune) -> Progress | None:
    """What the newest step told; None before the first."""
    found = tune.events.filter(kind="metrics").order_by("-created", "-id")[:20]
    steps = [(event, row) for event in found for row in metrics.of_events([event])]
    if not steps:
        return None
    event, row = max(steps, key=lambda pair: pair[1]["step"])
    step = int(row["step"])
    told = _told(event.data.get("total_steps")) or _in_words(event.message)
    total = told or _worked_out(tune)
    loss = row.get("train_loss", row.get("valid_loss"))
    reward = row.get("train_reward_mean", row.get("valid_reward_mean"))
    return Progress(step, total, told is not None, loss, reward)


def _told(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 < value < 2**31 else None


def _in_words(message: str) -> int | None:
    found = _OF.search(message[:300])
    return int(found[2]) if found else None


def _worked_out(tune: FineTune) -> int | None:
    """Rows times epochs by the batch size, as the provider said that it uses them."""
    used = tune.raw.get("hyperparameters")
    used = used if isinstance(used, dict) else {}
    epochs = _told(used.get("n_epochs")) or _told(tune.hyperparameters.get("n_epochs"))
    batch = _told(used.get("batch_size")) or _told(tune.hyperparameters.get("batch_size"))
    part = tune.version.part("train") if tune.version is not None else None
    if epochs is None or batch is None or part is None:
        return None
    return math.ceil(part.rows * epochs / batch)
