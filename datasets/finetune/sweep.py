"""Several jobs from one form on one upload, launched together and compared afterwards."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import transaction

from datasets.finetune import launch, method
from datasets.models import DatasetVersion, FineTune, Sweep
from portal import audit
from portal.models import Connection

MOST_JOBS = 10
State = FineTune.State


class NotPossible(ValueError):
    """The sweep cannot be launched as it is; the text says why, and nothing was launched."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One job of a sweep: what may differ between them."""

    base_model: str
    method: str = FineTune.Method.SUPERVISED
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    suffix: str = ""
    training_type: str = ""
    grader: Mapping[str, Any] = field(default_factory=dict)

    def as_text(self) -> str:
        """The same text for two variants exactly if they ask for the same."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, tune: FineTune) -> "Variant":
        """What this job asks for."""
        return cls(
            tune.base_model,
            tune.method,
            _read(tune.method, tune.hyperparameters),
            tune.seed,
            tune.suffix,
            tune.training_type,
            tune.grader,
        )


def begin(
    version: DatasetVersion, connection: Connection, variants: Sequence[Variant], user: Any, name: str
) -> Sweep:
    """Launch one job for each variant, all or none of them; the same form sent again returns its first sweep.

    Raises NotPossible, or spending.OverBudget where they cost more together than is left.
    """
    wanted = [_checked(variant) for variant in variants]
    texts = [variant.as_text() for variant in wanted]
    if not 2 <= len(wanted) <= MOST_JOBS:
        raise NotPossible(f"A sweep has from 2 up to {MOST_JOBS} jobs.")
    if len(set(texts)) < len(texts):
        raise NotPossible("Two jobs of the sweep are the same. Change one of them, or its seed.")
    name = name.strip()[:120] or f"{len(wanted)} jobs on {version}"
    with transaction.atomic():
        DatasetVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)  # one click at a time
        existing = _same(version, connection, user, name, texts)
        if existing is not None:
            return existing
        sweep: Sweep = Sweep.objects.create(
            name=name, connection=connection, version=version, created_by=user
        )
        audit.record(user, "sweep.launched", sweep, connection=connection, jobs=len(wanted))
        for variant in wanted:
            tune = FineTune.objects.create(
                connection=connection,
                version=version,
                sweep=sweep,
                base_model=variant.base_model,
                method=variant.method,
                hyperparameters=dict(variant.hyperparameters),
                grader=dict(variant.grader),
                seed=variant.seed,
                suffix=variant.suffix,
                training_type=variant.training_type,
                created_by=user,
            )
            try:
                launch.begin(tune, user)
            except launch.NotReady as problem:
                raise NotPossible(f"{variant.base_model}: {problem}") from problem
        return sweep


def _checked(variant: Variant) -> Variant:
    try:
        numbers = method.read(variant.method, variant.hyperparameters)
    except ValueError as problem:
        raise NotPossible(f"{variant.base_model}: {problem}") from problem
    return Variant(
        variant.base_model,
        str(variant.method),
        numbers,
        variant.seed,
        variant.suffix,
        variant.training_type,
        variant.grader,
    )


def _read(kind: str, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return method.read(kind, hyperparameters)
    except ValueError:
        return dict(hyperparameters)


def _same(
    version: DatasetVersion, connection: Connection, user: Any, name: str, texts: Sequence[str]
) -> Sweep | None:
    sweeps = Sweep.objects.filter(version=version, connection=connection, created_by=user, name=name)
    for sweep in sweeps.prefetch_related("fine_tunes"):
        if sorted(Variant.of(tune).as_text() for tune in sweep.fine_tunes.all()) == sorted(texts):
            found: Sweep = sweep
            return found
    return None


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the jobs of a sweep are: how many in each state, and which were refused with what words."""

    jobs: int
    states: Mapping[str, int]
    refused: Sequence[tuple[FineTune, str]]

    def in_words(self) -> str:
        """For a heading: "4 jobs: 2 running, 1 succeeded, 1 failed"."""
        parts = [f"{count} {State(state).label.lower()}" for state, count in self.states.items()]
        return f"{self.jobs} jobs: {', '.join(parts)}"


def standing(sweep: Sweep) -> Standing:
    """Where the jobs of a sweep stand; refused are those that never came to be upstream."""
    tunes = list(sweep.fine_tunes.select_related("connection").order_by("id"))
    refused = [
        (tune, str(tune.error.get("message") or "It was refused without a reason."))
        for tune in tunes
        if tune.state == State.FAILED and not tune.remote_id
    ]
    return Standing(len(tunes), dict(Counter(tune.state for tune in tunes)), refused)
