"""What graders call `sample`: an answer in the names that the API gives its parts. Pure.

https://platform.openai.com/docs/guides/graders#templating
"""

from collections.abc import Mapping
from typing import Any

from datasets.evaluate.json_equality import NoJson, parse

JSON_FORMATS = ("json_object", "json_schema")


def stored(item: Mapping[str, Any]) -> dict[str, Any]:
    """The answer that an item was made from."""
    tools = item.get("output_tools")
    sample = {
        "output_text": item.get("output", ""),
        "output_tools": tools if isinstance(tools, list) else [],
    }
    return sample | _as_json(sample["output_text"], item, {})


def fresh(
    item: Mapping[str, Any],
    text: str,
    message: Any,
    finish_reason: Any = None,
    params: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a model has answered to an item; `params` are those that it was asked with."""
    message = message if isinstance(message, dict) else {}
    tools = message.get("tool_calls")
    sample = {
        "output_text": text,
        "output_tools": tools if isinstance(tools, list) else [],
        "choices": [{"message": message, "finish_reason": finish_reason}],
    }
    return sample | _as_json(text, item, params or {})


def _as_json(text: Any, item: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """`output_json`, where JSON was asked for and has come."""
    wanted = item.get("response_format") or params.get("response_format")
    if not isinstance(text, str) or not isinstance(wanted, Mapping) or wanted.get("type") not in JSON_FORMATS:
        return {}
    try:
        return {"output_json": parse(text)}
    except NoJson:
        return {}
