"""The choices of the Distill wizard, kept as a draft version and a draft fine-tune, so that it can wait."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from django.db import transaction
from django.db.models import Count
from django.urls import reverse

from completions import selection
from completions.models import FrozenSelection, StoredCompletion
from datasets import received, successors
from datasets.build import validate
from datasets.finetune import launch as launching
from datasets.finetune import sweep
from datasets.models import Dataset, DatasetVersion, FineTune, Purpose, Sweep
from datasets.recipe import Recipe
from portal import audit
from portal.models import Connection, Operation

STEPS = (("data", "Data"), ("check", "Check"), ("model", "Model"), ("launch", "Launch"))
LONGEST_SEED = 2**31 - 1
USUAL_TRAINING_TYPE = "GlobalStandard"  # of Azure: the cheapest that keeps its speed
VARIANTS = tuple(str(number) for number in range(1, 10))  # names of further jobs in the form
State = DatasetVersion.State
# What a purpose is trained with; the wizard asks for nothing that follows.
METHODS: Final[Mapping[str, str]] = {
    Purpose.SUPERVISED: FineTune.Method.SUPERVISED,
    Purpose.PREFERENCE: FineTune.Method.DPO,
    Purpose.REINFORCEMENT: FineTune.Method.REINFORCEMENT,
}


def start(frozen: FrozenSelection, user: Any, name: str, recipe: Recipe) -> DatasetVersion:
    """Confirm the selection and make a dataset with its first version, still a draft."""
    with transaction.atomic():
        FrozenSelection.objects.select_for_update().get(pk=frozen.pk)  # one click at a time
        existing = version_of(frozen)
        if existing is not None:
            return existing
        selection.confirm(frozen)
        dataset = Dataset.objects.create(name=name, purpose=recipe.purpose, owner=user)
        version: DatasetVersion = DatasetVersion.objects.create(
            dataset=dataset,
            number=1,
            frozen_selection=frozen,
            recipe=recipe.as_data(),
            counts={"selected": frozen.count},
            created_by=user,
        )
        version.connections.set(frozen.connections.all())
        audit.record(user, "dataset.created", dataset, selected=frozen.count, purpose=recipe.purpose)
        return version


def version_of(frozen: FrozenSelection) -> DatasetVersion | None:
    """What was begun from this selection already, to train on."""
    found: DatasetVersion | None = (
        DatasetVersion.objects.filter(frozen_selection=frozen, dataset__purpose__in=list(METHODS))
        .order_by("id")
        .first()
    )
    return found


def recipe_of(version: DatasetVersion) -> Recipe:
    """The rules of a version as a value."""
    return Recipe.read(version.recipe)


def purpose_is_fixed(version: DatasetVersion) -> bool:
    """Whether rows of its dataset were built already, so that it keeps its purpose."""
    return bool(version.dataset.versions.exclude(state__in=(State.DRAFT, State.FAILED)).exists())


def change_data(version: DatasetVersion, user: Any, name: str, recipe: Recipe) -> DatasetVersion:
    """Rename the dataset; other rules make another version where this one is built."""
    with transaction.atomic():
        rename(version.dataset, user, name)
        dataset = version.dataset
        if dataset.purpose != recipe.purpose:
            if purpose_is_fixed(version):
                recipe = replace(recipe, purpose=dataset.purpose)
            else:
                Dataset.objects.filter(pk=dataset.pk).update(purpose=recipe.purpose)
                dataset.purpose = recipe.purpose
                drafts = FineTune.objects.filter(version__dataset=dataset, state=FineTune.State.DRAFT)
                drafts.delete()  # another method, another model
        following = with_recipe(version, user, recipe)
        take_draft(version, following)
        return following


def rename(dataset: Dataset, user: Any, name: str) -> None:
    """Give a dataset another name."""
    if dataset.name != name:
        with transaction.atomic():
            Dataset.objects.filter(pk=dataset.pk).update(name=name)
            audit.record(user, "dataset.renamed", dataset)


def with_recipe(version: DatasetVersion, user: Any, recipe: Recipe, *, note: str = "") -> DatasetVersion:
    """The version with this recipe: itself while it is a draft, else the next one of its dataset.

    Asking twice for the same next one gives the same: the same recipe makes the same bytes of the same rows.
    """
    with transaction.atomic():
        version = (
            DatasetVersion.objects.select_for_update(of=("self",))
            .select_related("dataset", "frozen_selection")
            .get(pk=version.pk)
        )
        if recipe == recipe_of(version):
            return version
        live = received.operation_of(version)
        if version.state in (State.DRAFT, State.FAILED) and not (live is not None and live.is_live):
            version.recipe = recipe.as_data()
            version.save(update_fields=["recipe"])
            return version
        data = recipe.as_data()
        others = version.children.filter(
            dataset=version.dataset_id, frozen_selection=version.frozen_selection
        ).exclude(state=State.FAILED)
        begun: DatasetVersion | None = next((each for each in others if each.recipe == data), None)
        return begun or successors.next_version(version, user, recipe, note=note)


def take_draft(version: DatasetVersion, following: DatasetVersion) -> None:
    """Let the fine-tune that is being set up go on with another version."""
    if following.pk != version.pk:
        drafts = FineTune.objects.filter(version=version, state=FineTune.State.DRAFT)
        drafts.update(version=following)


def draft_of(version: DatasetVersion) -> FineTune | None:
    """The fine-tune that is being set up on this version."""
    found: FineTune | None = (
        FineTune.objects.filter(version=version, state=FineTune.State.DRAFT)
        .select_related("connection", "version__dataset")
        .order_by("-id")
        .first()
    )
    return found


def choose_model(
    version: DatasetVersion, user: Any, connection: Connection, base_model: str
) -> tuple[DatasetVersion, FineTune]:
    """Keep connection and base model; where the model takes shorter rows, the next version obeys."""
    with transaction.atomic():
        DatasetVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)  # one click at a time
        drafted = draft_of(version)
        limit = validate.token_limit(base_model) or 0
        if _must_obey(version, limit, leave_out=connection.is_azure):
            leave_out = bool(limit and connection.is_azure)
            recipe = replace(recipe_of(version), token_limit=limit, leave_out_long=leave_out)
            version = with_recipe(version, user, recipe, note=f"Rows as long as {base_model} takes them")
        draft = draft_of(version) or drafted
        if draft is None:
            draft = FineTune(created_by=user, seed=random.randint(0, LONGEST_SEED), hyperparameters={})
        if draft.connection_id != connection.pk:
            draft.training_type = USUAL_TRAINING_TYPE if connection.is_azure else ""
        draft.version, draft.connection, draft.base_model = version, connection, base_model
        draft.method = METHODS[version.dataset.purpose]
        draft.save()
        return version, draft


def _must_obey(version: DatasetVersion, limit: int, *, leave_out: bool) -> bool:
    """Whether the limit of a model changes the rows; if not, no other version is made."""
    if version.state in (State.DRAFT, State.FAILED):
        return True
    if limit == recipe_of(version).token_limit:
        return False
    left_out = version.counts.get("left_out", {}).get("too_long", 0)
    return bool(left_out or (leave_out and limit and version.examples.filter(tokens__gt=limit).exists()))


def build_now(version: DatasetVersion, user: Any) -> Operation | None:
    """Begin the build of a version that has no file; None where it has one, or was refused."""
    if version.state in (State.READY, State.REFUSED):
        return None
    return received.begin(version, user)


def set_up(tune: FineTune, values: Mapping[str, Any]) -> bool:
    """Keep what the launch step asks; False where it is no draft any more, as a click before launched it."""
    names = ("hyperparameters", "grader", "seed", "suffix", "training_type")
    kept = {name: values[name] for name in names}
    if not FineTune.objects.filter(pk=tune.pk, state=FineTune.State.DRAFT).update(**kept):
        return False
    for name, value in kept.items():
        setattr(tune, name, value)
    return True


def launch(tune: FineTune, others: Sequence[Mapping[str, Any]], user: Any) -> str:
    """Launch the job that was set up, with variants of it as one sweep; where to look at it.

    Raises launching.NotReady, sweep.NotPossible or spending.OverBudget; nothing is begun then.
    """
    if not others:
        try:
            launching.begin(tune, user)
        except FineTune.DoesNotExist:  # another click began a sweep, which took its place
            pass
        return where(tune)
    with transaction.atomic():
        drafts = FineTune.objects.select_for_update(of=("self",)).filter(pk=tune.pk)
        draft: FineTune | None = drafts.select_related("connection", "version__dataset").first()
        if draft is None or draft.state != FineTune.State.DRAFT:
            return where(tune)
        first = sweep.Variant.of(draft)
        variants = [first, *(replace(first, **each) for each in others)]
        name = f"{draft.suffix or draft.trained_on.dataset.name}: {len(variants)} jobs"
        begun = sweep.begin(draft.trained_on, draft.connection, variants, user, name[:120])
        draft.delete()  # its place is taken by the first job of the sweep
        return reverse("datasets:sweep", args=[begun.pk])


def where(tune: FineTune) -> str:
    """The page of a job that was launched; of the sweep, if one took its place."""
    if FineTune.objects.filter(pk=tune.pk).exists():
        return reverse("datasets:finetune", args=[tune.pk])
    begun = None if tune.version is None else sweep_of(tune.version, tune.created_by)
    return reverse("datasets:sweep", args=[begun.pk]) if begun else reverse("datasets:finetunes")


def sweep_of(version: DatasetVersion, user: Any) -> Sweep | None:
    """The last sweep that the person launched on this version."""
    found: Sweep | None = Sweep.objects.filter(version=version, created_by=user).order_by("-id").first()
    return found


def main_source(version: DatasetVersion, among: Any) -> int | None:
    """The connection that most of the newest selected rows come from, as training there is the likeliest."""
    frozen = version.frozen_selection
    newest = list(islice(selection.ids_of(frozen), 500)) if frozen is not None else []
    counted = (
        StoredCompletion.objects.filter(pk__in=newest, connection__in=among)
        .values("connection")
        .annotate(n=Count("id"))
        .order_by("-n", "connection")
        .first()
    )
    found: int | None = counted["connection"] if counted else among.values_list("pk", flat=True).first()
    return found


def done_steps(version: DatasetVersion) -> set[str]:
    """Which steps of the wizard have their answer."""
    done = {"data"}
    if version.state == State.READY:
        done.add("check")
        if draft_of(version) is not None:
            done.add("model")
    return done
