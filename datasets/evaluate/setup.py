"""The steps from a selection to a run: what has been told so far, and what may come next.

Everything told is kept in rows, so a wizard that was left goes on where it stopped, on any machine.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import transaction

from completions import raw, selection
from completions.conversation import parse
from completions.models import FrozenSelection, StoredCompletion
from datasets.build import items, tokens
from datasets.build.items import META
from datasets.build.lines import Line, in_words
from datasets.build.material import Material
from datasets.evaluate.graders import ANSWER, REFERENCE
from datasets.evaluate.judges import judges_of
from datasets.evaluate.targets import Target, read
from datasets.models import Dataset, DatasetVersion, Evaluation, Grader, Purpose
from datasets.recipe import Recipe
from datasets.usage import LOOKED_AT, Used, used_by
from portal import audit

STEPS = (
    ("data", "Data"),
    ("reference", "Reference"),
    ("targets", "Targets"),
    ("graders", "Graders"),
    ("review", "Review"),
)
KEYS_SHOWN = 40
TRIED = 3
_CHUNK = 500


def done_steps(evaluation: Evaluation) -> set[str]:
    return set(evaluation.setup.get("steps", ()))


def begin(frozen: FrozenSelection, name: str, user: Any) -> Evaluation:
    """The evaluation being set up on this selection, made now if there is none: asking twice makes one."""
    with transaction.atomic():
        FrozenSelection.objects.select_for_update().get(pk=frozen.pk)
        found: Evaluation | None = draft_on(frozen, user)
        if found is not None:
            rename(found, name)
            return found
        selection.confirm(frozen)
        dataset = Dataset.objects.create(name=name, purpose=Purpose.EVALUATION, owner=user)
        version = DatasetVersion.objects.create(
            dataset=dataset, number=1, frozen_selection=frozen, created_by=user
        )
        sources = list(frozen.connections.all())
        version.connections.set(sources)
        evaluation: Evaluation = Evaluation.objects.create(
            name=name, version=version, owner=user, setup={"steps": ["data"]}
        )
        evaluation.connections.set(sources)
        audit.record(user, "evaluation.created", evaluation, selected=frozen.count)
        return evaluation


def draft_on(frozen: FrozenSelection, user: Any) -> Evaluation | None:
    """This person's evaluation of the selection that has not been run yet."""
    found: Evaluation | None = (
        Evaluation.objects.filter(version__frozen_selection=frozen, owner=user, runs__isnull=True)
        .select_related("version__dataset", "version__frozen_selection")
        .first()
    )
    return found


def rename(evaluation: Evaluation, name: str) -> None:
    evaluation.name = name
    evaluation.save(update_fields=["name"])
    Dataset.objects.filter(pk=evaluation.version.dataset_id).update(name=name)


def finish(evaluation: Evaluation, step: str, **told: Any) -> None:
    """Keep what a step was told and mark it as done."""
    steps = sorted({*done_steps(evaluation), step})
    evaluation.setup = {**evaluation.setup, **told, "steps": steps}
    evaluation.save(update_fields=["setup"])


def set_reference(evaluation: Evaluation, reference: str) -> None:
    """What answers are compared with; part of the recipe of the items."""
    with transaction.atomic():
        evaluation.reference = reference
        evaluation.save(update_fields=["reference"])
        DatasetVersion.objects.filter(pk=evaluation.version_id).update(recipe={"reference": reference})
        finish(evaluation, "reference")


def set_graders(evaluation: Evaluation, graders: list[dict[str, Any]]) -> None:
    with transaction.atomic():
        evaluation.graders.all().delete()
        Grader.objects.bulk_create(
            Grader(evaluation=evaluation, position=position, **grader)
            for position, grader in enumerate(graders)
        )


def targets_of(evaluation: Evaluation) -> tuple[Target, ...]:
    return read(evaluation.setup.get("targets", ()))


def default_graders(evaluation: Evaluation) -> list[dict[str, Any]]:
    """What most people want: a label must occur in the answer, a text must be close to it."""
    close = evaluation.reference == "answer"
    kind = Grader.Kind.TEXT_SIMILARITY if close else Grader.Kind.STRING_CHECK
    return [default_grader(evaluation, kind)]


def default_grader(evaluation: Evaluation, kind: str) -> dict[str, Any]:
    """A grader of this kind to begin with."""
    if kind == Grader.Kind.CHECK:
        return {"name": "Answers", "kind": kind, "params": {"input": ANSWER, "check": "answers", "value": ""}}
    texts = {"input": ANSWER, "reference": REFERENCE if evaluation.reference else ""}
    if kind == Grader.Kind.TEXT_SIMILARITY:
        params = texts | {"evaluation_metric": "rouge_l", "pass_threshold": 0.5}
        return {"name": "Close to the reference", "kind": kind, "params": params}
    name = "Contains the reference" if evaluation.reference else "Contains"
    return {"name": name, "kind": kind, "params": texts | {"operation": "ilike"}}


