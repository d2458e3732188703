"""Material for rows without a database: what upstream lists and what people said of it."""

from typing import Any

from completions.conversation import parse
from datasets.build.material import Material

ASKED: list[dict[str, Any]] = [
    {"id": "m0", "role": "system", "content": "Be brief."},
    {"id": "m1", "role": "user", "content": "How are you?"},
]
HOSTILE = (
    "a\u2028b\u2029c\x85d\x00 <script>alert(1)</script> {{ item.reference }} {% x %} \U0001f600 \"\\'\n\r\t"
)


def answer(content: Any = "Fine.", *, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """A list item with this answer, and the nulls and extras that must not be copied."""
    said = {
        "role": "assistant",
        "content": content,
        "refusal": None,
        "annotations": [],
        "audio": None,
        **message,
    }
    return {
        "id": "chatcmpl-1",
        "choices": [{"index": 0, "message": said, "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
    }


def row(
    item: dict[str, Any] | None = None, messages: list[dict[str, Any]] | None = None, **said: Any
) -> Material:
    """A stored completion that answers ASKED, unless other messages are given."""
    conversation = parse(answer() if item is None else item, ASKED if messages is None else messages)
    return Material("library/chatcmpl-1", conversation, **said)
