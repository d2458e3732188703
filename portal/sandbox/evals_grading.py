"""How the sandbox's evaluations judge: templates, strings, nearness of texts, and models that judge.

Written anew from the public documentation, so that it can disagree with whoever measures against it.
https://platform.openai.com/docs/guides/graders
"""

import difflib
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from portal.sandbox.brains import Skill, say
from portal.sandbox.catalog import vector
from portal.sandbox.kinds import Json
from portal.sandbox.story import tokens

_HOLE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_STEP = re.compile(r"[\w-]+|\[(-?\d+)\]|\[[\"']([^\"']+)[\"']\]")


class NoValue(Exception):
    """A template names something that the row does not have."""


def render(text: str, roots: Json) -> str:
    def fill(hole: re.Match[str]) -> str:
        value: Any = roots
        for step in _STEP.finditer(hole[1]):
            try:
                value = value[int(step[1])] if step[1] else value[step[2] or step[0]]
            except (KeyError, IndexError, TypeError) as error:
                raise NoValue(f"{hole[1]} is not there") from error
        if value is None:
            raise NoValue(f"{hole[1]} is null")
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return _HOLE.sub(fill, text)


def judge(criterion: Json, item: Json, sample: Json, skill: Callable[[str], Skill]) -> Json:
    """One result: name, type, score, passed, and for a model what it was asked and said. Raises NoValue."""
    roots: Json = {"item": item, "sample": sample}
    kind = criterion["type"]
    result: Json = {"name": criterion["id"], "type": kind, "sample": None}
    if kind in ("label_model", "score_model"):
        return result | _ask(criterion, roots, skill(criterion["model"]))
    if kind == "python":
        raise NoValue("the sandbox runs no Python")
    text, wanted = render(criterion["input"], roots), render(criterion["reference"], roots)
    if kind == "string_check":
        score = float(_OPERATIONS[criterion["operation"]](text, wanted))
        return result | {"score": score, "passed": bool(score)}
    score = round(similarity(criterion["evaluation_metric"], text, wanted), 6)
    return result | {"score": score, "passed": score >= criterion["pass_threshold"]}


_OPERATIONS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda text, wanted: text == wanted,
    "ne": lambda text, wanted: text != wanted,
    "like": lambda text, wanted: wanted in text,
    "ilike": lambda text, wanted: wanted.lower() in text.lower(),
}


def _ask(criterion: Json, roots: Json, skill: Skill) -> Json:
    messages = [
        {"role": message["role"], "content": _content(message.get("content"), roots)}
        for message in criterion["input"]
    ]
    labels = criterion.get("labels")
    result: Json = {"type": "string", "enum": labels} if labels else {"type": "number"}
    if not labels:
        low, high = criterion.get("range") or (0, 1)
        result |= {"minimum": low, "maximum": high}
    schema: Json = {
        "type": "object",
        "properties": {"reason": {"type": "string"}, "result": result},
        "required": ["reason", "result"],
    }
    said = say(skill, messages, schema=schema).content or "{}"
    found = json.loads(said).get("result") if said.startswith("{") else None
    asked = sum(tokens(message["content"]) for message in messages)
    told: Json = {
        "sample": {
            "input": messages,
            "output": [{"role": "assistant", "content": said}],
            "finish_reason": "stop",
            "model": criterion["model"],
            "usage": {
                "prompt_tokens": asked,
                "completion_tokens": tokens(said),
                "total_tokens": asked + tokens(said),
                "cached_tokens": 0,
            },
            "error": None,
        }
    }
    if labels:
        passed = found in criterion["passing_labels"]
        return told | {"score": float(passed), "passed": passed}
    score = float(found) if isinstance(found, int | float) else 0.0
    return told | {"score": score, "passed": score >= criterion.get("pass_threshold", 0.5)}


def _content(content: Any, roots: Json) -> str:
    parts = content if isinstance(content, list) else [content]
    texts = [part if isinstance(part, str) else str(part.get("text", "")) for part in parts]
    return "\n".join(render(text, roots) for text in texts)


# Nearness of texts.


def similarity(metric: str, text: str, wanted: str) -> float:
    if metric == "fuzzy_match":
        return difflib.SequenceMatcher(None, text, wanted, autojunk=False).ratio()
    if metric == "cosine":
        mine, theirs = vector(text or " ", 256), vector(wanted or " ", 256)
        return max(0.0, sum(a * b for a, b in zip(mine, theirs, strict=True)))
    said, given = text.lower().split(), wanted.lower().split()
    if not said or not given:
        return 0.0
    if metric == "rouge_l":
        return _f(_longest_common(said, given), len(said), len(given))
    if metric.startswith("rouge_"):
        size = int(metric[-1])
        mine_n, theirs_n = _grams(said, size), _grams(given, size)
        return _f((mine_n & theirs_n).total(), mine_n.total(), theirs_n.total())
    if metric == "meteor":
        shared = (Counter(said) & Counter(given)).total()
        precision, recall = shared / len(said), shared / len(given)
        return 10 * precision * recall / (recall + 9 * precision) if shared else 0.0
    grams = [(_grams(said, size), _grams(given, size)) for size in range(1, 5)]
    if metric == "gleu":
        hits = sum((mine & theirs).total() for mine, theirs in grams)
        return hits / max(sum(m.total() for m, _ in grams), sum(t.total() for _, t in grams))
    shares = [((mine & theirs).total() + 0.1) / (mine.total() + 0.1) for mine, theirs in grams]
    brevity = min(1.0, math.exp(1 - len(given) / len(said)))
    return float(brevity * math.exp(sum(math.log(share) for share in shares) / 4))


def _grams(words: list[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def _f(shared: int, mine: int, theirs: int) -> float:
    return 2 * shared / (mine + theirs) if mine + theirs else 0.0


def _longest_common(mine: list[str], theirs: list[str]) -> int:
    row = [0] * (len(theirs) + 1)
    for word in mine:
        before = 0
        for at, other in enumerate(theirs, 1):
            before, row[at] = row[at], before + 1 if word == other else max(row[at], row[at - 1])
    return row[-1]
