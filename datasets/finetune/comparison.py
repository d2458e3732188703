"""Jobs that were launched together, beside each other: what differs, what it led to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets.finetune import costs, method, picture
from datasets.models import FineTune
from portal.charts import Chart, Line

MOST_LINES = 8


@dataclass(frozen=True)
class Variant:
    """One job of the group. `settings` are heading and value of what differs, in the order of `differing`."""

    tune: FineTune
    name: str
    words: str
    tone: str
    settings: tuple[tuple[str, str], ...]
    training: float | None
    validation: float | None
    tokens: int | None
    cost: str
    best: bool = False


def differing(tunes: Sequence[FineTune]) -> list[str]:
    """What is not the same in all of them, as headings."""
    return [label for label, values in _settings(tunes) if len(set(values)) > 1]


def of(tunes: Sequence[FineTune]) -> list[Variant]:
    """The jobs with what differs and their last losses; the one with the lowest validation loss is marked."""
    differ = [(label, values) for label, values in _settings(tunes) if len(set(values)) > 1]
    curves = [picture.curve(tune, list(tune.checkpoints.all())) for tune in tunes]
    last = [_last(rows, "full_valid_loss", "valid_loss") for rows in curves]
    known = [loss for loss in last if loss is not None]
    lowest = min(known) if len(known) > 1 else None
    made = []
    for number, (tune, rows) in enumerate(zip(tunes, curves, strict=True)):
        spent = costs.of(tune)
        made.append(
            Variant(
                tune=tune,
                name=name_of(number),
                words=picture.in_words(tune),
                tone=picture.tone(tune),
                settings=tuple((label, values[number]) for label, values in differ),
                training=_last(rows, "train_loss"),
                validation=last[number],
                tokens=tune.trained_tokens,
                cost=spent.shortly,
                best=lowest is not None and last[number] == lowest,
            )
        )
    return made


def name_of(number: int) -> str:
    """A to Z, then A2 and so on."""
    letter = chr(ord("A") + number % 26)
    return letter if number < 26 else f"{letter}{number // 26 + 1}"


def charts(tunes: Sequence[FineTune]) -> list[Chart]:
    """The losses of all on one picture each: validation where it is told, and training."""
    made = []
    shown = list(enumerate(tunes))[:MOST_LINES]
    curves = {number: picture.curve(tune, list(tune.checkpoints.all())) for number, tune in shown}
    for name, title, column in (
        ("valid", "Validation loss by step", "valid_loss"),
        ("train", "Training loss by step", "train_loss"),
    ):
        told = {
            number: {row["step"]: row[column] for row in rows if column in row}
            for number, rows in curves.items()
        }
        told = {number: points for number, points in told.items() if points}
        if not told:
            continue
        steps = sorted({step for points in told.values() for step in points})
        lines = [
            Line(f"{name_of(number)}: {tunes[number].base_model}", [points.get(step) for step in steps])
            for number, points in told.items()
        ]
        made.append(Chart(name, title, "Step", steps, lines))
    return made


def _settings(tunes: Sequence[FineTune]) -> list[tuple[str, list[str]]]:
    """Every setting of a job with its values, one for each."""
    labels: list[tuple[str, Any]] = [
        ("Base model", lambda tune: tune.base_model),
        ("Method", lambda tune: str(FineTune.Method(tune.method).label)),
        ("Training type", lambda tune: tune.training_type),
        ("Seed", lambda tune: str(tune.seed)),
        ("Suffix", lambda tune: tune.suffix),
    ]
    numbers: dict[str, str] = {}
    for tune in tunes:
        numbers |= {number.name: number.label for number in method.NUMBERS.get(tune.method, ())}
    for name, label in numbers.items():
        labels.append((label, lambda tune, name=name: str(tune.hyperparameters.get(name, method.AUTO))))
    return [(label, [value_of(tune) for tune in tunes]) for label, value_of in labels]


def _last(rows: Sequence[dict[str, float]], *columns: str) -> float | None:
    for column in columns:
        for row in reversed(rows):
            if column in row:
                return row[column]
    return None
