"""A stored conversation as one line of an evaluation file, in the names that graders use. Pure.

https://platform.openai.com/docs/api-reference/evals (a file of items, source `file_id`)
"""

from collections.abc import Iterator, Mapping
from typing import Any

from completions.conversation import KNOWN_ROLES, Message, Part, ToolCall, pick
from datasets.build import columns
from datasets.build.lines import CannotExpress, Counter, Line, Refusal, in_words, line_of
from datasets.build.material import Material
from datasets.recipe import Recipe

META = columns.META
SENT_PARTS = frozenset({"text", "image", "audio", "file"})
# What an item has of its own, so that no further field takes its name.
TAKEN = frozenset(
    {
        "input",
        "output",
        "metadata",
        "labels",
        "reference",
        "unsendable",
        "tools",
        "output_tools",
        "response_format",
        "messages",
    }
)


def evaluation(material: Material, recipe: Recipe, counter: Counter) -> Line | Refusal:
    """The item of one completion, or the reason why there is none.

    A conversation that cannot be sent to a model again still makes an item, as its stored answer can be
    measured; `item["unsendable"]` then says why a fresh answer cannot be had.
    """
    conversation = material.conversation
    if conversation.messages is None:
        return Refusal("pending")
    if not conversation.messages:
        return Refusal("no_messages")
    answer = conversation.answer
    if answer is None:
        return Refusal("no_answer")
    item: dict[str, Any] = {
        "input": [],
        "output": answer.text or answer.refusal,
        "metadata": dict(material.metadata),
    }
    if answer.tool_calls:
        item["output_tools"] = [_written_call(call) for call in answer.tool_calls]
    try:
        if material.labels:
            item["labels"] = dict(material.labels)
        item |= columns.reference_of(material, recipe)
        item |= columns.further(material, recipe, taken=TAKEN)
    except CannotExpress as problem:
        return Refusal(problem.reason)
    try:
        item["input"] = list(_messages(conversation.messages))
    except CannotExpress as problem:
        item["input"] = [{"role": message.role, "content": message.text} for message in conversation.messages]
        item["unsendable"] = in_words(problem.reason)
    if conversation.tools:
        item["tools"] = [dict(tool) for tool in conversation.tools]
    wanted = pick(conversation.item, "response_format")
    if isinstance(wanted, Mapping):
        item["response_format"] = dict(wanted)
    return line_of({"item": item}, material, counter)


def _messages(messages: tuple[Message, ...]) -> Iterator[dict[str, Any]]:
    """The input as the create call takes it: without the ids and nulls of the stored form."""
    asked: set[str] = set()
    for message in messages:
        if message.role not in KNOWN_ROLES:
            raise CannotExpress("unknown_role")
        written: dict[str, Any] = {"role": message.role}
        content = _content(message)
        if content is not None:
            written["content"] = content
        if message.name:
            written["name"] = message.name
        if message.tool_calls and message.role == "assistant":
            _put_calls(written, message)
        elif content is None and not message.refusal:
            raise CannotExpress("empty_message")
        if message.refusal and content is None:
            written["refusal"] = message.refusal
        if message.role == "tool":
            if not message.tool_call_id or message.tool_call_id not in asked:
                raise CannotExpress("tool_id_lost")
            written["tool_call_id"] = message.tool_call_id
        asked.update(call.id for call in message.tool_calls)
        yield written


def _put_calls(written: dict[str, Any], message: Message) -> None:
    legacy = [call for call in message.tool_calls if not call.id]
    if legacy and len(message.tool_calls) > 1:
        raise CannotExpress("legacy_function")
    if legacy:
        written["function_call"] = {"name": legacy[0].name, "arguments": legacy[0].arguments}
        return
    written["tool_calls"] = [_written_call(call) for call in message.tool_calls]


def _written_call(call: ToolCall) -> dict[str, Any]:
    """A call as the create call takes it; one of the legacy form has no id."""
    body = {"name": call.name, "input" if call.kind == "custom" else "arguments": call.arguments}
    written = {"type": call.kind, call.kind: body}
    return {"id": call.id, **written} if call.id else written


def _content(message: Message) -> str | list[dict[str, Any]] | None:
    parts = [part for part in message.parts if part.kind != "refusal"]
    if not parts:
        return None
    if len(parts) == 1 and parts[0].kind == "text":
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    if part.kind == "text":
        return {"type": "text", "text": part.text}
    if part.kind not in SENT_PARTS or not isinstance(part.raw, Mapping) or "type" not in part.raw:
        raise CannotExpress("unknown_part")
    return dict(part.raw)
