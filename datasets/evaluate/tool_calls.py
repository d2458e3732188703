"""Which tools an answer calls, and whether these are the ones that were wanted. Pure.

https://platform.openai.com/docs/guides/function-calling
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets.evaluate.json_equality import NoJson, likeness, parse

SHOWN = 80
MOST = 200  # calls that are compared
_BODIES = ("function", "custom")


class Unreadable(ValueError):
    """It is no list of tool calls; says why."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` are a JSON value, or a text where they are none. If they are not `told`, any will do."""

    name: str
    arguments: Any = None
    told: bool = True

    def __str__(self) -> str:
        if not self.told:
            return f"{self.name}(…)"
        text = json.dumps(self.arguments, ensure_ascii=False)
        return f"{self.name}({text[:SHOWN]}{'…' if len(text) > SHOWN else ''})"


def read(value: Any) -> list[ToolCall]:
    """Calls as the API has them, or as {"name": …, "arguments": …}; one or a list. Raises Unreadable."""
    entries = value if isinstance(value, list) else [value]
    if len(entries) > MOST:
        raise Unreadable(f"More than {MOST} calls are not compared.")
    return [_call(entry) for entry in entries]


def read_text(text: str) -> list[ToolCall]:
    """The same from a JSON text. Raises Unreadable."""
    try:
        return read(parse(text))
    except NoJson as no:
        raise Unreadable(str(no)) from None


def difference(wanted: Sequence[ToolCall], made: Sequence[ToolCall]) -> str:
    """In words, what is called but not wanted, or the other way round; empty if nothing. In any order."""
    left = [(call, likeness([call.name, call.arguments])) for call in made]
    missing = []
    # Those whose arguments matter choose first, so that one which takes any leaves them theirs.
    for call in sorted(wanted, key=lambda call: not call.told):
        like = likeness([call.name, call.arguments])
        met = (
            place
            for place, (other, its) in enumerate(left)
            if (its == like if call.told else other.name == call.name)
        )
        found = next(met, None)
        if found is None:
            missing.append(call)
        else:
            del left[found]
    more = [call for call, _ in left]
    if missing and more:
        return f"It calls {_listed(more)} and not {_listed(missing)}."
    if missing:
        return f"It does not call {_listed(missing)}."
    return f"It also calls {_listed(more)}." if more else ""


def _listed(calls: Sequence[ToolCall]) -> str:
    return ", ".join(map(str, calls[:3])) + (f" and {len(calls) - 3} more" if len(calls) > 3 else "")


def _call(entry: Any) -> ToolCall:
    if not isinstance(entry, Mapping):
        raise Unreadable("A tool call is a JSON object with a name.")
    body = next((entry[name] for name in _BODIES if isinstance(entry.get(name), Mapping)), entry)
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise Unreadable("A tool call has a name.")
    if "input" in body and "arguments" not in body:
        return ToolCall(name, body["input"])
    if "arguments" not in body:
        return ToolCall(name, told=False)
    arguments = body["arguments"]
    if isinstance(arguments, str):
        try:
            arguments = parse(arguments or "{}")
        except NoJson:
            pass  # a model may write anything; it is compared as the text that it is
    return ToolCall(name, arguments)
