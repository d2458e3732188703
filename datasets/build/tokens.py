"""Tokens of a training line: what upstream counted, else an estimate that is marked as one. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from completions.conversation import Conversation, pick

BYTES_PER_TOKEN = 4  # English is near 4; a script of three-byte characters near 1.3 characters per token
PER_MESSAGE, PER_REPLY = 3, 3
IMAGE_TOKENS = {"low": 85}
IMAGE_TOKENS_OTHERWISE = 765  # a 1024 x 1024 picture in high detail


def of(conversation: Conversation, data: Mapping[str, Any]) -> tuple[int, bool]:
    """(tokens, estimated). The count of upstream holds only where there was one answer."""
    usage = conversation.item.get("usage")
    if isinstance(usage, Mapping) and len(conversation.choices) == 1:
        prompt, answer = _count(pick(usage, "prompt_tokens")), _count(pick(usage, "completion_tokens"))
        if prompt and answer:
            return max(prompt + answer - _reasoning(usage), 1), False
    return estimate(data), True


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else 0


def _reasoning(usage: Mapping[str, Any]) -> int:
    """Hidden reasoning was paid for but is not in the answer's text, so nothing is trained on it."""
    details = pick(usage, "completion_tokens_details")
    return _count(pick(details, "reasoning_tokens")) if isinstance(details, Mapping) else 0


def estimate(data: Mapping[str, Any]) -> int:
    """From the bytes of the text, a little for each message, and a flat price for each picture."""
    total = PER_REPLY
    for message in data.get("messages", ()):
        total += PER_MESSAGE + _of_text(str(message.get("name", "")))
        content = message.get("content")
        parts: list[Any] = content if isinstance(content, list) else [{"text": content or ""}]
        for part in parts:
            if part.get("type") == "image_url":
                total += IMAGE_TOKENS.get(part["image_url"].get("detail", ""), IMAGE_TOKENS_OTHERWISE)
            else:
                total += _of_text(str(part.get("text", "")))
        for call in message.get("tool_calls", ()):
            total += _of_text(call["function"]["name"]) + _of_text(call["function"]["arguments"])
    if data.get("tools"):
        total += _of_text(json.dumps(data["tools"], default=str))
    return total


def _of_text(text: str) -> int:
    return -(-len(text.encode("utf-8", errors="replace")) // BYTES_PER_TOKEN)
