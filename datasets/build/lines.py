"""What conversion says about one completion: a line of the file, or why there is none. Pure."""

from dataclasses import dataclass
from typing import Any

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
}


def in_words(reason: str) -> str:
    """The reason as a sentence; one that this version does not know is shown as it is."""
    return REASONS.get(reason, reason)


@dataclass(frozen=True, slots=True)
class Line:
    """One JSON object of the file. `warnings` are codes of datasets.build.validate.WARNINGS.

    `side` marks the half of a preference pair whose other half is another row: + is preferred, - is not.
    """

    data: dict[str, Any]
    tokens: int | None = None
    estimated: bool = False
    warnings: tuple[str, ...] = ()
    side: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a completion has no line; a key of REASONS, or a sentence for reasons of other purposes."""

    reason: str


class CannotExpress(Exception):
    """Raised inside a conversion; `reason` is a key of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
