"""The steps from what is measured on to a run: what has been told so far, and what may come next.

Everything told is kept in rows, so a wizard that was left goes on where it stopped, on any machine.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.db import transaction

from completions import selection
from completions.models import FrozenSelection, StoredCompletion
from datasets import reading
from datasets.build import tokens
from datasets.build.columns import CORRECTION, ELSE_META, META
from datasets.build.lines import in_words
from datasets.build.making import Made, Maker
from datasets.build.taking import Sources
from datasets.evaluate import sources_seen
from datasets.evaluate.graders import ANSWER, REFERENCE
from datasets.evaluate.items import Items
from datasets.evaluate.judges import judges_of
from datasets.evaluate.sources_seen import rows_of
from datasets.evaluate.targets import Target, problem_of, read, stored
from datasets.models import Dataset, DatasetVersion, Evaluation, Grader, Purpose
from datasets.recipe import Recipe
from datasets.usage import used_by
from portal import audit

STEPS = (
    ("data", "Data"),
    ("reference", "Reference"),
    ("targets", "Targets"),
    ("graders", "Graders"),
    ("review", "Review"),
)
TRIED = 3
NO_OUTPUT = "The items have no stored answers. Measure fresh ones, or name the column that holds an answer."


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
    mine = Evaluation.objects.filter(
        version__frozen_selection=frozen, owner=user, runs__isnull=True, deleting=False
    )
    found = mine.select_related("version__dataset", "version__frozen_selection")
    # One that shares items which were built from the selection is not set up on it.
    return next((each for each in found[:50] if not each.setup.get("shared")), None)


def rename(evaluation: Evaluation, name: str) -> None:
    evaluation.name = name
    evaluation.save(update_fields=["name"])
    Dataset.objects.filter(pk=evaluation.version.dataset_id).update(name=name)


def finish(evaluation: Evaluation, step: str, **told: Any) -> None:
    """Keep what a step was told and mark it as done."""
    with transaction.atomic():
        # What others wrote there meanwhile stays, such as the thresholds that earlier runs began with.
        evaluation.setup = (
            Evaluation.objects.select_for_update().values_list("setup", flat=True).get(pk=evaluation.pk)
        )
        steps = sorted({*done_steps(evaluation), step})
        evaluation.setup = {**evaluation.setup, **told, "steps": steps}
        evaluation.save(update_fields=["setup"])


def set_reference(evaluation: Evaluation, reference: str) -> None:
    """What answers are compared with; part of the recipe of the items."""
    with transaction.atomic():
        evaluation.reference = reference
        evaluation.save(update_fields=["reference"])
        if not is_from_file(evaluation):
            DatasetVersion.objects.filter(pk=evaluation.version_id).update(recipe={"reference": reference})
            evaluation.version.recipe = {"reference": reference}
        finish(evaluation, "reference")


def mark_of(evaluation: Evaluation) -> str:
    """What tells whether its graders are still the same."""
    return _mark(evaluation.graders.values("name", "kind", "params"))


def _mark(graders: Iterable[Mapping[str, Any]]) -> str:
    told = [[str(each["name"]), str(each["kind"]), each["params"]] for each in graders]
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def set_graders(evaluation: Evaluation, graders: list[dict[str, Any]], *, since: str = "") -> bool:
    """Judge by these from now on. False, and nothing is changed, if it has run meanwhile or if its graders
    have another mark than `since` and are not these either.
    """
    with transaction.atomic():
        Evaluation.objects.select_for_update().get(pk=evaluation.pk)
        if evaluation.runs.exists() or (since and mark_of(evaluation) not in (since, _mark(graders))):
            return False
        there = evaluation.graders.exclude(taken_from=None).values_list("name", "kind", "taken_from")
        taken = {(name, kind): version for name, kind, version in there}
        evaluation.graders.all().delete()
        Grader.objects.bulk_create(
            Grader(
                evaluation=evaluation,
                position=position,
                taken_from_id=taken.get((grader["name"], grader["kind"])),
                **grader,
            )
            for position, grader in enumerate(graders)
        )
    return True


def targets_of(evaluation: Evaluation) -> tuple[Target, ...]:
    return read(evaluation.setup.get("targets", ()))


def default_graders(evaluation: Evaluation) -> list[dict[str, Any]]:
    """What most people want: a label must occur in the answer, a text must be close to it."""
    texts = {"input": ANSWER, "reference": REFERENCE if evaluation.reference else ""}
    if evaluation.reference.startswith(("answer", CORRECTION)):
        params = texts | {"evaluation_metric": "rouge_l", "pass_threshold": 0.5}
        return [{"name": "Close to the reference", "kind": Grader.Kind.TEXT_SIMILARITY, "params": params}]
    name = "Contains the reference" if evaluation.reference else "Contains"
    return [{"name": name, "kind": Grader.Kind.STRING_CHECK, "params": texts | {"operation": "ilike"}}]


def is_from_file(evaluation: Evaluation) -> bool:
    """Whether its items stand in a file that is not built from its own selection: it is built already."""
    version = evaluation.version
    if version.origin == version.Origin.SELECTION and version.frozen_selection is not None:
        return bool(evaluation.setup.get("shared"))
    return True


def coverage_of(evaluation: Evaluation) -> dict[str, Any]:
    """What the first rows have that could be a reference: how many of them, and what values look like.

    What people said of selected rows is looked up each time, as it may change until the items are written.
    """
    seen = _seen(evaluation)
    if is_from_file(evaluation):
        return seen
    return {**seen, **sources_seen.said_of(evaluation.version.frozen_selection)}


def _seen(evaluation: Evaluation) -> dict[str, Any]:
    """What was found in the first rows once, kept from then on."""
    known = evaluation.setup.get("coverage")
    from_file = is_from_file(evaluation)
    if not known:
        if from_file and evaluation.version.state != DatasetVersion.State.READY:
            return {"looked": 0, "answers": 0, "keys": [], "columns": []}
        frozen = evaluation.version.frozen_selection
        known = sources_seen.of_file(evaluation) if from_file else sources_seen.of_selection(frozen)
        _keep_seen(evaluation, known)
    return dict(known)


def _keep_seen(evaluation: Evaluation, known: Mapping[str, Any]) -> None:
    """Looking took a while: what others wrote meanwhile stays, and where they named other columns, nothing of
    what was seen is kept.
    """
    with transaction.atomic():
        rows = Evaluation.objects.select_for_update().filter(pk=evaluation.pk)
        held = rows.values_list("setup", flat=True).first()
        if held is not None and held.get("columns") == evaluation.setup.get("columns"):
            evaluation.setup = {**held, "coverage": known}
            evaluation.save(update_fields=["setup"])


def stored_refusal(evaluation: Evaluation) -> str:
    """Why its stored answers cannot be measured; empty if they can."""
    if problem := problem_of(evaluation.reference, [stored()]):
        return problem
    seen = _seen(evaluation)
    return NO_OUTPUT if seen["looked"] and not seen["answers"] else ""


@dataclass(frozen=True)
class Estimate:
    """What a run will ask for, before it is started. Tokens are those of the fresh answers.

    `prompt_each` and `completion_each` are those of one answer on average; None if nothing is known. `chosen`
    is how many rows there were to begin with.
    """

    items: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    left_out: int
    judgements: int = 0
    prompt_each: float | None = None
    completion_each: float | None = None
    chosen: int = 0

    @property
    def is_free(self) -> bool:
        return self.calls + self.judgements == 0


def estimate(evaluation: Evaluation, targets: tuple[Target, ...], repetitions: int = 1) -> Estimate:
    """From what the stored calls used, or what the items hold: fresh answers will use about as much."""
    version, frozen = evaluation.version, evaluation.version.frozen_selection
    from_file = is_from_file(evaluation)
    fresh = repetitions * sum(target.is_fresh for target in targets)
    judges = judges_of(evaluation.graders.all())
    if version.state == version.State.READY:
        items, chosen = version.rows, int(version.counts.get("selected", version.rows))
    else:
        chosen = frozen.count if frozen is not None and not from_file else 0
        left_out = _expected_to_be_left_out(evaluation.reference, coverage_of(evaluation), chosen)
        items = chosen - left_out
    prompt, completion = _each(evaluation) if fresh or judges else (None, None)
    calls = fresh * items
    return Estimate(
        items=items,
        calls=calls,
        prompt_tokens=round((prompt or 0) * calls),
        completion_tokens=round((completion or 0) * calls),
        left_out=0 if from_file else chosen - items,
        judgements=items * sum(judge.times(targets, repetitions) for judge in judges),
        prompt_each=prompt,
        completion_each=completion,
        chosen=chosen,
    )


def _each(evaluation: Evaluation) -> tuple[float | None, float | None]:
    """Tokens of one prompt and of one answer on average; None where nothing is known."""
    frozen = evaluation.version.frozen_selection
    if is_from_file(evaluation) or frozen is None:
        seen = _seen(evaluation)
        return seen.get("prompt_each"), seen.get("completion_each")
    used = used_by(frozen)
    return (
        (used.prompt_tokens / used.looked, used.completion_tokens / used.looked)
        if used.looked
        else (None, None)
    )


def _expected_to_be_left_out(reference: str, coverage: dict[str, Any], selected: int) -> int:
    looked: int = coverage["looked"]
    if not looked or not reference:
        return 0
    have: int = coverage["answers"]
    if reference.startswith(CORRECTION):
        have -= coverage.get("not_good", 0)
        if reference.startswith(ELSE_META):
            key = reference.removeprefix(ELSE_META)
            have = max(have, _with(coverage, f"{META}{key}"))
    elif reference != "answer":
        have = _with(coverage, reference)
    return max(0, round(selected * (looked - have) / looked))


def _with(coverage: dict[str, Any], reference: str) -> int:
    """How many of the rows that were looked at have this key, label or column."""
    return next((entry["n"] for entry in sources_seen.offered(coverage) if entry["value"] == reference), 0)


@dataclass(frozen=True)
class Tried:
    """One row on which graders are tried; `row` is the completion behind it, where there is one."""

    row: StoredCompletion | None
    item: dict[str, Any] | None
    refusal: str = ""

    @property
    def title(self) -> str:
        """The beginning of what was asked."""
        if self.row is not None:
            return str(self.row.prompt_preview)
        said = reading.read({"item": self.item or {}}).talks
        asked = [message.text for talk in said for message in talk.messages if message.role == "user"]
        return (asked[-1] if asked else "")[:160] or "(no user message)"


def rows_to_try(evaluation: Evaluation) -> list[Tried]:
    """The first rows as items, with the reason where one has none."""
    version = evaluation.version
    if version.state == version.State.READY:
        with Items(evaluation) as items:
            return [
                Tried(example.completion, items.of(example))
                for example in sources_seen.first_of(evaluation, TRIED)
            ]
    if is_from_file(evaluation) or version.frozen_selection is None:
        return []
    recipe = Recipe(purpose=Purpose.EVALUATION, reference=evaluation.reference)
    maker = Maker(recipe, tokens.Counter.plain())
    rows = {row.pk: row for row in rows_of(version.frozen_selection, TRIED)}
    made: list[Tried] = []
    for taken in Sources.of(version.frozen_selection).take(list(rows)):
        row = rows.get(taken.completion or 0)
        line = maker.make(taken.material, len(made) + 1)
        if isinstance(line, Made):
            made.append(Tried(row, line.line.data["item"]))
        else:
            made.append(Tried(row, None, in_words(line.reason)))
    return made
