"""The rows behind a report: one item with its answers and verdicts, and pages of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db.models import QuerySet

from completions.conversation import Message, read_message
from datasets.evaluate.grading import answers_of, sample_of
from datasets.evaluate.items import Items
from datasets.evaluate.row_filters import Filter
from datasets.evaluate.slice_facts import FactsOf
from datasets.evaluate.tally import settle
from datasets.evaluate.targets import Target, read
from datasets.models import Call, Example, Grader, Result, Run

PAGE = 25
SHORT = 160
SCAN = 2_000  # rows that one page looks through for words or a slice
NEAR = 500  # rows that are looked through for the next one
AT_ONCE = 200
EVERYTHING = Filter()


@dataclass(frozen=True)
class Said:
    """One answer of several to an item."""

    repetition: int
    text: str
    problem: str
    call: Call | None
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Settled:
    """What a grader says of all answers of a target to one item."""

    grader: Grader
    score: float | None
    passed: bool | None
    results: tuple[Result, ...]

    @property
    def times(self) -> str:
        """How many of several answers passed, in words; empty if there is one."""
        passed = sum(result.passed is True for result in self.results)
        return f"{passed} of {len(self.results)} passed" if len(self.results) > 1 else ""

    @property
    def changed(self) -> bool:
        return len({result.passed for result in self.results if result.passed is not None}) > 1


@dataclass(frozen=True)
class Answer:
    """What one target said to one item, and what the graders said to that.

    Of several answers, `text`, `problem` and `call` are those of the first.
    """

    target: Target
    text: str
    problem: str
    call: Call | None
    results: tuple[Result, ...]
    every: tuple[Said, ...] = ()

    @property
    def short(self) -> str:
        """The beginning of the answer, or why there is none."""
        return (self.text or self.problem or "(no text)")[:SHORT]

    @property
    def settled(self) -> list[Settled]:
        """One verdict for each grader."""
        by: dict[int, list[Result]] = {}
        for result in self.results:
            by.setdefault(result.grader_id, []).append(result)
        made = []
        for each in by.values():
            score, passed, _ = settle([(one.score, one.passed, one.error) for one in each])
            made.append(Settled(each[0].grader, score, passed, tuple(each)))
        return made

    @property
    def state(self) -> str:
        """The worst verdict in a word: failed, ungraded, passed, or waiting."""
        rated = self._rated
        if not rated:
            return "waiting"
        if any(one.passed is False for one in rated):
            return "failed"
        return "ungraded" if any(one.passed is None for one in rated) else "passed"

    @property
    def times(self) -> str:
        """Of several answers, how many pass every grader: "2 of 3 passed"; empty if there is one."""
        if len(self.every) < 2:
            return ""
        kept = {one.grader.pk for one in self._rated}
        passed = 0
        for said in self.every:
            mine = [result.passed for result in said.results if result.grader_id in kept]
            passed += bool(mine) and all(one is True for one in mine)
        return f"{passed} of {len(self.every)} passed"

    @property
    def _rated(self) -> list[Settled]:
        """Without preferences, where there is anything else."""
        settled = self.settled
        return [one for one in settled if one.grader.kind != Grader.Kind.PAIRWISE] or settled


@dataclass(frozen=True)
class Row:
    """One item."""

    example: Example
    item: dict[str, Any]
    answers: tuple[Answer, ...]

    @property
    def prompt(self) -> str:
        """The beginning of the last thing that the user said."""
        asked = self.prompt_text
        if asked is None:
            return "(no user message)"
        return asked[:SHORT] or "(no text)"

    @property
    def prompt_text(self) -> str | None:
        """The last thing that the user said; None if there is no such message."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), None)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The input, as every conversation is read."""
        return tuple(read_message(message, place) for place, message in enumerate(self.item.get("input", ())))

    def holds(self, text: str, target: str = "") -> bool:
        """Whether the conversation or an answer holds a text, in whatever case."""
        wanted = text.casefold()
        answers = (answer for answer in self.answers if not target or answer.target.key == target)
        return any(wanted in message.text.casefold() for message in self.messages) or any(
            wanted in said.text.casefold() for answer in answers for said in answer.every
        )


def examples_of(run: Run, chosen: Filter = EVERYTHING) -> "QuerySet[Example]":
    """The run's items in their order, all or those whose verdicts are asked for."""
    return chosen.examples(run)


