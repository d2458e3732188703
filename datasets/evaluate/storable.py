"""Text of models as every database takes it, and scores as sums of many of them do."""

import re
from typing import Any

FARTHEST = 1e100  # from 0: a million of them still make a sum
_REFUSED = re.compile(r"[\x00\ud800-\udfff]")


def storable(value: Any, depth: int = 0) -> Any:
    """The value with NUL and lone surrogates replaced in every text; PostgreSQL stores neither."""
    if isinstance(value, str):
        return _REFUSED.sub("\N{REPLACEMENT CHARACTER}", value)
    if depth > 50:
        return "(nested too deeply)"
    if isinstance(value, dict):
        return {storable(str(key)): storable(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [storable(inner, depth + 1) for inner in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value


def score(value: float | None) -> float | None:
    """The score, or the farthest that is kept. Whether it passes was decided by what it was."""
    return None if value is None else max(-FARTHEST, min(FARTHEST, value))
