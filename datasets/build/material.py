"""What a row of a dataset is made from: a stored completion as it is, and what people said of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from completions.conversation import Conversation


@dataclass(frozen=True, slots=True)
class Material:
    """One completion on its way to become a line.

    `conversation` changes on that way (a correction, another system prompt, replaced personal data); `edited`
    says that it did, so that what upstream counted no longer holds. `correction` is the value of
    completions.correcting, `labels` are answers by the label's name.
    """

    source_key: str  # <connection slug>/<upstream id>
    conversation: Conversation
    model: str = ""
    connection: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    state: str = ""  # of the review: approved, rejected, needs_review or empty
    rating: str = ""  # good, bad or empty
    labels: Mapping[str, str] = field(default_factory=dict)
    correction: Mapping[str, Any] | None = None
    edited: bool = False
    personal: Mapping[str, int] = field(default_factory=dict)  # what was replaced: kind → how often
