"""A line of a training file as an item to measure on: what was asked, and what was answered. Pure."""

from collections.abc import Mapping
from typing import Any

from datasets.build.items import TAKEN
from datasets.build.lines import CannotExpress
from datasets.models import Purpose

NON_PREFERRED = "non_preferred"


def item_of(line: Mapping[str, Any], purpose: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`{"item": …}` of one line. Raises CannotExpress.

    The last answer of a conversation is the stored one, and what stands before it is the input. Of a pair the
    preferred answer is taken, the other one stands beside it; further fields of a line become columns.
    """
    item = _READERS[Purpose(purpose)](line)
    if not item["input"]:
        raise CannotExpress("no_messages")
    if metadata:
        item["metadata"] = dict(metadata)
    return {"item": item}


def _supervised(line: Mapping[str, Any]) -> dict[str, Any]:
    asked, answer = _split(line.get("messages"))
    if answer is None:
        raise CannotExpress("no_answer")
    return {"input": asked, **_said(answer), **_tools(line)}


def _preference(line: Mapping[str, Any]) -> dict[str, Any]:
    given = line.get("input")
    given = given if isinstance(given, Mapping) else {}
    _, preferred = _split(line.get("preferred_output"))
    _, other = _split(line.get("non_preferred_output"))
    if preferred is None:
        raise CannotExpress("no_answer")
    item = {"input": _entries(given.get("messages")), **_said(preferred), **_tools(given)}
    if other is not None:
        item[NON_PREFERRED] = _said(other)["output"]
    return item


def _reinforcement(line: Mapping[str, Any]) -> dict[str, Any]:
    item: dict[str, Any] = {"input": _entries(line.get("messages")), **_tools(line)}
    if item["input"] and item["input"][-1].get("role") == "assistant":
        item["input"], answer = item["input"][:-1], item["input"][-1]
        item |= _said(answer)
    own = TAKEN - {"reference", "response_format"}
    for name, value in line.items():
        if name not in ("messages", "tools"):
            item[f"column_{name}" if name in own else name] = value
    return item


_READERS = {
    Purpose.SUPERVISED: _supervised,
    Purpose.PREFERENCE: _preference,
    Purpose.REINFORCEMENT: _reinforcement,
}


def _entries(messages: Any) -> list[dict[str, Any]]:
    """Messages as the create call takes them: how much one weighs in training is nothing to send."""
    found = messages if isinstance(messages, list) else []
    return [
        {name: value for name, value in each.items() if name != "weight"}
        for each in found
        if isinstance(each, dict)
    ]


def _split(messages: Any) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """What stands before the last answer, and that answer."""
    entries = _entries(messages)
    place = next((n for n in reversed(range(len(entries))) if entries[n].get("role") == "assistant"), None)
    return (entries, None) if place is None else (entries[:place], entries[place])


def _said(answer: Mapping[str, Any]) -> dict[str, Any]:
    content = answer.get("content")
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        content = "".join(text for text in texts if isinstance(text, str))
    said: dict[str, Any] = {"output": content or answer.get("refusal") or ""}
    if answer.get("tool_calls"):
        said["output_tools"] = answer["tool_calls"]
    return said


def _tools(line: Mapping[str, Any]) -> dict[str, Any]:
    return {"tools": line["tools"]} if line.get("tools") else {}
