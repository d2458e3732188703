"""Several measurements beside each other, kept under an address: which they are, and who may change that.

A column is a target of a run that is done; the first one is the baseline. A comparison has the rights of all
its runs together. Where a run is deleted its column stays with its name, so that the page still says what
was compared.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from datasets.evaluate.targets import Target, read
from datasets.models import Comparison, Evaluation, Run
from portal import audit

MOST = 8
LONGEST_NAME = 120
DOUBLE = timedelta(minutes=1)


class Refused(Exception):
    """Columns that cannot be compared; the text says why."""


@dataclass(frozen=True)
class Column:
    """A target of a run, or why it cannot be compared any more."""

    key: str  # <run>:<target>, as addresses and forms have it
    label: str
    of: str
    run: Run | None
    target: Target | None
    problem: str = ""

    @property
    def is_there(self) -> bool:
        return not self.problem

    @property
    def name(self) -> str:
        """The target with its run."""
        return f"{self.label} · {self.of}"


def key_of(run: Run, target: Target) -> str:
    return f"{run.pk}:{target.key}"


def choices(run: Run) -> list[Column]:
    """The columns that a run has to offer."""
    return [
        Column(key_of(run, target), target.label, str(run), run, target, _problem(run))
        for target in read(run.targets)
    ]


def columns_of(comparison: Comparison, user: Any) -> list[Column]:
    """The columns in their order; what is gone or goes on says so."""
    saved = comparison.columns
    rows = Run.objects.readable_by(user).select_related("evaluation__version")
    runs: dict[int, Run] = rows.in_bulk({entry["run"] for entry in saved})
    found = []
    for entry in saved:
        run = runs.get(entry["run"])
        target = (
            next((each for each in read(run.targets) if each.key == entry["target"]), None) if run else None
        )
        problem = "Its run was deleted." if run is None or target is None else _problem(run)
        key = f"{entry['run']}:{entry['target']}"
        of = entry.get("of", "") if run is None else str(run)
        label = entry.get("label") or entry["target"] if target is None else target.label
        found.append(Column(key, label, of, run, target, problem))
    return found


def create(chosen: Sequence[str], user: Any, name: str = "") -> Comparison:
    """Keep a comparison of these columns; the first is the baseline. Raises Refused.

    The same of the same person within a minute is one: a double click or a second tab.
    """
    columns = _chosen(chosen, user)
    name, saved = (named(name) or _named(columns))[:LONGEST_NAME], _saved(columns)
    with transaction.atomic():
        get_user_model().objects.select_for_update().get(pk=user.pk)
        recent = Comparison.objects.filter(owner=user, name=name, created__gt=timezone.now() - DOUBLE)
        same: Comparison | None = next((each for each in recent if each.columns == saved), None)
        if same is not None:
            return same
        made: Comparison = Comparison.objects.create(name=name, columns=saved, owner=user)
        _set_connections(made, _runs_of(columns))
        audit.record(user, "comparison.created", made, columns=len(columns))
    return made


def set_columns(comparison: Comparison, chosen: Sequence[str], user: Any) -> None:
    """Compare these in place of what was; the first is the baseline. Raises Refused."""
    columns = _chosen(chosen, user)
    with transaction.atomic():
        comparison = Comparison.objects.select_for_update().get(pk=comparison.pk)
        comparison.columns = _saved(columns)
        comparison.save(update_fields=["columns"])
        _set_connections(comparison, _runs_of(columns))
        audit.record(user, "comparison.changed", comparison, columns=len(columns))


def remove_column(comparison: Comparison, key: str, user: Any) -> None:
    """Leave one column out. Raises Refused where nothing would be left to compare."""
    with transaction.atomic():
        comparison = Comparison.objects.select_for_update().get(pk=comparison.pk)
        kept = [entry for entry in comparison.columns if f"{entry['run']}:{entry['target']}" != key]
        if len(kept) < 2:
            raise Refused("A comparison needs two columns. Add another one first, or delete the comparison.")
        comparison.columns = kept
        comparison.save(update_fields=["columns"])
        runs = {entry["run"] for entry in kept}
        if Run.objects.filter(pk__in=runs).count() == len(runs):  # of a deleted one nobody knows whose it was
            _set_connections(comparison, runs)
        audit.record(user, "comparison.changed", comparison, columns=len(kept))


def set_baseline(comparison: Comparison, key: str, user: Any) -> None:
    """Compare with this column from now on, for everybody."""
    with transaction.atomic():
        comparison = Comparison.objects.select_for_update().get(pk=comparison.pk)
        ordered = sorted(
            comparison.columns, key=lambda entry: f"{entry['run']}:{entry['target']}" != key
        )  # the others stay in their order
        if ordered != comparison.columns:
            comparison.columns = ordered
            comparison.save(update_fields=["columns"])
            audit.record(user, "comparison.changed", comparison, columns=len(ordered))


def rename(comparison: Comparison, name: str, user: Any) -> None:
    with transaction.atomic():
        comparison.name = name[:LONGEST_NAME]
        comparison.save(update_fields=["name"])
        audit.record(user, "comparison.renamed", comparison)


def delete(comparison: Comparison, user: Any) -> None:
    """Remove the comparison; its runs stay."""
    with transaction.atomic():
        audit.record(user, "comparison.deleted", comparison, columns=len(comparison.columns))
        comparison.delete()


def may_change(comparison: Comparison, user: Any) -> bool:
    """Whoever made it, and who may act on all its sources."""
    readable = Comparison.objects.readable_by(user).filter(pk=comparison.pk).exists()
    acts = Comparison.objects.actionable_by(user).filter(pk=comparison.pk).exists()
    return readable and (comparison.owner_id == user.pk or acts)


def named(text: str) -> str:
    """A name as a person typed it, on one line."""
    return " ".join(text.replace("\0", "").split())


def _problem(run: Run) -> str:
    if run.state == Run.State.DONE:
        return ""
    return f"Run {run.number} is not done: it is {run.get_state_display().lower()}."


def _chosen(chosen: Iterable[str], user: Any) -> list[Column]:
    keys = list(dict.fromkeys(chosen))
    numbers = numbers_in(keys)
    runs = Run.objects.readable_by(user).select_related("evaluation__version").in_bulk(numbers)
    there = {column.key: column for run in runs.values() for column in choices(run)}
    columns = [there[key] for key in keys if key in there]
    if len(columns) != len(keys):
        raise Refused("One of these runs is not there any more, or you may not read it.")
    if problem := next((column.problem for column in columns if column.problem), ""):
        raise Refused(f"{problem} Compare it once it has a report.")
    if len(columns) < 2:
        raise Refused("Choose at least two columns to compare.")
    if len(columns) > MOST:
        raise Refused(f"At most {MOST} columns fit beside each other.")
    return columns


def numbers_in(keys: Iterable[str]) -> set[int]:
    """The runs that keys of columns name, as far as they can be read."""
    numbers = (key.partition(":")[0] for key in keys)
    return {int(number) for number in numbers if number.isdecimal() and len(number) < 18}


def _saved(columns: Iterable[Column]) -> list[dict[str, Any]]:
    return [
        {"run": column.run.pk, "target": column.target.key, "label": column.label, "of": column.of}
        for column in columns
        if column.run is not None and column.target is not None
    ]


def _runs_of(columns: Iterable[Column]) -> set[int]:
    return {column.run.pk for column in columns if column.run is not None}


def _set_connections(comparison: Comparison, runs: Collection[int]) -> None:
    evaluations = Evaluation.objects.filter(runs__in=runs, connections__isnull=False)
    asked = Run.objects.filter(pk__in=runs, connections__isnull=False)
    comparison.connections.set(
        {*asked.values_list("connections", flat=True), *evaluations.values_list("connections", flat=True)}
    )


def _named(columns: Sequence[Column]) -> str:
    """The targets in a row, and where they are from if that is one evaluation."""
    evaluations = {column.run.evaluation.name for column in columns if column.run is not None}
    labels = Counter(column.label for column in columns)
    said = " / ".join(labels) if len(labels) > 1 else f"{columns[0].label}, {len(columns)} times"
    return f"{said} on {evaluations.pop()}" if len(evaluations) == 1 else said
