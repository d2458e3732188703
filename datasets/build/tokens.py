"""Tokens of a line: what upstream counted, else exactly, else fitted to rows that were counted, else guessed.

A number always comes with the way it was had (one of HOW), as a price and a limit rest on it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Self

from completions.conversation import Conversation, Message, pick
from datasets.build import fit, vocabulary
from datasets.build.fit import Fit
from datasets.build.material import Material
from datasets.models import DatasetVersion

BYTES_PER_TOKEN = 4  # English is near 4; a script of three-byte characters near 1.3 characters per token
PER_MESSAGE, PER_NAME, PER_REPLY = 3, 1, 3
IMAGE_TOKENS = {"low": 85}
IMAGE_TOKENS_OTHERWISE = 765  # a 1024 x 1024 picture in high detail
EVERY: Final = ""  # the fit to rows of all models
FIT: Final = "tokens_fit"  # where a version's counts keep the fits, so that every step counts alike

HOW: Final = {
    "usage": "as the provider counted them",
    "exact": "counted with the model's own vocabulary",
    "fitted": "estimated from rows that the provider counted",
    "guessed": "guessed from the length of the text",
}


class Counter:
    """Counts the tokens of lines; `fits` by model, learnt when a row first needs them."""

    def __init__(self, fits: Mapping[str, Fit] | None = None, version: DatasetVersion | None = None) -> None:
        self._fits = fits
        self._version = version

    @classmethod
    def plain(cls) -> Self:
        """One that knows no other rows."""
        return cls({})

    @classmethod
    def for_version(cls, version: DatasetVersion) -> Self:
        """One that learns from the rows of the version's selection, or of its connections.

        What it learnt stands in `version.counts` afterwards; whoever saves the counts keeps it.
        """
        kept = version.counts.get(FIT)
        if kept is None:
            return cls(version=version)
        return cls({model: Fit.read(data) for model, data in kept.items()})

    def of(self, material: Material, data: Mapping[str, Any], /) -> tuple[int, str]:
        """(tokens, how) of the line that a completion became."""
        counted = 0 if material.edited else _usage(material, data)
        return (counted, "usage") if counted else self.of_data(data, material.model)

    def of_data(self, data: Mapping[str, Any], model: str = "") -> tuple[int, str]:
        """(tokens, how) of a line of which nothing is known but its text."""
        messages, tools = _parts(data)
        pictures = sum(_images(message) for message in messages)
        exactly = vocabulary.counter_of(model)
        if exactly is not None:
            return _exact(messages, tools, exactly) + pictures, "exact"
        fits = self._learnt()
        fitting = fits.get(model) or fits.get(EVERY)
        if fitting is not None:
            return fitting.tokens(fit.counts(messages, tools)) + pictures, "fitted"
        return _guess(messages, tools) + pictures, "guessed"

    def _learnt(self) -> Mapping[str, Fit]:
        if self._fits is None:
            from datasets.build import counted_rows

            assert self._version is not None
            self._fits = counted_rows.learn(self._version)
            self._version.counts[FIT] = {model: each.as_data() for model, each in self._fits.items()}
        return self._fits


def in_words(counts: Mapping[str, Any]) -> list[str]:
    """How the tokens of a version came about, from its counts: a sentence for each way."""
    said = []
    kept = counts.get(FIT) or {}
    for how, words in HOW.items():
        rows = (counts.get("tokens_by") or {}).get(how, 0)
        if not rows:
            continue
        text = f"{rows:,} {'row' if rows == 1 else 'rows'} {words}"
        learnt = Fit.read(kept[EVERY]) if how == "fitted" and EVERY in kept else None
        if learnt is not None:
            text += f" ({learnt.rows:,} of them; half of the estimates are within {learnt.error:.1%})"
        said.append(f"{text}.")
    return said


# What upstream counted.


def usage_of(conversation: Conversation) -> tuple[int, int]:
    """Tokens of the prompt and of the answer's text; 0 where upstream did not say."""
    usage = conversation.item.get("usage")
    if not isinstance(usage, Mapping) or len(conversation.choices) != 1:
        return 0, 0
    answer = _count(pick(usage, "completion_tokens"))
    return _count(pick(usage, "prompt_tokens")), max(answer - _reasoning(usage), 0)


