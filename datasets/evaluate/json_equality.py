"""When two JSON values are the same: 1 is 1.0 but not true, and the order of names does not matter. Pure."""

import json
from collections.abc import Hashable, Mapping
from typing import Any


class NoJson(ValueError):
    """The text is no JSON; says why."""


def parse(text: str) -> Any:
    """The value of a JSON text, as the standard has it: without NaN and its kin. Raises NoJson."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise NoJson("It is nested too deeply.") from None
    except ValueError as error:
        raise NoJson(f"It is no JSON: {error}"[:300]) from None


def likeness(value: Any) -> Hashable:
    """Equal for JSON values that are the same, and for no others. Raises RecursionError for a deep one."""
    if isinstance(value, bool) or value is None:
        return ("word", value)
    if isinstance(value, int | float):
        return ("number", value)
    if isinstance(value, Mapping):
        return ("object", frozenset((name, likeness(inner)) for name, inner in value.items()))
    if isinstance(value, list):
        return ("list", tuple(map(likeness, value)))
    return ("text", value)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
