"""Whether validation parts from training, in words: the model then learns its rows by heart. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

LEAST_POINTS = 5  # measurements of validation before anything is said
WINDOW = 3  # of which the middle counts, so that one odd step says nothing
RISE = 0.03  # of the lowest loss: less is noise


@dataclass(frozen=True)
class Parting:
    """Validation was best at `step`; since then it got worse while training went on getting better."""

    step: int
    lowest: float
    now: float
    training_then: float
    training_now: float
    checkpoint: int | None = None  # the saved step that is nearest to the best one

    @property
    def text(self) -> str:
        """What it means and what to do."""
        said = (
            f"Validation loss was lowest at step {self.step:,} ({self.lowest:.3g}) and is {self.now:.3g} now,"
            f" while training loss went on falling from {self.training_then:.3g} to {self.training_now:.3g}:"
            " the model begins to learn its rows by heart."
        )
        if self.checkpoint is None:
            return f"{said} Fewer epochs or more varied rows would help."
        return (
            f"{said} The checkpoint at step {self.checkpoint:,} may well be the better model; measure both."
            " Fewer epochs or more varied rows would help."
        )


def of(rows: Sequence[Mapping[str, float]], saved: Sequence[int] = ()) -> Parting | None:
    """What the curve says; None while both go down, or where there is too little to tell.

    `rows` are steps with `train_loss` and `valid_loss` or `full_valid_loss`; `saved` are checkpoints' steps.
    """
    column = "full_valid_loss" if _count(rows, "full_valid_loss") >= LEAST_POINTS else "valid_loss"
    measured = [(row["step"], row[column]) for row in rows if column in row]
    trained = [(row["step"], row["train_loss"]) for row in rows if "train_loss" in row]
    if len(measured) < LEAST_POINTS or len(trained) < LEAST_POINTS:
        return None
    smooth = _smooth(measured)
    place = min(range(len(smooth)), key=lambda each: smooth[each][1])
    best_step, lowest = smooth[place]
    last_step, now = smooth[-1]
    after = smooth[place + 1 :]
    if len(after) < WINDOW - 1 or lowest <= 0 or now < lowest * (1 + RISE):
        return None
    if any(loss < lowest * (1 + RISE / 2) for _, loss in after[-2:]):
        return None  # it comes back
    training = _smooth(trained)
    then, ends = _at(training, best_step), _at(training, last_step)
    if ends >= then:
        return None  # both rise: the learning rate is too high, which is another matter
    return Parting(round(best_step), lowest, now, then, ends, _nearest(saved, best_step, last_step))


def _count(rows: Sequence[Mapping[str, float]], column: str) -> int:
    return sum(column in row for row in rows)


def _smooth(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    half = WINDOW // 2
    return [
        (step, median(loss for _, loss in points[max(0, place - half) : place + half + 1]))
        for place, (step, _) in enumerate(points)
    ]


def _at(points: Sequence[tuple[float, float]], step: float) -> float:
    return min(points, key=lambda point: abs(point[0] - step))[1]


def _nearest(saved: Sequence[int], best: float, last: float) -> int | None:
    """The checkpoint to try instead: none if the nearest is the end itself."""
    nearest = min(saved, key=lambda step: abs(step - best), default=None)
    if nearest is None or abs(nearest - best) >= abs(last - best):
        return None
    return nearest
