"""The next version of a dataset: without some rows, with them again, or of the rows of today."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Max

from completions import selection
from completions.models import FrozenSelection
from datasets.models import Dataset, DatasetVersion
from datasets.received import RENEW, begin, operation_of
from datasets.recipe import MOST_EXCLUDED, Recipe, Unreadable
from portal import audit, operations
from portal.models import Connection

LONGEST_REASON: Final = 100
_GENERATIONS: Final = 200
Origin = DatasetVersion.Origin


class Refused(ValueError):
    """The next version cannot be begun; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Excluded:
    """A row that was left out by hand: why, by whom and when, and the first version without it."""

    key: str
    why: str
    who: Any
    when: datetime
    number: int


def exclude(version: DatasetVersion, user: Any, rows: Mapping[str, str]) -> DatasetVersion:
    """Begin the next version without these rows (source key → reason). Raises Refused."""
    recipe = _recipe(version)
    before = dict(recipe.excluded)
    fresh = {key: " ".join(why.split())[:LONGEST_REASON] for key, why in rows.items() if key not in before}
    if not fresh:
        raise Refused("Choose rows that are not excluded yet.")
    if len(before) + len(fresh) > MOST_EXCLUDED:
        raise Refused(f"At most {MOST_EXCLUDED:,} rows can be excluded by hand. Use a rule of the recipe.")
    note = f"Without {_count(len(fresh))} excluded by hand"
    return _with_excluded(version, user, recipe, {**before, **fresh}, note)


def take_back(version: DatasetVersion, user: Any, keys: Collection[str]) -> DatasetVersion:
    """Begin the next version with rows again that this one excludes by hand. Raises Refused."""
    recipe = _recipe(version)
    before = dict(recipe.excluded)
    kept = {key: why for key, why in before.items() if key not in keys}
    if len(kept) == len(before):
        raise Refused("Choose rows that are excluded.")
    note = f"With {_count(len(before) - len(kept))} taken back"
    return _with_excluded(version, user, recipe, kept, note)


def renew(version: DatasetVersion, user: Any) -> DatasetVersion:
    """Begin the next version from what the same filter, or list, selects now. Raises Refused."""
    old = version.frozen_selection
    if version.origin != Origin.SELECTION:
        raise Refused("This version came from a file. Upload the file again to make the next one.")
    if old is None:
        raise Refused("The selection that this version was made from is gone, so it cannot be repeated.")
    recipe = _recipe(version)
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=version.dataset_id)  # one click at a time
        before = _being_renewed(version)
        if before is not None:
            return before
        try:
            frozen = (
                selection.freeze(user, q=old.q, everything=True, excluded=old.excluded)
                if old.everything
                else selection.freeze(user, ids=selection.ids_of(old))
            )
        except selection.Refused as why:
            raise Refused(str(why)) from why
        foreign = frozen.connections.exclude(pk__in=Connection.objects.actionable_by(user).values("pk"))
        if foreign.exists():
            names = ", ".join(foreign.order_by("name").values_list("name", flat=True)[:3])
            raise Refused(f"Rows now also come from {names}, where you are no builder.")
        selection.confirm(frozen)
        made = next_version(version, user, recipe, note="With the rows of that day", frozen=frozen)
        if frozen.ready:
            begin(made, user)
        else:
            operations.begin(
                RENEW,
                title=f"Find the rows of {made}"[:200],
                dedupe_key=f"version:{made.pk}",
                requested_by=user,
                subject=made,
            )
    return made


def _being_renewed(version: DatasetVersion) -> DatasetVersion | None:
    """What a click before began to make of today's rows, and is not built yet."""
    renewed = version.children.exclude(frozen_selection=version.frozen_selection_id).order_by("-number")
    making = renewed.filter(state__in=(DatasetVersion.State.DRAFT, DatasetVersion.State.BUILDING))
    each: DatasetVersion
    for each in making:
        work = operation_of(each)
        if each.recipe == version.recipe and work is not None and work.is_live:
            return each
    return None


