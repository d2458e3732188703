"""The choices of the Distill wizard, kept as a draft version and a draft fine-tune, so that it can wait."""

import random
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import Count, Max

from completions import selection
from completions.models import FrozenSelection, StoredCompletion
from datasets.build import build, validate
from datasets.finetune import launch
from datasets.models import Dataset, DatasetVersion, FineTune, Purpose
from portal import audit
from portal.models import Connection, Operation

STEPS = (("data", "Data"), ("model", "Model"), ("check", "Check"), ("launch", "Launch"))
LONGEST_SEED = 2**31 - 1
State = DatasetVersion.State


def start(frozen: FrozenSelection, user: Any, name: str, train_on: str) -> DatasetVersion:
    """Confirm the selection and make a dataset with its first version, still a draft."""
    with transaction.atomic():
        FrozenSelection.objects.select_for_update().get(pk=frozen.pk)  # one click at a time
        existing = version_of(frozen)
        if existing is not None:
            return existing
        selection.confirm(frozen)
        dataset = Dataset.objects.create(name=name, purpose=Purpose.SUPERVISED, owner=user)
        version: DatasetVersion = DatasetVersion.objects.create(
            dataset=dataset,
            number=1,
            frozen_selection=frozen,
            recipe={"purpose": Purpose.SUPERVISED, "train_on": train_on},
            counts={"selected": frozen.count},
            created_by=user,
        )
        version.connections.set(frozen.connections.all())
        audit.record(user, "dataset.created", dataset, selected=frozen.count)
        return version


def version_of(frozen: FrozenSelection) -> DatasetVersion | None:
    """The training set that was begun from this selection already."""
    found: DatasetVersion | None = (
        DatasetVersion.objects.filter(frozen_selection=frozen, dataset__purpose=Purpose.SUPERVISED)
        .order_by("id")
        .first()
    )
    return found


def change_data(version: DatasetVersion, user: Any, name: str, train_on: str) -> DatasetVersion:
    """Rename the dataset; another way of training makes another version where this one is built."""
    with transaction.atomic():
        if version.dataset.name != name:
            Dataset.objects.filter(pk=version.dataset_id).update(name=name)
            audit.record(user, "dataset.renamed", version.dataset)
        return _with_recipe(version, user, {**version.recipe, "train_on": train_on})


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
    """Keep connection and base model; the limits of the model are part of the recipe."""
    limit = validate.token_limit(base_model)
    recipe = {**version.recipe, "token_limit": limit, "leave_out_long": bool(limit and connection.is_azure)}
    with transaction.atomic():
        DatasetVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)  # one click at a time
        draft = draft_of(version)
        version = _with_recipe(version, user, recipe)
        if draft is None:
            draft = FineTune(created_by=user, seed=random.randint(0, LONGEST_SEED), hyperparameters={})
        if draft.connection_id != connection.pk:
            draft.training_type = "GlobalStandard" if connection.is_azure else ""
        draft.version, draft.connection, draft.base_model = version, connection, base_model
        draft.save()
        return version, draft


def _with_recipe(version: DatasetVersion, user: Any, recipe: dict[str, Any]) -> DatasetVersion:
    """The version with this recipe: itself while it is a draft, else the next one of its dataset."""
    if recipe == version.recipe:
        return version
    live = build.operation_of(version)
    if version.state in (State.DRAFT, State.FAILED) and not (live is not None and live.is_live):
        version.recipe = recipe
        version.save(update_fields=["recipe"])
        return version
    number = version.dataset.versions.aggregate(last=Max("number"))["last"] + 1
    following: DatasetVersion = DatasetVersion.objects.create(
        dataset=version.dataset,
        number=number,
        frozen_selection=version.frozen_selection,
        recipe=recipe,
        counts={"selected": version.counts.get("selected", 0)},
        created_by=user,
    )
    following.connections.set(version.connections.all())
    audit.record(user, "dataset_version.created", following)
    return following


def build_now(version: DatasetVersion, user: Any) -> Operation | None:
    """Begin the build of a version that has no file; None where it has one, or was refused."""
    if version.state in (State.READY, State.REFUSED):
        return None
    return build.begin(version, user)


def set_up(tune: FineTune, values: dict[str, Any]) -> None:
    """Keep the numbers of the launch step; only a draft takes them."""
    FineTune.objects.filter(pk=tune.pk, state=FineTune.State.DRAFT).update(
        hyperparameters={name: values[name] for name in launch.NUMBERS},
        suffix=values["suffix"],
        seed=values["seed"],
        training_type=values["training_type"],
    )
    tune.refresh_from_db()


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
    if draft_of(version) is not None:
        done.add("model")
        if version.state == State.READY:
            done.add("check")
    return done


def epochs(rows: int, chosen: Any) -> int:
    """How often the rows are trained on; `auto` is what the provider's own guide estimates."""
    if isinstance(chosen, int) and not isinstance(chosen, bool):
        return chosen
    if rows <= 0:
        return 0
    if 3 * rows < 100:
        return min(25, 100 // rows)
    if 3 * rows > 25_000:
        return max(1, 25_000 // rows)
    return 3
