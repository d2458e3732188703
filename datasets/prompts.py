"""A prompt that models are asked again: taken from a stored completion or a dataset's row, or typed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from completions.conversation import Conversation
from completions.repeating import request_of

_LONG_PAST = frozenset({"weight"})  # says how a message is trained on; no model takes it in a prompt
_SENT_ALONG = ("tools", "tool_choice", "parallel_tool_calls", "response_format")
_SYSTEM = ("system", "developer")


@dataclass(frozen=True)
class Prompt:
    """`messages` up to the one that is to be answered; `extras` is what else the request holds."""

    messages: tuple[dict[str, Any], ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)
    answer: str = ""  # the one that is known already, to look at beside the new ones

    @property
    def system(self) -> str:
        """The text of the system prompt, if the prompt begins with one."""
        first = self.messages[0] if self.messages else {}
        return text_of(first) if first.get("role") in _SYSTEM else ""

    @property
    def user(self) -> str:
        """The text of the message that is answered."""
        place = self._asked
        return text_of(self.messages[place]) if place is not None else ""

    @property
    def between(self) -> int:
        """How many messages stand between the system prompt and the one that is answered."""
        shown = bool(self.messages and self.messages[0].get("role") in _SYSTEM) + (self._asked is not None)
        return len(self.messages) - shown

    @property
    def _asked(self) -> int | None:
        last = len(self.messages) - 1
        return last if last >= 0 and self.messages[last].get("role") == "user" else None

    def changed(self, system: str, user: str) -> "Prompt":
        """The prompt with these two texts in place of its own; what did not change stays as it was sent."""
        messages = list(self.messages)
        place = self._asked
        if place is None and user.strip():
            messages.append({"role": "user", "content": user})
        elif place is not None and not _same(user, self.user):
            messages[place] = _with_text(messages[place], user)
        if not _same(system, self.system):
            if self.system:
                messages = messages[1:]
            if system.strip():
                messages.insert(0, {"role": "system", "content": system})
        return Prompt(tuple(messages), self.extras, self.answer)


def of_conversation(conversation: Conversation) -> Prompt:
    """What a stored completion was asked. Raises CannotRepeat."""
    request = request_of(conversation)
    extras = {name: request[name] for name in _SENT_ALONG if name in request}
    answer = conversation.answer
    return Prompt(tuple(request["messages"]), extras, answer.text or answer.refusal if answer else "")


def of_line(data: Mapping[str, Any]) -> Prompt:
    """What a dataset's row asks, whatever its purpose; `answer` is the one that the row holds."""
    item = data.get("item")
    if isinstance(item, Mapping):
        known = item.get("reference") or item.get("output")
        asked = item.get("input")
        messages: Any = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        return _prompt(messages, item, str(known or ""))
    wrapped = data.get("input")
    if isinstance(wrapped, Mapping):
        preferred = data.get("preferred_output")
        return _prompt(wrapped.get("messages"), wrapped, _last_text(preferred))
    messages = data.get("messages")
    if isinstance(messages, list) and messages and _role(messages[-1]) == "assistant":
        return _prompt(messages[:-1], data, _last_text(messages))
    return _prompt(messages, data, "")


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message as the API writes it; of parts, the texts among them."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def _prompt(messages: Any, source: Mapping[str, Any], answer: str) -> Prompt:
    kept = (
        [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    )
    sent = [{key: value for key, value in message.items() if key not in _LONG_PAST} for message in kept]
    extras = {name: source[name] for name in _SENT_ALONG if source.get(name) is not None}
    return Prompt(tuple(sent), extras, answer)


def _last_text(messages: Any) -> str:
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], Mapping):
        return ""
    return text_of(messages[-1])


def _role(message: Any) -> str:
    return str(message.get("role")) if isinstance(message, Mapping) else ""


def _same(typed: str, known: str) -> bool:
    """A browser writes line ends its own way."""
    return typed.replace("\r\n", "\n").strip() == known.replace("\r\n", "\n").strip()


def _with_text(message: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The message with another text; pictures and the like stay."""
    content = message.get("content")
    if not isinstance(content, list):
        return {**message, "content": text}
    others = [part for part in content if not (isinstance(part, Mapping) and part.get("type") == "text")]
    return {**message, "content": [{"type": "text", "text": text}, *others] if others else text}
