"""Ready-made graders to begin with, for the fields that the rows have. Pure.

https://platform.openai.com/docs/guides/graders
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from datasets.build import columns
from datasets.build.reinforcement import TAKEN
from datasets.recipe import Recipe

_ANSWER: Final = "{{sample.output_text}}"
JUDGE: Final = "gpt-4o-2024-08-06"


@dataclass(frozen=True)
class Start:
    """A grader to begin with."""

    key: str
    title: str
    grader: dict[str, Any]


def fields_of(recipe: Recipe) -> list[str]:
    """What `item.` has in every row of a reinforcement file, the reference first."""
    further = columns.names(recipe.columns, TAKEN).values()
    return [*([columns.REFERENCE] if recipe.reference else []), *further]


def starts(fields: Sequence[str]) -> list[Start]:
    """Graders that compare with the first field; without one only a model can judge."""
    judged = [Start("judge", "A model judges", _judge(fields))]
    if not fields:
        return judged
    reference = f"{{{{item.{fields[0]}}}}}"
    exact = {
        "type": "string_check",
        "name": "Exact",
        "input": _ANSWER,
        "reference": reference,
        "operation": "eq",
    }
    similar = {
        "type": "text_similarity",
        "name": "Similar",
        "input": _ANSWER,
        "reference": reference,
        "evaluation_metric": "rouge_l",
    }
    both = {
        "type": "multi",
        "name": "Both",
        "graders": {"exact": exact, "similar": similar},
        "calculate_output": "0.5 * exact + 0.5 * similar",
    }
    return [
        Start("exact", "The same text", exact),
        Start("similar", "Similar text", similar),
        Start("both", "Half and half", both),
        *judged,
    ]


def _judge(fields: Sequence[str]) -> dict[str, Any]:
    wanted = f"\n\nWhat was wanted:\n{{{{item.{fields[0]}}}}}" if fields else ""
    asked = f"Score the answer from 0 (useless) to 1 (perfect).\n\nThe answer:\n{_ANSWER}{wanted}"
    return {
        "type": "score_model",
        "name": "Judge",
        "model": JUDGE,
        "input": [{"role": "user", "content": asked}],
        "range": [0, 1],
    }
