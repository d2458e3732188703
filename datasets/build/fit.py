"""Tokens for so many characters, learnt from rows that upstream has counted. Pure.

A tokenizer makes few tokens of plain words and many of digits, signs and some scripts. So the characters of a
row are counted by class, and a weight for each class is fitted to what upstream counted for whole rows. What
the rows do not tell (no row has Chinese in it) stays near the usual weight.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

# Each with the tokens that one character usually takes, to begin with.
USUAL: Final = {
    "letters": 0.2,
    "spaces": 0.08,
    "digits": 0.4,
    "signs": 0.5,
    "marked letters": 0.5,  # Latin beyond ASCII
    "East Asian": 0.8,
    "other scripts": 0.4,
    "tools": 0.2,  # definitions of tools; they are not sent as JSON
    "messages": 4.0,
    "rows": 3.0,
}
CLASSES: Final = tuple(USUAL)
LEAST_ROWS: Final = 12  # to fit from
PULL: Final = 0.002  # towards the usual weights, against the rows

Counts = NDArray[np.float64]
_USUAL: Final = np.array(list(USUAL.values()))
_OF_TEXT: Final = CLASSES.index("tools")  # so many classes are of characters


@dataclass(frozen=True, slots=True)
class Fit:
    """Weights of CLASSES, from so many rows; `error` is what half of the rows stay under, as a share."""

    weights: tuple[float, ...]
    rows: int
    error: float

    @classmethod
    def of(cls, rows: Sequence[tuple[Counts, int]]) -> Self | None:
        """The fit to rows, each with what upstream counted for it; None from too few rows."""
        rows = [(counts, tokens) for counts, tokens in rows if tokens > 0]
        if len(rows) < LEAST_ROWS:
            return None
        counted, tokens = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], float)
        return cls(
            tuple(round(float(weight), 6) for weight in _fitted(counted, tokens)),
            len(rows),
            round(_error(counted, tokens), 4),
        )

    def tokens(self, counts: Counts) -> int:
        return max(1, round(float(counts @ np.array(self.weights))))

    def as_data(self) -> dict[str, Any]:
        return {"weights": list(self.weights), "rows": self.rows, "error": self.error}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        return cls(tuple(data["weights"]), data["rows"], data["error"])


def _fitted(counted: Counts, tokens: NDArray[np.float64]) -> Counts:
    """Least squares of the relative errors; no weight is negative."""
    pull = np.diag(np.sqrt(PULL * len(tokens)) / _USUAL)
    left = np.vstack([counted / tokens[:, None], pull])
    right = np.concatenate([np.ones(len(tokens)), np.full(len(_USUAL), np.sqrt(PULL * len(tokens)))])
    free = np.ones(len(_USUAL), bool)
    weights = np.zeros(len(_USUAL))
    while free.any():
        found = np.linalg.lstsq(left[:, free], right, rcond=None)[0]
        weights[:] = 0.0
        weights[free] = found
        if (found >= 0).all():
            break
        free &= weights > 0
    return np.maximum(weights, 0.0)


def _error(counted: Counts, tokens: NDArray[np.float64]) -> float:
    """The median of the relative errors, each row measured by the fit to the other half of the rows."""
    even = np.arange(len(tokens)) % 2 == 0
    found = []
    for half in (even, ~even):
        weights = _fitted(counted[half], tokens[half])
        found.append(np.abs(counted[~half] @ weights / tokens[~half] - 1))
    return float(np.median(np.concatenate(found)))


def counts(messages: Iterable[Mapping[str, Any]], tools: Any = None) -> Counts:
    """How much of each class there is in messages and tools, as a training line writes them."""
    messages = list(messages)
    of_text = by_class("".join(text for message in messages for text in texts(message)))
    defined = len(json.dumps(tools, ensure_ascii=False, default=str)) if tools else 0
    return np.array([*of_text, defined, len(messages), 1.0])


def texts(message: Mapping[str, Any]) -> Iterator[str]:
    """Every text of a message that becomes tokens."""
    yield str(message.get("name") or "")
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping):
            yield str(part.get("text") or "")
    refusal = message.get("refusal")
    if isinstance(refusal, str):
        yield refusal
    calls = message.get("tool_calls")
    legacy = message.get("function_call")
    for call in [*(calls if isinstance(calls, list) else []), *([{"function": legacy}] if legacy else [])]:
        for body in call.values() if isinstance(call, Mapping) else ():
            if isinstance(body, Mapping):
                yield from (str(body.get(name) or "") for name in ("name", "arguments", "input"))


def by_class(text: str) -> list[float]:
    """How many characters of each class a text has."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return [float(n) for n in np.bincount(_classes()[points], minlength=_OF_TEXT)]


@cache
def _classes() -> NDArray[np.uint8]:
    """The class of every code point."""
    made = np.full(0x110000, CLASSES.index("other scripts"), np.uint8)
    made[:0x80] = CLASSES.index("signs")
    for first, last, name in _RANGES:
        made[first : last + 1] = CLASSES.index(name)
    return made


_RANGES: Final = (
    (0x00, 0x20, "spaces"),
    (ord("0"), ord("9"), "digits"),
    (ord("A"), ord("Z"), "letters"),
    (ord("a"), ord("z"), "letters"),
    (0x80, 0xBF, "signs"),
    (0xC0, 0x24F, "marked letters"),
    (0x1E00, 0x1EFF, "marked letters"),
    (0x2000, 0x2BFF, "signs"),
    (0x2E80, 0x9FFF, "East Asian"),
    (0xAC00, 0xD7A3, "East Asian"),
    (0xF900, 0xFAFF, "East Asian"),
    (0xFF00, 0xFFEF, "East Asian"),
    (0x20000, 0x3FFFF, "East Asian"),
)
