"""Rows of a version as people look at them: the conversation, the raw line, what is wrong with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from completions.conversation import Message
from datasets import reading
from datasets.build import files
from datasets.build.format_rules import RULES
from datasets.build.lines import REASONS, in_words
from datasets.models import DatasetVersion, Example

RAW_CHARS = 6000
BY_HAND = "by_hand"


@dataclass(frozen=True)
class Row:
    """One example with its text read from the file."""

    example: Example
    reading: reading.Reading
    raw: str
    cut: bool
    problems: tuple[Mapping[str, Any], ...]

    @property
    def messages(self) -> tuple[Message, ...]:
        return self.reading.messages

    @property
    def tools(self) -> tuple[str, ...]:
        return self.reading.tools

    @property
    def flags(self) -> list[str]:
        """What was found in it, in words."""
        return [in_words(code) for code in self.example.flags.split()]

    @property
    def asked(self) -> str:
        """The last thing the user said."""
        talk = self.reading.talks[0].messages if self.reading.talks else ()
        said = [message.text for message in talk if message.role == "user"]
        return said[-1] if said else ""

    @property
    def answered(self) -> str:
        """The last answer; of a pair the preferred one."""
        talk = self.reading.talks[min(1, len(self.reading.talks) - 1)].messages if self.reading.talks else ()
        last = talk[-1] if talk else None
        if last is None or last.role == "user":
            return ""
        return last.text or ", ".join(f"{call.name}(…)" for call in last.tool_calls)


@dataclass(frozen=True)
class LeftOut:
    """A reason, in words, and how many completions it left out."""

    reason: str
    text: str
    count: int


def first_rows(version: DatasetVersion, count: int) -> list[Row]:
    return rows(version, written(version).order_by("line")[:count])


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
    text = line.decode(errors="replace").rstrip("\n")
    return Row(
        example=example,
        reading=reading.read(reading.parsed(line)),
        raw=text[:RAW_CHARS],
        cut=len(text) > RAW_CHARS,
        problems=tuple(problems),
    )


def left_out(version: DatasetVersion) -> list[LeftOut]:
    """Reasons with their counts, the most frequent first."""
    counts: Mapping[str, int] = version.counts.get("left_out", {})
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return [LeftOut(reason, why(reason), count) for reason, count in ordered]


def why(reason: str) -> str:
    """A reason in words, one given by hand with what was written."""
    code, _, text = reason.partition(":")
    if code == BY_HAND:
        return f"Excluded by hand: {text.strip()}" if text.strip() else "Excluded by hand"
    rule = RULES.get(reason)
    return rule.words if rule is not None and reason not in REASONS else in_words(reason)