def _usage(material: Material, data: Mapping[str, Any]) -> int:
    """What upstream counted for exactly what the line says; 0 where it says something else."""
    prompt, answer = usage_of(material.conversation)
    if len(material.conversation.choices) == 1:
        prompt = prompt or _count(material.prompt_tokens)
    if "item" in data or _asks_only(data):
        return prompt
    if "preferred_output" in data:
        return 0  # two answers, and one of them was never counted
    return prompt + answer if prompt and answer else 0


def _asks_only(data: Mapping[str, Any]) -> bool:
    messages = data.get("messages")
    return bool(messages) and messages[-1].get("role") != "assistant" if isinstance(messages, list) else False


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else 0


def _reasoning(usage: Mapping[str, Any]) -> int:
    """Hidden reasoning was paid for but is not in the answer's text, so nothing is trained on it."""
    details = pick(usage, "completion_tokens_details")
    return _count(pick(details, "reasoning_tokens")) if isinstance(details, Mapping) else 0


# What a line says.


def _parts(data: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], Any]:
    """The messages and the tools of a line of any purpose."""
    source = data.get("item", data)
    source = source if isinstance(source, Mapping) else {}
    given = source.get("input")
    head = given if isinstance(given, Mapping) else source
    messages = [*_entries(head.get("messages")), *_entries(given)]
    for name in ("output", "preferred_output", "non_preferred_output"):
        messages += _entries(source.get(name))
    for name in ("prompt", "completion"):  # of models that complete a text
        if isinstance(source.get(name), str):
            messages.append({"content": source[name]})
    return messages, head.get("tools")


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    yield from (each for each in value if isinstance(each, Mapping)) if isinstance(value, list) else ()


def of_conversation(conversation: Conversation) -> tuple[list[Mapping[str, Any]], Any]:
    """What upstream counted: messages and first answer as a line would write them, and the tools."""
    messages = (*(conversation.messages or ()), *([conversation.answer] if conversation.answer else []))
    return [_written(message) for message in messages], [dict(tool) for tool in conversation.tools]


def _written(message: Message) -> Mapping[str, Any]:
    return {
        "name": message.name,
        "content": message.text,
        "refusal": message.refusal,
        "tool_calls": [
            {"function": {"name": call.name, "arguments": call.arguments}} for call in message.tool_calls
        ],
    }


def _images(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    total = 0
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping) and part.get("type") == "image_url":
            source = part.get("image_url")
            detail = source.get("detail") if isinstance(source, Mapping) else ""
            total += IMAGE_TOKENS.get(detail if isinstance(detail, str) else "", IMAGE_TOKENS_OTHERWISE)
    return total


def _exact(messages: Iterable[Mapping[str, Any]], tools: Any, count: Any) -> int:
    """https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken; tools come near."""
    total = PER_REPLY + (count(json.dumps(tools, ensure_ascii=False, default=str)) if tools else 0)
    for message in messages:
        total += PER_MESSAGE + (PER_NAME if message.get("name") else 0) + 1  # 1 for the role
        total += sum(count(text) for text in fit.texts(message) if text)
    return total


def _guess(messages: Iterable[Mapping[str, Any]], tools: Any) -> int:
    total = PER_REPLY
    for message in messages:
        total += PER_MESSAGE + sum(_of_text(text) for text in fit.texts(message))
    return total + (_of_text(json.dumps(tools, default=str)) if tools else 0)


def _of_text(text: str) -> int:
    return -(-len(text.encode("utf-8", errors="replace")) // BYTES_PER_TOKEN)
