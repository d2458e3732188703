"""The ways in which a model is trained, and the numbers that each takes, as the create call has them. Pure.

https://platform.openai.com/docs/api-reference/fine-tuning/create
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from datasets.models import FineTune

Method = FineTune.Method
AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class Number:
    """A hyperparameter: its name, and from where to where it goes, or what it is one of."""

    name: str
    label: str
    whole: bool = False
    least: float = 0
    most: float = float("inf")
    above: bool = False  # `least` itself is not allowed
    choices: tuple[str, ...] = ()

    def read(self, value: Any) -> Any:
        """The value as it is sent; raises ValueError with words for a person."""
        if value in (None, "", AUTO):
            return AUTO
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"{self.label} is one of {', '.join(self.choices)}, or auto.")
            return value
        try:
            if isinstance(value, bool):
                raise ValueError
            number: float = float(value)
            if not isfinite(number):
                raise ValueError
            if self.whole:
                if number != int(number):
                    raise ValueError
                number = int(number)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{self.label} is {self.range_in_words()}, or auto.") from None
        if not self.least <= number <= self.most or (self.above and number == self.least):
            raise ValueError(f"{self.label} is {self.range_in_words()}, or auto.")
        return number

    def range_in_words(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        low = f"above {self.least:g}" if self.above else f"from {self.least:g}"
        return f"{kind} {low}" + ("" if self.most == float("inf") else f" up to {self.most:g}")


_COMMON: Final = (
    Number("n_epochs", "Epochs", whole=True, least=1, most=50),
    Number("batch_size", "Batch size", whole=True, least=1, most=256),
    Number("learning_rate_multiplier", "Learning rate multiplier", above=True),
)
NUMBERS: Final[Mapping[str, tuple[Number, ...]]] = {
    Method.SUPERVISED: _COMMON,
    Method.DPO: (*_COMMON, Number("beta", "Beta", above=True, most=2)),
    Method.REINFORCEMENT: (
        *_COMMON,
        Number("reasoning_effort", "Reasoning effort", choices=("default", "low", "medium", "high")),
        Number("compute_multiplier", "Compute multiplier", least=0.00001, above=True, most=10),
        Number("eval_interval", "Evaluation interval", whole=True, least=1),
        Number("eval_samples", "Evaluation samples", whole=True, least=1),
    ),
}
# Graders that the create call of a reinforcement job takes.
GRADERS: Final = ("string_check", "text_similarity", "python", "score_model", "multi")
PURPOSES: Final = {
    Method.SUPERVISED: "supervised",
    Method.DPO: "preference",
    Method.REINFORCEMENT: "reinforcement",
}


def read(method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters of a job, each a value or "auto"; raises ValueError with words for a person."""
    if method not in NUMBERS:
        raise ValueError(f"There is no method {method!r}.")
    return {number.name: number.read(values.get(number.name)) for number in NUMBERS[method]}


def problems(tune: FineTune) -> Iterator[str]:
    """Why this job could not be created, in words, as far as that can be said without asking."""
    if tune.method not in NUMBERS:
        yield f"There is no method {tune.method!r}."
        return
    for number in NUMBERS[tune.method]:
        try:
            number.read(tune.hyperparameters.get(number.name))
        except ValueError as problem:
            yield str(problem)
    if not 0 <= tune.seed <= 2**31 - 1:
        yield "The seed is a whole number from 0 up to 2147483647."
    version = tune.trained_on
    if version.part("train") is None:
        yield "The dataset version has no training part."
    if tune.method == Method.REINFORCEMENT:
        if tune.grader.get("type") not in GRADERS:
            yield "Reinforcement needs a grader that scores the answers."
        if version.part("validation") is None:
            yield "Reinforcement needs a validation part beside the training part."
    if version.dataset.purpose != PURPOSES[Method(tune.method)]:
        yield (
            f"A dataset for {version.dataset.get_purpose_display().lower()} cannot be trained on with the"
            f" method “{tune.get_method_display()}”."
        )


def as_sent(kind: str, hyperparameters: Mapping[str, Any], grader: Mapping[str, Any]) -> dict[str, Any]:
    """The member `method` of the create call. What is "auto" is left out, as that is the default."""
    options: dict[str, Any] = {
        "hyperparameters": {name: value for name, value in hyperparameters.items() if value != AUTO}
    }
    if kind == Method.REINFORCEMENT:
        options["grader"] = dict(grader)
    return {"type": kind, kind: options}