def read_rows(run: Run, examples: Sequence[Example]) -> list[Row]:
    """The items with their answers and verdicts, in three queries."""
    targets = read(run.targets)
    keys = [example.pk for example in examples]
    calls = {
        (call.example_id, call.target, call.repetition): call
        for call in Call.objects.filter(run=run, example__in=keys, grader="")
    }
    results: dict[tuple[int, str, int], list[Result]] = {}
    verdicts = Result.objects.filter(run=run, example__in=keys).select_related("grader")
    for result in verdicts.order_by("grader__position", "repetition"):
        results.setdefault((result.example_id, result.target, result.repetition), []).append(result)
    made = []
    with Items(run.evaluation) as items:
        for example in examples:
            item = items.of(example)
            said: dict[str, list[Said]] = {target.key: [] for target in targets}
            for target, repetition in answers_of(run, targets):
                key = example.pk, target.key, repetition
                call = calls.get(key)
                sample = sample_of(target, item, call)
                text, problem = (sample["output_text"], "") if isinstance(sample, dict) else ("", sample)
                said[target.key].append(Said(repetition, text, problem, call, tuple(results.get(key, ()))))
            answers = tuple(_answer(target, said[target.key]) for target in targets)
            made.append(Row(example, item, answers))
    return made


def _answer(target: Target, every: Sequence[Said]) -> Answer:
    first = every[0]
    results = tuple(result for said in every for result in said.results)
    return Answer(target, first.text, first.problem, first.call, results, tuple(every))


@dataclass(frozen=True)
class Page:
    """A page of rows by key: `next` and `previous` are line numbers.

    `looked` says how many rows were looked through where that is not all that there are.
    """

    rows: list[Row]
    next: int | None
    previous: int | None
    looked: int = 0


def page_of(run: Run, chosen: Filter, after: int, before: int) -> Page:
    """The rows after a line, or before one."""
    if chosen.scans:
        return _scanned(run, chosen, after, before)
    found = examples_of(run, chosen)
    if before:
        examples = list(found.filter(line__lt=before).order_by("-line")[: PAGE + 1])
        more_before = len(examples) > PAGE
        examples = examples[:PAGE][::-1]
        more_after = True
    else:
        examples = list(found.filter(line__gt=after)[: PAGE + 1])
        more_after = len(examples) > PAGE
        examples = examples[:PAGE]
        more_before = after > 0
    rows = read_rows(run, examples)
    first = examples[0].line if examples else None
    last = examples[-1].line if examples else None
    return Page(rows, last if more_after else None, first if more_before else None)


def neighbours(run: Run, chosen: Filter, line: int) -> tuple[int | None, int | None]:
    """The lines before and after one, among those shown."""
    found = examples_of(run, chosen)
    sides = []
    for some in (found.filter(line__lt=line).order_by("-line"), found.filter(line__gt=line)):
        if chosen.scans:
            one = next(islice(_matching(run, chosen, some[:NEAR]), 1), None)
            sides.append(one.line if one else None)
        else:
            sides.append(some.values_list("line", flat=True).first())
    return sides[0], sides[1]


def every_row(run: Run, chosen: Filter = EVERYTHING) -> Iterator[Row]:
    """All rows that are asked for, a few at a time."""
    last = 0
    while examples := list(examples_of(run, chosen).filter(line__gt=last)[:AT_ONCE]):
        last = examples[-1].line or 0
        yield from read_rows(run, list(_matching(run, chosen, examples)) if chosen.scans else examples)


def _scanned(run: Run, chosen: Filter, after: int, before: int) -> Page:
    """A page of rows that have to be looked at one by one, up to a bound."""
    found = examples_of(run, chosen)
    ordered = found.filter(line__lt=before).order_by("-line") if before else found.filter(line__gt=after)
    some = list(ordered.defer("content_hash")[:SCAN])
    examples = list(islice(_matching(run, chosen, some), PAGE + 1))
    is_full, looked_all = len(examples) > PAGE, len(some) < SCAN
    examples = examples[:PAGE]
    # Where the bound came first, the next page goes on behind the last row that was looked at.
    edge = examples[-1].line if is_full else None if looked_all else some[-1].line
    if before:
        rows = read_rows(run, examples[::-1])
        return Page(rows, before - 1, edge, 0 if is_full or looked_all else len(some))
    back = (examples[0].line if examples else after + 1) if after else None
    return Page(read_rows(run, examples), edge, back, 0 if is_full or looked_all else len(some))


def _matching(run: Run, chosen: Filter, examples: Sequence[Example] | QuerySet[Example]) -> Iterator[Example]:
    """Those that hold the words and fall into the slice."""
    targets = read(run.targets)
    left = iter(examples)
    with FactsOf(run, targets) as facts:
        while some := list(islice(left, AT_ONCE)):
            if chosen.dimension:
                known = facts.of(some)
                some = [
                    each
                    for each in some
                    if known[each.pk].falls_into(chosen.dimension, chosen.value, chosen.target)
                ]
            if chosen.text and some:
                rows = read_rows(run, some)
                some = [row.example for row in rows if row.holds(chosen.text, chosen.target)]
            yield from some
