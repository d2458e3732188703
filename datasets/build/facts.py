"""What choosing among rows needs to know of each, taken when the row is written. Pure."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from completions.conversation import Conversation, Message
from completions.duplicates import key_of, message_key
from datasets.build.material import Material
from datasets.models import Purpose
from datasets.recipe import Recipe

LONGEST_GROUP: Final = 120  # characters of a group's name that are kept to be shown
_SYSTEM = ("system", "developer")
_STATES: Final = {"approved": 6, "rejected": 0}
_RATINGS: Final = {"good": 5, "bad": 1}
CORRECTED, NEITHER, DOUBTED = 4, 3, 2


@dataclass(frozen=True, slots=True)
class Facts:
    """`exact` is the same of rows that say the same; `capped_by`, `sampled_by` and `even` are whole names."""

    prompt_key: str
    conversation: str
    exact: int
    rank: int
    capped_by: str = ""
    sampled_by: str = ""
    even: str = ""

    @property
    def stratum(self) -> str:
        return shown(self.even or self.sampled_by)


def facts_of(stored: Material, written: Material, recipe: Recipe) -> Facts:
    """The facts of a row: `stored` is what it was made from, `written` what it says in the file.

    A conversation is known by how it began when it was stored, so that windows of one stay together.
    """
    asked = [message_key(message) for message in written.conversation.messages or ()]
    began = asked if written.conversation.messages is stored.conversation.messages else None
    prompt = says = b"".join(asked)
    answer = written.conversation.answer
    # Where nothing is chosen nobody asks; where a prompt is trained on, it alone counts.
    if answer is not None and recipe.chooses and recipe.purpose != Purpose.REINFORCEMENT:
        says += message_key(answer)
    cap, sample, split = recipe.cap, recipe.sample, recipe.split
    return Facts(
        prompt_key=key_of(prompt),
        conversation=_beginning(stored.conversation, began),
        exact=number_of(says),
        rank=rank_of(stored),
        capped_by=group_of(stored, cap.by) if cap is not None else "",
        sampled_by=group_of(stored, sample.by) if sample is not None and sample.by else "",
        even=group_of(stored, split.even) if split.even else "",
    )


def _beginning(conversation: Conversation, keys: list[bytes] | None) -> str:
    """The key of the system prompt and the first message after it."""
    said = b""
    for at, message in enumerate(conversation.messages or ()):
        said += keys[at] if keys is not None else message_key(message)
        if message.role not in _SYSTEM:
            break
    return key_of(said)


def number_of(data: bytes) -> int:
    """A signed number of 64 bits that stands for some bytes."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little", signed=True)


def rank_of(material: Material) -> int:
    """How good a row is by what people said of it: approved, rated good, corrected, nothing, …, rejected."""
    if material.state in _STATES:
        return _STATES[material.state]
    if material.rating in _RATINGS:
        mended = material.rating == "bad" and material.correction is not None
        return CORRECTED if mended else _RATINGS[material.rating]
    if material.correction is not None:
        return CORRECTED
    return DOUBTED if material.state == "needs_review" else NEITHER


def shown(group: str) -> str:
    """The beginning of a group's name, without what neither UTF-8 nor PostgreSQL can hold."""
    return group[:LONGEST_GROUP].replace("\x00", "\ufffd").encode(errors="replace").decode()


def group_of(material: Material, by: str) -> str:
    """The group that a row belongs to; empty where it has no such value."""
    kind, _, key = by.partition(".")
    if kind == "meta":
        value = material.metadata.get(key, "")
        return value if isinstance(value, str) else str(value)
    if kind == "label":
        return material.labels.get(key, "")
    if by == "model":
        return material.model
    if by == "connection":
        return material.connection
    return _joined(material.conversation.messages or ()) if by == "system" else ""


def _joined(messages: tuple[Message, ...]) -> str:
    texts = (message.text for message in messages if message.role in _SYSTEM)
    return " ".join(" ".join(texts).split())
