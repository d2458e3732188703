"""What a teacher is asked and what it answered, as the value of a correction. Pure but for reading a body."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from completions import correcting, raw
from completions.conversation import Conversation, parse, read_message
from completions.correcting import Value
from completions.models import StoredCompletion
from completions.repeating import CannotRepeat
from datasets import prompts
from datasets.prompts import Prompt

NOTHING_SAID = "It said nothing that could take the answer's place."
NO_ANSWER = "The stored completion has no answer that could be corrected."
NO_BODY = "The stored completion cannot be read."


class CannotAsk(Exception):
    """The prompt of this completion cannot be put to a teacher; the text says why."""


def conversation_of(row: StoredCompletion) -> Conversation:
    """The conversation of a row that came with its body. Raises CannotAsk."""
    try:
        return parse(*raw.read(raw.unpack(row.body.raw)))
    except (raw.Unreadable, StoredCompletion.body.RelatedObjectDoesNotExist) as error:
        raise CannotAsk(NO_BODY) from error


def prompt_of(row: StoredCompletion) -> Prompt:
    """What is sent. Raises CannotAsk."""
    conversation = conversation_of(row)
    if conversation.answer is None:
        raise CannotAsk(NO_ANSWER)
    try:
        return prompts.of_conversation(conversation)
    except CannotRepeat as problem:
        raise CannotAsk(str(problem)) from problem


@dataclass(frozen=True, slots=True)
class Taught:
    """A teacher's answer beside the original; `problem` says why it cannot be accepted."""

    original: Value | None
    value: Value
    problem: str = ""
    doubt: str = ""

    @property
    def is_same(self) -> bool:
        """Whether it says what the original says."""
        return self.original is not None and all(
            self.value[name] is None or self.value[name] == self.original[name]
            for name in ("text", "tool_calls")
        )


def taught(conversation: Conversation, answer: Mapping[str, Any]) -> Taught:
    """The answer of a call as a correction of the conversation's."""
    first = correcting.original(conversation)
    said = answer.get("message")
    message = read_message(said if isinstance(said, dict) else {}, 0)
    calls = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
    # None would keep what the original has; a teacher that calls nothing, or says nothing, means that.
    text: str | None = message.text
    if not message.text and calls and (first is None or not first["text"]):
        text = None
    listed = calls if calls or (first is not None and first["tool_calls"]) else None
    value: Value = {"text": text, "tool_calls": listed}
    problem = ""
    if first is None:
        problem = NO_ANSWER
    elif not message.text.strip() and not calls:
        problem = f"It refused: {message.refusal}" if message.refusal else NOTHING_SAID
    doubt = ""
    if answer.get("finish_reason") == "length":
        doubt = "Its answer was cut off."
    elif answer.get("finish_reason") == "content_filter":
        doubt = "A content filter stopped its answer."
    return Taught(first, value, problem, doubt)
