"""Rows of a version as people look at them: the conversation, the raw line, what is wrong with it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from completions.conversation import Message, read_message
from datasets.build import files
from datasets.build.lines import in_words
from datasets.models import DatasetVersion, Example

RAW_CHARS = 6000
PAGE = 20


@dataclass(frozen=True)
class Row:
    """One example with its text read from the file."""

    example: Example
    messages: tuple[Message, ...]
    raw: str
    cut: bool
    tools: tuple[str, ...]
    problems: tuple[Mapping[str, Any], ...]

    @property
    def asked(self) -> str:
        """The last thing the user said."""
        said = [message.text for message in self.messages if message.role == "user"]
        return said[-1] if said else ""

    @property
    def answered(self) -> str:
        last = self.messages[-1] if self.messages else None
        if last is None:
            return ""
        return last.text or ", ".join(f"{call.name}(…)" for call in last.tool_calls)


@dataclass(frozen=True)
class LeftOut:
    """A reason, in words, and how many completions it left out."""

    reason: str
    text: str
    count: int


def first_rows(version: DatasetVersion, count: int) -> list[Row]:
    return rows(version, written(version).order_by("position")[:count])


def worst_rows(version: DatasetVersion, count: int) -> list[Row]:
    """Rows that validation warned about first, and always one of the longest and of the shortest."""
    lines: list[int] = []
    for problem in version.problems:
        if problem["line"] and problem["line"] not in lines:
            lines.append(problem["line"])
    warned = list(written(version).filter(line__in=lines[: count - 2]))
    found = sorted(warned, key=lambda example: lines.index(example.line))
    for order in ("-tokens", "tokens"):
        more = written(version).exclude(pk__in=[example.pk for example in found]).order_by(order, "position")
        half = (count - len(found) + 1) // 2 if order == "-tokens" else count - len(found)
        found += list(more[:half])
    return rows(version, found[:count])


def written(version: DatasetVersion) -> Any:
    """The examples that have a line, with what their links need."""
    return version.examples.filter(line__isnull=False).select_related("completion__connection")


def page(version: DatasetVersion, after: int, *, left_out: bool = False) -> tuple[list[Example], int | None]:
    """PAGE examples behind a position, and the position to go on from."""
    shown = written(version)
    if left_out:
        shown = version.examples.filter(line__isnull=True).exclude(excluded_reason="")
        shown = shown.select_related("completion__connection")
    found = list(shown.filter(position__gt=after).order_by("position")[: PAGE + 1])
    return found[:PAGE], found[PAGE - 1].position if len(found) > PAGE else None


def rows(version: DatasetVersion, examples: Iterable[Example]) -> list[Row]:
    """The examples with their text; the file is opened once."""
    wanted = list(examples)
    if not wanted or not version.path or version.state != DatasetVersion.State.READY:
        return []
    by_line: dict[int, list[Mapping[str, Any]]] = {}
    for problem in version.problems:
        by_line.setdefault(problem["line"], []).append(problem)
    with files.open_file(version) as file:
        made = []
        for example in wanted:
            file.seek(example.offset)
            made.append(_row(example, file.read(example.length), by_line.get(example.line or 0, [])))
    return made


def _row(example: Example, line: bytes, problems: Sequence[Mapping[str, Any]]) -> Row:
    text = line.decode().rstrip("\n")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = {}
    return Row(
        example=example,
        messages=tuple(read_message(entry, n) for n, entry in enumerate(_messages(data))),
        raw=text[:RAW_CHARS],
        cut=len(text) > RAW_CHARS,
        tools=tuple(
            str(tool["function"].get("name", "")) for tool in data.get("tools") or () if "function" in tool
        ),
        problems=tuple(problems),
    )


def _messages(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The conversation in a line: a training row's messages, an evaluation item's input and output."""
    if isinstance(data.get("messages"), list):
        found = data["messages"]
    else:
        item = data.get("item")
        item = item if isinstance(item, dict) else {}
        given = item.get("input")
        found = given if isinstance(given, list) else [{"role": "user", "content": given}] if given else []
        if isinstance(item.get("output"), str):
            found = [*found, {"role": "assistant", "content": item["output"]}]
    return [entry for entry in found if isinstance(entry, dict)]


def left_out(version: DatasetVersion) -> list[LeftOut]:
    """Reasons with their counts, the most frequent first."""
    counts: Mapping[str, int] = version.counts.get("left_out", {})
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return [LeftOut(reason, in_words(reason), count) for reason, count in ordered]