def next_version(
    version: DatasetVersion,
    user: Any,
    recipe: Recipe,
    *,
    note: str = "",
    frozen: FrozenSelection | None = None,
) -> DatasetVersion:
    """The next version of the dataset, a draft: of the same rows, or of those of another selection."""
    with transaction.atomic():
        dataset = Dataset.objects.select_for_update().get(pk=version.dataset_id)  # one number at a time
        number = dataset.versions.aggregate(last=Max("number"))["last"] + 1
        rows = frozen or version.frozen_selection
        source = dict(version.source)
        if version.origin != Origin.SELECTION:  # read again from the one that has every good line of the file
            source = {"from_version": version.pk, **source}
        made: DatasetVersion = DatasetVersion.objects.create(
            dataset=dataset,
            number=number,
            frozen_selection=rows,
            origin=version.origin,
            source=source,
            parent=version,
            note=note[:200],
            recipe=recipe.as_data(),
            counts={"selected": frozen.count if frozen else version.counts.get("selected", 0)},
            created_by=user,
        )
        made.connections.set(frozen.connections.all() if frozen else version.connections.all())
        audit.record(user, "dataset_version.created", made, note=note, parent=version.number)
        return made


def excluded_rows(version: DatasetVersion) -> list[Excluded]:
    """What the version leaves out by hand, with who said so in which version, the newest first."""
    now = dict(_recipe(version).excluded)
    since: dict[str, DatasetVersion] = {}
    waiting, each = set(now), version
    for _ in range(_GENERATIONS):
        waiting &= {key for key, _ in _recipe(each).excluded}
        since |= dict.fromkeys(waiting, each)
        parent = each.parent
        if not waiting or parent is None:
            break
        each = parent
    found = [Excluded(key, now[key], at.created_by, at.created, at.number) for key, at in since.items()]
    return sorted(found, key=lambda row: (-row.number, row.key))


def _with_excluded(
    version: DatasetVersion, user: Any, recipe: Recipe, excluded: Mapping[str, str], note: str
) -> DatasetVersion:
    """The next version; asked twice it is the same one, as the same rows and recipe make the same bytes."""
    recipe = replace(recipe, excluded=tuple(sorted(excluded.items())))
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=version.dataset_id)  # one click at a time
        made = _made_so(version, recipe) or next_version(version, user, recipe, note=note)
        if made.state == DatasetVersion.State.DRAFT:
            begin(made, user)
        return made


def _made_so(version: DatasetVersion, recipe: Recipe) -> DatasetVersion | None:
    """What was made from the version by this recipe already, of the same rows."""
    mine = version.children.filter(dataset=version.dataset_id)
    made = mine.filter(frozen_selection=version.frozen_selection_id)
    usable = made.exclude(state=DatasetVersion.State.FAILED).order_by("-number")
    return next((each for each in usable if each.recipe == recipe.as_data()), None)


def _recipe(version: DatasetVersion) -> Recipe:
    try:
        return Recipe.read(version.recipe)
    except Unreadable as why:
        raise Refused(str(why)) from why


def _count(number: int) -> str:
    return "one row" if number == 1 else f"{number:,} rows"


@operations.handler(RENEW, queue="dataset")
def _wait_for_rows(work: operations.Working) -> operations.Done | operations.Wait:
    """Begin the build once every row of the new selection is found."""
    versions = DatasetVersion.objects.select_related("dataset", "frozen_selection__operation")
    version: DatasetVersion | None = versions.filter(pk=work.operation.subject_id).first()
    if version is None or version.state != DatasetVersion.State.DRAFT:
        return operations.Done({})
    frozen = version.frozen_selection
    if frozen is None:
        raise operations.Failed(
            "no_selection", "The selection that this version was to be built from is gone."
        )
    if not frozen.ready:
        if frozen.operation is None or not frozen.operation.is_live:
            raise operations.Failed("search_ended", "The search for the rows ended before it found them all.")
        return operations.Wait(1.0, "The rows are being found.")
    if not frozen.count:
        raise operations.Failed("nothing", selection.NOTHING_LEFT)
    with transaction.atomic():
        version.counts = {"selected": frozen.count}
        version.save(update_fields=["counts"])
        version.connections.set(frozen.connections.all())
        begin(version, work.operation.requested_by)
        work.advance(done=frozen.count, total=frozen.count)
    return operations.Done({"rows": frozen.count})
