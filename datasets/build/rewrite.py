"""What a row says before it is written: correction, system prompt, beginning and last turns. Pure.

Applied in the order of the recipe's fields. What changes a row marks it as edited, since what upstream
counted no longer holds of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil
from typing import Final

from completions import correcting
from completions.conversation import Conversation, Message, Part
from datasets.build.material import Material
from datasets.models import Purpose
from datasets.recipe import Recipe, SystemPrompt

SYSTEM: Final = frozenset({"system", "developer"})
# A prefix is proposed that so many of the texts begin with, if it is so long.
SHARE, SHORTEST = 0.9, 20
_CUT_OFF: Final = frozenset({"length", "content_filter"})
# Purposes that train on the answer itself; the others look at a correction in their own way.
_ANSWERS: Final = frozenset({Purpose.SUPERVISED, Purpose.REINFORCEMENT})


def rewritten(material: Material, recipe: Recipe) -> Material:
    """The row as the recipe wants it said; the same object where nothing changes."""
    conversation = material.conversation
    if recipe.use_corrections and recipe.purpose in _ANSWERS:
        conversation = corrected(material)
    messages = conversation.messages
    if messages is not None:
        messages = _instructed(messages, recipe.system_prompt)
        messages = without_prefix(messages, recipe.prefix)
        messages = last_turns(messages, recipe.last_turns)
        if messages is not conversation.messages:
            conversation = _with(conversation, messages)
    if conversation is material.conversation:
        return material
    return replace(material, conversation=conversation, edited=True)


def corrected(material: Material) -> Conversation:
    """The conversation with its answer as it should have been, whole also where the original was cut off."""
    if material.correction is None:
        return material.conversation
    conversation = correcting.corrected(material.conversation, dict(material.correction))
    if conversation.finish_reason not in _CUT_OFF:
        return conversation
    first, *others = conversation.choices
    return replace(conversation, choices=(replace(first, finish_reason="stop"), *others))


def _with(conversation: Conversation, messages: Sequence[Message]) -> Conversation:
    """The conversation with these messages, counted anew."""
    numbered = tuple(replace(message, index=number) for number, message in enumerate(messages))
    choices = tuple(
        replace(choice, message=replace(choice.message, index=len(numbered) + place))
        for place, choice in enumerate(conversation.choices)
    )
    return replace(conversation, messages=numbered, choices=choices)


def _instructed(messages: tuple[Message, ...], wanted: SystemPrompt) -> tuple[Message, ...]:
    if wanted.do == "keep":
        return messages
    others = tuple(message for message in messages if message.role not in SYSTEM)
    if wanted.do == "remove" or not wanted.text.strip():
        return messages if len(others) == len(messages) else others
    found = [message for message in messages if message.role in SYSTEM]
    if len(found) == 1 and messages[0] is found[0] and found[0].text == wanted.text:
        return messages
    role = found[0].role if found else "system"
    prompt = Message(0, role, (Part("text", text=wanted.text, raw=wanted.text),))
    return (prompt, *others)


def without_prefix(messages: tuple[Message, ...], prefix: str) -> tuple[Message, ...]:
    """The messages with `prefix` cut off the first of the user; one that says nothing else is left out."""
    place = _first_of_user(messages)
    if not prefix or place is None:
        return messages
    message = messages[place]
    if not message.parts or message.parts[0].kind != "text" or not message.parts[0].text.startswith(prefix):
        return messages
    text = message.parts[0].text.removeprefix(prefix)
    rest = [Part("text", text=text, raw=text)] if text.strip() else []
    parts = (*rest, *message.parts[1:])
    cut = (replace(message, parts=parts, raw={}),) if parts else ()
    return (*messages[:place], *cut, *messages[place + 1 :])


def last_turns(messages: tuple[Message, ...], turns: int) -> tuple[Message, ...]:
    """The system prompt and the last turns, each beginning with the user.

    A window that would hold a tool's result without the call it answers begins a turn earlier.
    """
    starts = [place for place, message in enumerate(messages) if message.role == "user"]
    if turns <= 0 or len(starts) <= turns:
        return messages
    begins = len(starts) - turns
    while begins > 0 and _orphans(messages[starts[begins] :]):
        begins -= 1
    # Before the first turn there may be a greeting; it goes with what is cut, unless nothing is.
    if begins == 0:
        return messages
    first = starts[begins]
    kept = tuple(message for message in messages[:first] if message.role in SYSTEM)
    return (*kept, *messages[first:])


def _orphans(messages: Sequence[Message]) -> bool:
    called: set[str] = set()
    for message in messages:
        if message.role == "tool" and message.tool_call_id not in called:
            return True
        called.update(call.id for call in message.tool_calls)
    return False


def _first_of_user(messages: Sequence[Message]) -> int | None:
    return next((place for place, message in enumerate(messages) if message.role == "user"), None)


def first_asked(conversation: Conversation) -> str:
    """The text that a prefix is cut off from; empty where the first of the user begins with an image."""
    messages = conversation.messages or ()
    place = _first_of_user(messages)
    parts = messages[place].parts if place is not None else ()
    return parts[0].text if parts and parts[0].kind == "text" else ""


def common_prefix(texts: Iterable[str]) -> str:
    """What nearly all of the texts begin with, up to the end of a line or a word; empty if that is little.

    A proposal: the texts are those of a sample, and a person looks at it before it is cut off.
    """
    told = sorted({text for text in texts if text.strip()})
    if len(told) < 2:
        return ""
    window = max(2, ceil(len(told) * SHARE))
    # In sorted order, what the first and the last of a window share is shared by all between them.
    found = [_shared(told[at], told[at + window - 1]) for at in range(len(told) - window + 1)]
    prefix = _to_a_border(max(found, key=len))
    return prefix if len(prefix.strip()) >= SHORTEST else ""


def _shared(one: str, two: str) -> str:
    length = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), None)
    return min(one, two, key=len) if length is None else one[:length]


def _to_a_border(prefix: str) -> str:
    line = prefix.rfind("\n") + 1
    if line:
        return prefix[:line]
    while prefix and prefix[-1].isalnum():
        prefix = prefix[:-1]
    return prefix
