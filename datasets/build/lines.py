"""What conversion says about one completion: a line of the file, or why there is none. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from datasets.build.format_rules import RULES
from datasets.build.material import Material

# How tokens are counted so that the number holds; any other way is an estimate.
COUNTED: Final = frozenset({"usage", "exact"})

BY_HAND: Final = "by_hand:"  # what follows is why, in somebody's words

# Every reason for leaving a completion out, in the words that people read.
REASONS = {
    "pending": "Its messages have not been fetched yet",
    "messages_gone": "Its messages are gone upstream",
    "deleted": "It was deleted here after it was selected",
    "unreadable": "What upstream sent cannot be read",
    "no_messages": "It has no input messages",
    "no_answer": "It has no answer",
    "empty_answer": "Its answer is empty",
    "refusal": "It holds a refusal, which a training message cannot carry",
    "unknown_role": "It holds a role that a training file does not know",
    "unknown_part": "It holds content that a training file does not know",
    "audio": "It holds audio, which cannot be trained on",
    "file": "It holds a file, which cannot be trained on",
    "remote_image": "It holds an image by address; only embedded images can be trained on",
    "image_type": "It holds an image that is neither PNG, JPEG nor WEBP",
    "image_elsewhere": "It holds an image outside the user's messages",
    "empty_message": "One of its messages is empty",
    "tool_call_without_tools": "It calls a tool whose definition was not stored",
    "tool_id_lost": "A tool's result does not say which call it answers",
    "tool_arguments": "A tool call's arguments are not valid JSON",
    "custom_tool": "It uses a custom tool; only functions can be trained on",
    "legacy_function": "It uses the old function calling",
    "too_many_messages": "It has more than 2,048 messages",
    "too_many_tools": "It has more than 128 tools",
    "too_many_images": "It has more than 64 images",
    "image_too_large": "It holds an image of more than 10 MB",
    "too_long": "It has more tokens than the base model can be trained with",
    "unwritable": "It holds text or numbers that a JSON file cannot carry",
    "invalid": "Its line breaks a rule of the format",
    "no_user": "Its last message is not the user's, so there is nothing to answer",
    "nothing_left": "Nothing of what the user asked is left after the rewriting",
    "no_correction": "Its answer was not corrected",
    "same_answer": "Its correction says the same as the original",
    "not_rated": "Its answer is rated neither good nor bad",
    "neither_model": "Neither of the two models answered it",
    "no_partner": "No other answer to the same prompt makes a pair with it",
    "image_in_pair": "It holds an image; preference pairs are text only",
    "answer_not_good": "Its answer was rejected or rated bad, and nobody corrected it",
    # What the rules of the recipe leave out.
    "not_approved": "Nobody approved it",
    "dropped_refusal": "Its answer is a refusal",
    "dropped_truncated": "Its answer was cut off at its length limit",
    "dropped_filtered": "A content filter stopped its answer",
    "dropped_empty": "Its answer is empty, and the recipe leaves those out",
    "dropped_error": "It holds an error in place of an answer",
    "dropped_not_json": "JSON was asked for, and its answer is none",
    "too_short_answer": "Its answer is shorter than the recipe wants",
    "too_long_answer": "Its answer is longer than the recipe wants",
    "by_hand": "It was left out by hand",
    "personal_data": "It holds personal data",
    "duplicate": "Another row says the same",
    "near_duplicate": "Another row says nearly the same",
    "over_cap": "Its group has as many rows as the recipe allows",
    "not_sampled": "It was not drawn for the sample",
    "joined": "It is the other half of a pair",
}


def in_words(reason: str) -> str:
    """The reason as a sentence; one that this version does not know is shown as it is."""
    if reason.startswith(BY_HAND):
        return f"Left out by hand: {reason.removeprefix(BY_HAND).strip()}"
    rule = RULES.get(reason)
    return REASONS.get(reason) or (rule.words if rule is not None else reason)


@dataclass(frozen=True, slots=True)
class Line:
    """One JSON object of the file. `warnings` are codes of datasets.build.validate.WARNINGS.

    `side` marks the half of a preference pair whose other half is another row: + is preferred, - is not.
    `how` says how its tokens were counted.
    """

    data: dict[str, Any]
    tokens: int | None = None
    estimated: bool = False
    warnings: tuple[str, ...] = ()
    side: str = ""
    how: str = ""


class Counter(Protocol):
    """Who counts the tokens of a line: (tokens, how), where how is usage, exact, fitted or guessed."""

    def of(self, material: Material, data: Mapping[str, Any], /) -> tuple[int, str]: ...


def line_of(
    data: dict[str, Any],
    material: Material,
    counter: Counter,
    *,
    warnings: Sequence[str] = (),
    side: str = "",
) -> Line:
    """The line with its tokens counted."""
    tokens, how = counter.of(material, data)
    return Line(data, tokens, how not in COUNTED, tuple(warnings), side, how)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a completion has no line; a key of REASONS, or a sentence for reasons of other purposes."""

    reason: str


class CannotExpress(Exception):
    """Raised inside a conversion; `reason` is a key of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