def rows_of(frozen: FrozenSelection | None, limit: int) -> Iterator[StoredCompletion]:
    """The first rows of a selection in its order, without their bodies; none if it is gone."""
    if frozen is None:
        return
    ids = islice(selection.ids_of(frozen), limit)
    sources = frozen.connections.all()
    while chunk := list(islice(ids, _CHUNK)):
        found = StoredCompletion.objects.filter(connection__in=sources).in_bulk(chunk)
        yield from (found[pk] for pk in chunk if pk in found)


def coverage_of(evaluation: Evaluation) -> dict[str, Any]:
    """Which metadata keys the selected rows have, how many of them, and what the values look like."""
    known = evaluation.setup.get("coverage")
    if known:
        return dict(known)
    frozen = evaluation.version.frozen_selection
    looked = answers = 0
    keys: Counter[str] = Counter()
    values: dict[str, set[str]] = {}
    for row in rows_of(frozen, LOOKED_AT):
        looked += 1
        answers += row.answer_length > 0 or row.refused
        for key, value in row.metadata.items():
            if not isinstance(value, str) or not value:
                continue
            keys[key] += 1
            seen = values.setdefault(key, set())
            if len(seen) < 4:
                seen.add(value[:80])
    found = {
        "looked": looked,
        "answers": answers,
        "keys": [
            {"key": key, "n": n, "values": sorted(values[key])[:3], "more": len(values[key]) > 3}
            for key, n in keys.most_common(KEYS_SHOWN)
        ],
    }
    evaluation.setup = {**evaluation.setup, "coverage": found}
    evaluation.save(update_fields=["setup"])
    return found


@dataclass(frozen=True)
class Estimate:
    """What a run will ask for, before it is started. Tokens are those of the fresh answers.

    `prompt_each` and `completion_each` are those of one answer on average; None if nothing is known.
    """

    items: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    left_out: int
    judgements: int = 0
    prompt_each: float | None = None
    completion_each: float | None = None

    @property
    def is_free(self) -> bool:
        return self.calls + self.judgements == 0


def estimate(evaluation: Evaluation, targets: tuple[Target, ...], repetitions: int = 1) -> Estimate:
    """From what the stored calls used: fresh answers to the same prompts will use about as much."""
    frozen = evaluation.version.frozen_selection
    coverage = coverage_of(evaluation)
    fresh = repetitions * sum(target.is_fresh for target in targets)
    judges = judges_of(evaluation.graders.all())
    version = evaluation.version
    if version.state == version.State.READY:
        left_out = int(version.counts.get("selected", version.rows)) - version.rows
    else:
        left_out = _expected_to_be_left_out(evaluation.reference, coverage, frozen.count if frozen else 0)
    items = (frozen.count if frozen else version.rows + left_out) - left_out
    used = used_by(frozen) if (fresh or judges) and frozen is not None else Used(0, 0, 0)
    calls = fresh * items
    each = (used.prompt_tokens / used.looked, used.completion_tokens / used.looked) if used.looked else None
    return Estimate(
        items=items,
        calls=calls,
        prompt_tokens=round(each[0] * calls) if each else 0,
        completion_tokens=round(each[1] * calls) if each else 0,
        left_out=left_out,
        judgements=items * sum(judge.times(targets, repetitions) for judge in judges),
        prompt_each=each[0] if each else None,
        completion_each=each[1] if each else None,
    )


def _expected_to_be_left_out(reference: str, coverage: dict[str, Any], selected: int) -> int:
    looked: int = coverage["looked"]
    if not looked or not reference:
        return 0
    key = reference.removeprefix(META)
    have: int = coverage["answers"]
    if reference.startswith(META):
        have = next((entry["n"] for entry in coverage["keys"] if entry["key"] == key), 0)
    return round(selected * (looked - have) / looked)


@dataclass(frozen=True)
class Tried:
    """One row on which graders are tried."""

    row: StoredCompletion
    item: dict[str, Any] | None
    refusal: str = ""


def rows_to_try(evaluation: Evaluation) -> list[Tried]:
    """The first rows of the selection as items, with the reason where one has none."""
    made = []
    recipe = Recipe(purpose=Purpose.EVALUATION, reference=evaluation.reference)
    counter = tokens.Counter.plain()
    for row in rows_of(evaluation.version.frozen_selection, TRIED):
        full = StoredCompletion.objects.select_related("body", "connection").filter(pk=row.pk).get()
        try:
            item, messages = raw.read(raw.unpack(full.body.raw))
            material = Material(full.upstream_id, parse(item, messages), metadata=full.metadata)
            line = items.evaluation(material, recipe, counter)
        except (raw.Unreadable, StoredCompletion.body.RelatedObjectDoesNotExist):
            made.append(Tried(full, None, in_words("unreadable")))
            continue
        if isinstance(line, Line):
            made.append(Tried(full, line.data["item"]))
        else:
            made.append(Tried(full, None, in_words(line.reason)))
    return made
