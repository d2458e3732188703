"""A line of any file of items as graders and calls want it: input, output, reference, further columns. Pure.

Files come from selections, from parts of datasets and from people, so columns have the names that their
writers chose; an evaluation says which of them is which. The file itself is never changed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from completions.conversation import KNOWN_ROLES
from datasets.build.columns import COLUMN, META
from datasets.models import Evaluation

INPUT, OUTPUT, REFERENCE = "input", "output", "reference"
# What an item has beside its columns: nothing to choose as an input, an output or a reference.
BESIDE: Final = frozenset(
    {"metadata", "tools", "response_format", "unsendable", "output_tools", "labels", INPUT, OUTPUT}
)
LONGEST_NAME: Final = 200
_NO_INPUT: Final = "The item has nothing to send: its input column is missing or empty"
_ODD_INPUT: Final = "The input is a list, but not one of messages with a role and a content"


@dataclass(frozen=True, slots=True)
class Shape:
    """Which column is what; an empty `output` means that there is none.

    `reference` is Evaluation.reference; `as_it_is` keeps what the file has.
    """

    input: str = INPUT
    output: str = OUTPUT
    reference: str = ""
    as_it_is: bool = False

    @classmethod
    def of(cls, evaluation: Evaluation) -> "Shape":
        """The choices of an evaluation. Items built from its own selection have their reference already."""
        version = evaluation.version
        built = version.origin == version.Origin.SELECTION
        told = evaluation.setup.get("columns") or {}
        return cls(
            input=told.get(INPUT) or INPUT,
            output=told.get(OUTPUT, OUTPUT),
            reference=evaluation.reference,
            as_it_is=built and version.recipe.get(REFERENCE, "") == evaluation.reference,
        )

    def item(self, line: Mapping[str, Any]) -> dict[str, Any] | None:
        """What graders call `item`; None where the line holds none."""
        held = line.get("item")
        if not isinstance(held, dict):
            return None
        item = dict(held)
        _put_sample(item, line.get("sample"))
        self._put_output(item)
        self._put_input(item)
        if not self.as_it_is:
            self._put_reference(item)
        return item

    def _put_output(self, item: dict[str, Any]) -> None:
        value = item.get(self.output)
        if isinstance(value, list):
            value = next((_text(entry.get("content")) for entry in _answers(value)), None)
        if value is None:
            item.pop(OUTPUT, None)
        else:
            item[OUTPUT] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def _put_input(self, item: dict[str, Any]) -> None:
        value = item.get(self.input)
        if value is None or value in ("", []):
            item[INPUT] = []
            item.setdefault("unsendable", _NO_INPUT)
        elif not isinstance(value, list):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            item[INPUT] = [{"role": "user", "content": text}]
        elif all(_is_message(entry) for entry in value):
            item[INPUT] = value
            if OUTPUT not in item and value[-1]["role"] == "assistant":
                self._split(item, value)
        else:
            item[INPUT] = [{"role": "user", "content": json.dumps(value, ensure_ascii=False)}]
            item.setdefault("unsendable", _ODD_INPUT)

    def _split(self, item: dict[str, Any], messages: list[dict[str, Any]]) -> None:
        """A conversation with its answer: that is the stored one, and nothing to send."""
        *item[INPUT], answer = messages
        if self.output:
            item[OUTPUT] = _text(answer.get("content")) or str(answer.get("refusal") or "")
            if isinstance(answer.get("tool_calls"), list):
                item.setdefault("output_tools", answer["tool_calls"])

    def _put_reference(self, item: dict[str, Any]) -> None:
        value = self._referred(item)
        if value is None or value == "":
            item.pop(REFERENCE, None)
        else:
            item[REFERENCE] = value

    def _referred(self, item: Mapping[str, Any]) -> Any:
        wanted = self.reference
        if wanted == "answer":
            return item.get(OUTPUT)
        if wanted.startswith(META):
            held = item.get("metadata")
            return held.get(wanted.removeprefix(META)) if isinstance(held, dict) else None
        if wanted.startswith(COLUMN):
            return item.get(wanted.removeprefix(COLUMN))
        return None


def _put_sample(item: dict[str, Any], sample: Any) -> None:
    """An answer that stands beside the item, as files of OpenAI's evals have it, becomes the stored one."""
    if not isinstance(sample, dict) or OUTPUT in item:
        return
    if isinstance(sample.get("output_text"), str):
        item[OUTPUT] = sample["output_text"]
        if isinstance(sample.get("output_tools"), list):
            item.setdefault("output_tools", sample["output_tools"])


def columns_of(item: Mapping[str, Any]) -> Iterator[str]:
    """The names of an item as its file has it that may be an input, an output or a reference."""
    return (
        name
        for name, value in item.items()
        if name not in BESIDE and is_name(name) and value not in (None, "", [], {})
    )


def is_name(name: str) -> bool:
    """Whether a column can be chosen by its name: one that a person can read, and a row can keep."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable()


def _answers(messages: list[Any]) -> Iterator[Mapping[str, Any]]:
    """The answers among messages, the last first."""
    return (entry for entry in reversed(messages) if _is_message(entry) and entry["role"] == "assistant")


def _is_message(value: Any) -> bool:
    role = value.get("role") if isinstance(value, dict) else None
    return isinstance(role, str) and role in KNOWN_ROLES


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(
        part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
    )
