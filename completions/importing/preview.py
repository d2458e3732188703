"""A look at a file before anything is taken from it: its first rows, its worst rows, and how many are bad."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from completions import conversation
from completions.importing import shapes
from completions.importing.lines import Line, lines, records
from completions.importing.taking import open_file
from completions.models import Import
from completions.readings import clean

MOST_LINES, MOST_BYTES = 5_000, 32 * 1024 * 1024
FIRST, WORST, LONGEST = 5, 10, 3


@dataclass(frozen=True, slots=True)
class Sample:
    """One line as it would be taken, or why it would not."""

    number: int
    length: int
    problem: str = ""
    start: str = ""
    prompt: str = ""
    answer: str = ""
    model: str = ""
    id: str = ""
    created: int | None = None
    messages: int | None = None
    metadata: int = 0


@dataclass(slots=True)
class Look:
    """What was seen. `whole` tells whether that is the whole file."""

    good: int = 0
    bad: int = 0
    whole: bool = True
    part: float = 1.0
    without_messages: int = 0
    without_time: int = 0
    without_id: int = 0
    first: list[Sample] = field(default_factory=list)
    worst: list[Sample] = field(default_factory=list)
    longest: list[Sample] = field(default_factory=list)

    @property
    def seen(self) -> int:
        return self.good + self.bad


def entries(source: Import, file: BinaryIO, *, offset: int = 0, number: int = 1) -> Iterator[Line]:
    """The lines that may be rows, from an offset on; a table's header and empty lines are none."""
    read = records if source.shape == Import.Shape.TABLE else lines
    for line in read(file, offset=offset, number=number, most=shapes.LONGEST):
        header = source.shape == Import.Shape.TABLE and line.start == 0
        if not header and (line.data is None or line.data.strip()):
            yield line


def draft_of(source: Import, line: Line) -> shapes.Draft:
    """The row that a line says. Raises Unusable."""
    if line.unclosed:
        raise shapes.Unusable("has a quote that is never closed")
    if line.data is None:
        raise shapes.Unusable(
            f"is {line.length / 2**20:,.1f} MB long; up to {shapes.LONGEST // 2**20} MB are taken"
        )
    return shapes.draft(line.data, source.shape, source.mapping)


def look(source: Import) -> Look:
    """Look at the first lines of a file, as far as one request may read."""
    found = Look()
    longest: list[tuple[int, int, Sample]] = []
    with open_file(source) as file:
        for line in entries(source, file):
            if found.seen >= MOST_LINES or line.end > MOST_BYTES:
                found.whole, found.part = False, line.start / max(source.size, 1)
                break
            try:
                draft = draft_of(source, line)
            except shapes.Unusable as error:
                found.bad += 1
                if len(found.worst) < WORST:
                    found.worst.append(_bad(line, str(error)))
                continue
            found.good += 1
            found.without_messages += draft.messages is None
            found.without_time += draft.created is None
            found.without_id += draft.id.startswith("file-")
            if len(found.first) < FIRST:
                found.first.append(_sample(line, draft))
            elif len(longest) < LONGEST or line.length > longest[0][0]:
                heapq.heappush(longest, (line.length, -line.number, _sample(line, draft)))
                if len(longest) > LONGEST:
                    heapq.heappop(longest)
    found.longest = [sample for _, _, sample in sorted(longest, reverse=True)]
    return found


def _bad(line: Line, why: str) -> Sample:
    start = clean((line.data or b"")[:200].decode("utf-8", "replace"))
    return Sample(line.number, line.length, problem=why[:300], start=start)


def _sample(line: Line, draft: shapes.Draft) -> Sample:
    parsed = conversation.parse(draft.item, draft.messages)
    prompt, answer = parsed.previews()
    metadata = draft.item.get("metadata")
    model = draft.item.get("model")
    return Sample(
        line.number,
        line.length,
        prompt=clean(prompt),
        answer=clean(answer),
        model=clean(model)[:80] if isinstance(model, str) else "",
        id=draft.id,
        created=draft.created,
        messages=None if draft.messages is None else len(draft.messages),
        metadata=len(metadata) if isinstance(metadata, dict) else 0,
    )
