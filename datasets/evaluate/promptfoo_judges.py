"""What Promptfoo's assertions ask a model, as judges of ours, and back. Pure.

Where a ready-made judge asks the same, it is that judge.
https://www.promptfoo.dev/docs/configuration/expected-outputs/model-graded/
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from datasets.evaluate.promptfoo_text import ANSWER
from datasets.evaluate.ready_made import CRITERIA, DATA, FACTUALITY, MEETS, QUESTION
from datasets.models import Grader

Kind = Grader.Kind
# The categories of a check of facts, and Promptfoo's names of them.
FACTS: Final = {
    "A": "subset",
    "B": "superset",
    "C": "agree",
    "D": "disagree",
    "E": "differButFactual",
}
AGREEING: Final = ["A", "B", "C", "E"]
_CRITERION: Final = MEETS.removesuffix(CRITERIA)
_RUBRIC: Final = f"You judge an answer by a rubric, and by the rubric alone.\n\n{DATA}"
_STEPS: Final = (
    "You score an answer from 0 to 1 by criteria: derive steps from the criteria, then go through them.\n\n"
    f"{DATA}"
)
_MARKED: Final = {"llm-rubric": "rubric", "factuality": "reference", "g-eval": "criteria"}


def rubric(text: str, threshold: float | None) -> tuple[Kind, dict[str, Any]]:
    """`llm-rubric`: pass or fail, or with a threshold a score from 0 to 1."""
    asked = _asks(_RUBRIC, {"rubric": text, "answer": ANSWER})
    if threshold is None:
        return Kind.LABEL_MODEL, _labels(asked, ["pass", "fail"], ["pass"])
    return Kind.SCORE_MODEL, {"input": asked, "range": [0, 1], "pass_threshold": threshold}


def criterion(text: str) -> tuple[Kind, dict[str, Any]]:
    """`model-graded-closedqa`: yes or no, with the conversation beside the answer."""
    asked = _asks(_CRITERION + text, {"conversation": QUESTION, "answer": ANSWER})
    return Kind.LABEL_MODEL, _labels(asked, ["Y", "N"], ["Y"])


def factuality(text: str, passing: Sequence[str]) -> tuple[Kind, dict[str, Any]]:
    """`factuality`: five categories, of which those in `passing` pass."""
    asked = _asks(FACTUALITY, {"conversation": QUESTION, "reference": text, "answer": ANSWER})
    return Kind.LABEL_MODEL, _labels(asked, list(FACTS), list(passing))


def g_eval(text: str, threshold: float) -> tuple[Kind, dict[str, Any]]:
    """`g-eval`: a score from 0 to 1 by criteria."""
    asked = _asks(_STEPS, {"criteria": text, "answer": ANSWER})
    return Kind.SCORE_MODEL, {"input": asked, "range": [0, 1], "pass_threshold": threshold}


def asked_of(kind: str, params: Mapping[str, Any]) -> tuple[str, str] | None:
    """Which assertion a judge is, and its text; None for one that none of the above makes."""
    plain = {name: value for name, value in params.items() if name not in ("connection", "model")}
    threshold, passing = params.get("pass_threshold"), params.get("passing_labels") or []
    for name, text in _texts(params.get("input")):
        if name == "llm-rubric":
            made = rubric(text, threshold)
        elif name == "model-graded-closedqa":
            made = criterion(text)
        elif name == "factuality":
            made = factuality(text, passing)
        else:
            made = g_eval(text, threshold if threshold is not None else 0)
        if (kind, plain) == made:
            return name, text
    return None


def _texts(messages: Any) -> list[tuple[str, str]]:
    """What the text of each assertion would be, if the messages are those of it."""
    if not isinstance(messages, list) or len(messages) != 2:
        return []
    system, shown = (message.get("content") for message in messages)
    if not isinstance(system, str) or not isinstance(shown, str):
        return []
    found = []
    if system.startswith(_CRITERION):
        found.append(("model-graded-closedqa", system.removeprefix(_CRITERION)))
    for name, mark in _MARKED.items():
        text, end, _ = shown.partition(f"<{mark}>\n")[2].rpartition(f"\n</{mark}>")
        if end:
            found.append((name, text))
    return found


def _asks(system: str, shown: Mapping[str, str]) -> list[dict[str, Any]]:
    marked = "\n\n".join(f"<{mark}>\n{text}\n</{mark}>" for mark, text in shown.items())
    return [{"role": "system", "content": system}, {"role": "user", "content": marked}]


def _labels(asked: list[dict[str, Any]], labels: list[str], passing: list[str]) -> dict[str, Any]:
    return {"input": asked, "labels": labels, "passing_labels": passing}
