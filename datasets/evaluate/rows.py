"""The rows behind a report: one item with its answers and verdicts, and pages of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from completions.conversation import Message, read_message
from datasets.evaluate.grading import sample_of
from datasets.evaluate.items import Items
from datasets.evaluate.targets import Target, read
from datasets.models import Call, Example, Result, Run

PAGE = 25
SHORT = 160
SHOWS = {"all": "All rows", "failed": "Failed", "disagreed": "Disagreements", "ungraded": "Ungraded"}


@dataclass(frozen=True)
class Answer:
    """What one target said to one item, and what the graders said to that."""

    target: Target
    text: str
    problem: str
    call: Call | None
    results: tuple[Result, ...]

    @property
    def short(self) -> str:
        """The beginning of the answer, or why there is none."""
        return (self.text or self.problem or "(no text)")[:SHORT]

    @property
    def state(self) -> str:
        """The worst verdict in a word: failed, ungraded, passed, or waiting."""
        if not self.results:
            return "waiting"
        if any(result.passed is False for result in self.results):
            return "failed"
        return "ungraded" if any(result.passed is None for result in self.results) else "passed"


@dataclass(frozen=True)
class Row:
    """One item."""

    example: Example
    item: dict[str, Any]
    answers: tuple[Answer, ...]

    @property
    def prompt(self) -> str:
        """The beginning of the last thing that the user said."""
        asked = next((message for message in reversed(self.messages) if message.role == "user"), None)
        if asked is None:
            return "(no user message)"
        return asked.text[:SHORT] or "(no text)"

    @property
    def messages(self) -> tuple[Message, ...]:
        """The input, as every conversation is read."""
        return tuple(read_message(message, place) for place, message in enumerate(self.item.get("input", ())))


def examples_of(run: Run, show: str = "all") -> QuerySet[Example]:
    """The run's items in their order, all or those that `show` names."""
    found: QuerySet[Example] = Example.objects.filter(
        version=run.evaluation.version_id, line__isnull=False
    ).order_by("line")
    of_item = Result.objects.filter(run=run, example=OuterRef("pk"))
    if show == "failed":
        return found.filter(Exists(of_item.filter(passed=False)))
    if show == "ungraded":
        return found.filter(Exists(of_item.filter(passed__isnull=True)))
    if show == "disagreed":
        other = Result.objects.filter(
            run=run, example=OuterRef("example"), grader=OuterRef("grader"), passed=False
        )
        return found.filter(Exists(of_item.filter(Exists(other), passed=True)))
    return found


def read_rows(run: Run, examples: Sequence[Example]) -> list[Row]:
    """The items with their answers and verdicts, in three queries."""
    targets = read(run.targets)
    keys = [example.pk for example in examples]
    calls = {
        (call.example_id, call.target): call
        for call in Call.objects.filter(run=run, example__in=keys, grader="")
    }
    results: dict[tuple[int, str], list[Result]] = {}
    verdicts = Result.objects.filter(run=run, example__in=keys).select_related("grader")
    for result in verdicts.order_by("grader__position"):
        results.setdefault((result.example_id, result.target), []).append(result)
    made = []
    with Items(run.evaluation) as items:
        for example in examples:
            item = items.of(example)
            answers = []
            for target in targets:
                key = example.pk, target.key
                sample = sample_of(target, item, calls.get(key))
                text, problem = (sample["output_text"], "") if isinstance(sample, dict) else ("", sample)
                answers.append(Answer(target, text, problem, calls.get(key), tuple(results.get(key, ()))))
            made.append(Row(example, item, tuple(answers)))
    return made


@dataclass(frozen=True)
class Page:
    """A page of rows by key: `after` and `before` are line numbers."""

    rows: list[Row]
    next: int | None
    previous: int | None


def page_of(run: Run, show: str, after: int, before: int) -> Page:
    """The rows after a line, or before one."""
    found = examples_of(run, show)
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


def neighbours(run: Run, show: str, line: int) -> tuple[int | None, int | None]:
    """The lines before and after one, among those shown."""
    found = examples_of(run, show)
    previous = found.filter(line__lt=line).order_by("-line").values_list("line", flat=True).first()
    following = found.filter(line__gt=line).values_list("line", flat=True).first()
    return previous, following
