"""A stored conversation as one line of a supervised chat training file. Pure.

https://platform.openai.com/docs/api-reference/fine-tuning/chat-input
https://learn.microsoft.com/azure/ai-foundry/openai/how-to/fine-tuning
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from completions.conversation import Conversation, Message, Part, ToolCall
from datasets.build.lines import CannotExpress, Counter, Line, Refusal, line_of
from datasets.build.material import Material
from datasets.recipe import Recipe

# What a file calls the role of a stored message; what is not named here cannot be trained on.
ROLES: Final = {
    "developer": "system",
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
MAX_MESSAGES, MAX_TOOLS, MAX_IMAGES, MAX_IMAGE_BYTES = 2048, 128, 64, 10 * 1024 * 1024
IMAGE_TYPES = ("data:image/png;base64,", "data:image/jpeg;base64,", "data:image/webp;base64,")
_WARN_FINISH = {"length": "truncated", "content_filter": "filtered"}


def supervised(material: Material, recipe: Recipe, counter: Counter) -> Line | Refusal:
    """The conversation and its first answer, as the training format writes them, or the reason why not.

    With `train_on="last"` earlier answers of the assistant are context only (weight 0).
    """
    conversation = material.conversation
    try:
        messages = asked(material)
        data: dict[str, Any] = {"messages": talk((*messages, answered(conversation)))}
        if recipe.train_on == "last":
            for message in data["messages"][:-1]:
                if message["role"] == "assistant":
                    message["weight"] = 0
        data |= tools_for(conversation, data["messages"])
    except CannotExpress as problem:
        return Refusal(problem.reason)
    return line_of(data, material, counter, warnings=warnings_of(material, recipe))


def warnings_of(material: Material, recipe: Recipe) -> tuple[str, ...]:
    """What is doubtful about the answer as a target, though the format takes it."""
    found = []
    warning = _WARN_FINISH.get(material.conversation.finish_reason)
    if warning:
        found.append(warning)
    if material.correction is not None and not recipe.use_corrections:
        found.append("uncorrected")
    elif material.correction is None and (material.state == "rejected" or material.rating == "bad"):
        found.append("disapproved")
    return tuple(found)


def asked(material: Material) -> tuple[Message, ...]:
    """The messages that ask. Raises CannotExpress where they are missing."""
    messages = material.conversation.messages
    if messages is None:
        raise CannotExpress("pending")
    if material.edited and all(message.role != "user" for message in messages):
        raise CannotExpress("nothing_left")
    if not messages:
        raise CannotExpress("no_messages")
    return messages


def answered(conversation: Conversation) -> Message:
    """The answer that is trained on. Raises CannotExpress where there is none that can be."""
    answer = conversation.answer
    if answer is None:
        raise CannotExpress("no_answer")
    if answer.refusal:
        raise CannotExpress("refusal")
    if not answer.text.strip() and not answer.tool_calls:
        raise CannotExpress("empty_answer")
    return answer


def talk(messages: Sequence[Message], roles: Mapping[str, str] = ROLES) -> list[dict[str, Any]]:
    """The messages as a file writes them. Raises CannotExpress."""
    if len(messages) > MAX_MESSAGES:
        raise CannotExpress("too_many_messages")
    written = list(_messages(messages, roles))
    _check_images(written)
    return written


def tools_for(conversation: Conversation, *talks: list[dict[str, Any]]) -> dict[str, Any]:
    """The tools as further fields of a line; every call in the talks needs the definition of its tool."""
    data: dict[str, Any] = {}
    if conversation.tools:
        data["tools"] = _tools(conversation.tools)
        parallel = conversation.item.get("parallel_tool_calls")
        if isinstance(parallel, bool):
            data["parallel_tool_calls"] = parallel
    defined = {tool["function"].get("name") for tool in data.get("tools", [])}
    for messages in talks:
        for message in messages:
            for call in message.get("tool_calls", ()):
                if call["function"]["name"] not in defined:
                    raise CannotExpress("tool_call_without_tools")
    return data


def _messages(messages: Sequence[Message], roles: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    called: set[str] = set()
    for message in messages:
        written = _message(message, roles)
        if message.role == "tool":
            if not message.tool_call_id or message.tool_call_id not in called:
                raise CannotExpress("tool_id_lost")
            written["tool_call_id"] = message.tool_call_id
        called.update(call.id for call in message.tool_calls)
        yield written


def _message(message: Message, roles: Mapping[str, str]) -> dict[str, Any]:
    if message.role == "function":
        raise CannotExpress("legacy_function")
    if message.role not in roles:
        raise CannotExpress("unknown_role")
    if message.refusal:
        raise CannotExpress("refusal")
    written: dict[str, Any] = {"role": roles[message.role]}
    content = _content(message)
    if content is not None:
        written["content"] = content
    elif not message.tool_calls:
        raise CannotExpress("empty_message")
    if message.name:
        written["name"] = message.name
    if message.tool_calls:
        if message.role != "assistant":
            raise CannotExpress("unknown_part")
        written["tool_calls"] = [_call(call) for call in message.tool_calls]
    return written


def _content(message: Message) -> str | list[dict[str, Any]] | None:
    """A string where one text is all there is; parts keep their borders. None where nothing was said."""
    if not message.parts:
        return None
    if len(message.parts) == 1 and message.parts[0].kind == "text":
        return message.parts[0].text
    return [_part(part, message.role) for part in message.parts]


def _part(part: Part, role: str) -> dict[str, Any]:
    if part.kind == "text":
        return {"type": "text", "text": part.text}
    if part.kind == "image":
        return _image(part, role)
    raise CannotExpress(
        {"audio": "audio", "file": "file", "refusal": "refusal"}.get(part.kind, "unknown_part")
    )


def _image(part: Part, role: str) -> dict[str, Any]:
    if role != "user":
        raise CannotExpress("image_elsewhere")
    if not part.url.startswith("data:"):
        raise CannotExpress("remote_image")
    if not part.url.startswith(IMAGE_TYPES):
        raise CannotExpress("image_type")
    if len(part.url) * 3 // 4 > MAX_IMAGE_BYTES:
        raise CannotExpress("image_too_large")
    image: dict[str, Any] = {"url": part.url}
    source = part.raw.get("image_url") if isinstance(part.raw, Mapping) else None
    detail = source.get("detail") if isinstance(source, Mapping) else None
    if detail in ("low", "high", "auto"):
        image["detail"] = detail
    return {"type": "image_url", "image_url": image}


def _call(call: ToolCall) -> dict[str, Any]:
    if call.kind != "function":
        raise CannotExpress("custom_tool")
    if not call.id:
        raise CannotExpress("legacy_function")
    if not isinstance(call.parsed, dict):
        raise CannotExpress("tool_arguments")
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tools(tools: tuple[Mapping[str, Any], ...]) -> list[dict[str, Any]]:
    if len(tools) > MAX_TOOLS:
        raise CannotExpress("too_many_tools")
    return [_tool(tool) for tool in tools]


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, Mapping):
        raise CannotExpress("custom_tool")
    # A null inside `parameters` may be meant (a default, an enum); around it it only says "not given".
    return {
        "type": "function",
        "function": {key: value for key, value in function.items() if value is not None},
    }


def _check_images(messages: list[dict[str, Any]]) -> None:
    parts = (message["content"] for message in messages if isinstance(message.get("content"), list))
    if sum(part["type"] == "image_url" for content in parts for part in content) > MAX_IMAGES:
        raise CannotExpress("too_many_images")
