"""A model that is asked to judge an answer: by what stands between the marks, always the same for the same.

It is told what to compare by the names of marks, and what it may say by the schema or by the words of the
request. What a text between the marks says about the verdict moves it in nothing.
"""

import json
import re
from collections import Counter
from typing import Any

from portal.sandbox.draw import Draw, share
from portal.sandbox.kinds import Json, recognise, text_of

_MARKED = re.compile(r"<([a-z][a-z0-9 _-]{0,30})>\n(.*?)\n</\1>", re.DOTALL | re.IGNORECASE)
_WANTED = re.compile(
    r'"result": (one of (?P<labels>.+)|a number from (?P<low>\S+) to (?P<high>\S+))\}\.$', re.MULTILINE
)
_WORD = re.compile(r"\w+")
_GOOD = frozenset(
    ("good", "great", "happy", "glad", "thanks", "love", "perfect", "pleased", "helpful", "nice")
)
_BAD = frozenset(
    ("bad", "poor", "terrible", "angry", "broken", "hate", "useless", "wrong", "failed", "awful")
)
SAME, NEAR = 0.9, 0.5
ANSWERS = ("answer", "text", "output", "response")
REFERENCES = ("reference", "expected", "ideal")


def judged(messages: list[Json], schema: Json | None) -> str | None:
    """The verdict in JSON; None unless a verdict is asked for."""
    asked = "\n".join(text_of(message.get("content")) for message in messages)
    wanted = _WANTED.search(asked)
    properties = schema.get("properties", {}) if schema else {}
    result = properties.get("result") if set(properties) == {"reason", "result"} else None
    if result is None and (schema is not None or wanted is None):
        return None
    marked = {name.lower(): text for name, text in _MARKED.findall(asked)}
    labels = _labels(result, wanted)
    if labels == ["1", "2", "tie"]:
        said, reason = _prefer(marked)
    elif labels:
        said, reason = _label(labels, marked)
    else:
        low, high = _ends(result or {}, wanted)
        near = _near(marked)
        value = low + (high - low) * near
        whole = high - low >= 2 and float(low).is_integer()
        return _told(f"They share {near:.0%} of their words.", round(value) if whole else round(value, 3))
    return _told(reason, said)


def overlap(first: str, second: str) -> float:
    """What share of their words two texts have in common: the F-measure of their words."""
    one, two = Counter(_words(first)), Counter(_words(second))
    common = sum((one & two).values())
    return 2 * common / (sum(one.values()) + sum(two.values())) if common else 0.0


def _told(reason: str, result: Any) -> str:
    return json.dumps({"reason": reason, "result": result}, ensure_ascii=False)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _labels(result: Json | None, wanted: re.Match[str] | None) -> list[str]:
    if result is not None:
        options = result.get("enum")
        return [str(option) for option in options] if isinstance(options, list) else []
    if wanted is None or not wanted["labels"]:
        return []
    try:
        return [str(label) for label in json.loads(f"[{wanted['labels']}]")]
    except ValueError:
        return []


def _ends(result: Json, wanted: re.Match[str] | None) -> tuple[float, float]:
    low, high = result.get("minimum", 0), result.get("maximum", 1)
    if wanted is not None and wanted["low"]:
        low, high = wanted["low"], wanted["high"]
    try:
        return float(low), float(high)
    except (TypeError, ValueError):
        return 0.0, 1.0


def _answer(marked: dict[str, str]) -> str:
    return next((marked[name] for name in ANSWERS if name in marked), "")


def _right(marked: dict[str, str]) -> str:
    """What the answer is held against: a reference, or what a good model says to the conversation."""
    reference = next((marked[name] for name in REFERENCES if name in marked), "")
    if reference:
        return reference
    try:
        conversation = json.loads(marked.get("conversation", ""))
    except (ValueError, RecursionError):
        return ""
    if not isinstance(conversation, list) or not all(isinstance(message, dict) for message in conversation):
        return ""
    problem = recognise(conversation)
    return problem.answer if problem is not None else ""


def _near(marked: dict[str, str]) -> float:
    answer, right = _answer(marked), _right(marked)
    return overlap(answer, right) if right else share("judge", answer)


def _label(labels: list[str], marked: dict[str, str]) -> tuple[str, str]:
    folded = {label.casefold(): label for label in labels}
    answer, right = _answer(marked), _right(marked)
    if "positive" in folded and "negative" in folded:
        found = _sentiment(answer)
        return folded.get(found, labels[-1]), f"Its words are {found}."
    near = _near(marked)
    if set(folded) == {"a", "b", "c", "d", "e"}:
        letter = _facts(answer, right, near)
        return folded[letter], f"They share {near:.0%} of their words."
    if right or near >= NEAR:
        place = 0 if near >= NEAR else len(labels) - 1
    else:
        place = Draw("judge", answer).below(len(labels))
    return labels[place], f"The answer shares {near:.0%} of the words that were looked for."


def _facts(answer: str, right: str, near: float) -> str:
    one, two = set(_words(answer)), set(_words(right))
    if near >= SAME:
        return "c"
    if one and len(one & two) >= SAME * len(one):
        return "a"
    if two and len(one & two) >= SAME * len(two):
        return "b"
    return "e" if near >= NEAR else "d"


def _sentiment(text: str) -> str:
    words = _words(text)
    if len(words) < 2:
        return "unsure"
    good, bad = (sum(word in known for word in words) for known in (_GOOD, _BAD))
    return "neutral" if good == bad else "positive" if good > bad else "negative"


def _prefer(marked: dict[str, str]) -> tuple[str, str]:
    right = _right(marked)
    first, second = (overlap(marked.get(f"answer {place}", ""), right) for place in (1, 2))
    if not right or abs(first - second) < 0.02:
        return "tie", "Neither is nearer to what was asked for."
    better = "1" if first > second else "2"
    return better, f"Answer {better} is nearer: {first:.0%} against {second:.0%}."
