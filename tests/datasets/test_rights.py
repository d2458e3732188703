"""Posts of these pages: who may only read changes nothing, who is outside finds nothing."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from datasets import distill
from datasets.evaluate import schedules, setup
from datasets.evaluate.targets import stored
from datasets.models import (
    Comparison,
    Deployment,
    Evaluation,
    FineTune,
    LibraryGrader,
    LibraryGraderVersion,
    Relabel,
    RelabelCall,
    Run,
    Schedule,
    Sweep,
)
from portal.models import User
from tests import factories
from tests.datasets import compared, material, measured
from tests.datasets.measured import CLOSE
from tests.datasets.test_run_pause import judge
from tests.datasets.test_schedules import NOON

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[User], Client]


@pytest.fixture
def addresses(builder: User) -> dict[str, str]:
    """Where every page of these lies, by name, with something real behind it."""
    where = factories.connection("Library")
    rows = measured.rows(where, 12)
    version = material.built(builder, rows)
    version, tune = distill.choose_model(version, builder, where, "gpt-4.1-mini-2025-04-14")
    FineTune.objects.filter(pk=tune.pk).update(state=FineTune.State.RUNNING, remote_id="ftjob-1")
    sweep = Sweep.objects.create(name="Variants", connection=where, version=version)
    deployment = Deployment.objects.create(connection=where, name="student", model="m", state="asking")
    evaluation = measured.evaluation(builder, rows, reference="meta:answer")
    begun = measured.evaluation(builder, rows)
    run = measured.ran(evaluation, [stored()], builder)
    frozen = material.frozen(builder, rows)
    relabel = Relabel.objects.create(name="Again", frozen_selection=frozen, connection=where, model="teacher")
    relabel.connections.set([where])
    call = RelabelCall.objects.create(relabel=relabel, completion=rows[0], position=0)
    grader = evaluation.graders.get()
    kept = LibraryGrader.objects.create(connection=where, name="Kept", created_by=builder)
    LibraryGraderVersion.objects.create(
        grader=kept, number=1, kind=grader.kind, params=grader.params, created_by=builder
    )
    comparison = Comparison.objects.create(name="Both", owner=builder, columns=[])
    comparison.connections.set([where])
    of: dict[str, list[object]] = {
        "dataset": [version.dataset_id],
        "version": [version.dataset_id, version.number],
        "download": [version.dataset_id, version.number],
        "version_delete": [version.dataset_id, version.number],
        "changes": [version.dataset_id, version.number],
        "version_exclude": [version.dataset_id, version.number],
        "version_take_back": [version.dataset_id, version.number],
        "version_renew": [version.dataset_id, version.number],
        "download_other": [version.dataset_id, version.number, "card"],
        "upload_from": [where.slug],
        "relabel_start": [material.frozen(builder, rows).pk],
        "relabel_judge": [relabel.pk, call.pk],
        "relabel": [relabel.pk],
        "relabel_begin": [relabel.pk],
        "relabel_pause": [relabel.pk],
        "relabel_go_on": [relabel.pk],
        "relabel_cancel": [relabel.pk],
        "relabel_retry": [relabel.pk],
        "relabel_delete": [relabel.pk],
        "relabel_accept_all": [relabel.pk],
        "relabel_undo_all": [relabel.pk],
        "distill_start": [material.frozen(builder, rows).pk],
        "distill": [version.pk, "launch"],
        "personal": [version.pk],
        "contamination": [version.dataset_id, version.number],
        "distill_mend": [version.pk],
        "finetune": [tune.pk],
        "finetune_cancel": [tune.pk],
        "finetune_decide": [tune.pk],
        "finetune_again": [tune.pk],
        "finetune_refresh": [tune.pk],
        "finetune_pause": [tune.pk],
        "finetune_resume": [tune.pk],
        "finetune_adopt": [tune.pk],
        "finetune_remove_file": [tune.pk],
        "finetune_results": [tune.pk, 1],
        "checkpoint_use": [tune.pk, 1],
        "checkpoint_evaluate": [tune.pk, 1],
        "sweep": [sweep.pk],
        "sweep_evaluate": [sweep.pk],
        "lineage": ["job", tune.pk],
        "deploy": [tune.pk],
        "deployment": [deployment.pk],
        "deployment_decide": [deployment.pk],
        "deployment_delete": [deployment.pk],
        "deployment_look": [deployment.pk],
        "deployment_evaluate": [deployment.pk],
        "try": [deployment.pk],
        "try_sides": [deployment.pk],
        "try_answer": [deployment.pk],
        "evaluate_start": [material.frozen(builder, rows).pk],
        "evaluate": [begun.pk, "data"],
        "evaluate_version": [version.pk],
        "evaluation": [evaluation.pk],
        "evaluation_copy": [evaluation.pk],
        "evaluation_delete": [evaluation.pk],
        "run_new": [evaluation.pk],
        "run": [evaluation.pk, run.number],
        "run_again": [evaluation.pk, run.number],
        "run_retry": [evaluation.pk, run.number],
        "run_cancel": [evaluation.pk, run.number],
        "run_row": [evaluation.pk, run.number, 1],
        "schedule": [evaluation.pk],
        "schedule_switch": [evaluation.pk],
        "schedule_delete": [evaluation.pk],
        "run_slices": [evaluation.pk, run.number],
        "run_page": [evaluation.pk, run.number],
        "run_pause": [evaluation.pk, run.number],
        "run_export": [evaluation.pk, run.number, "csv"],
        "library": [where.slug],
        "library_import": [where.slug],
        "library_export": [where.slug],
        "library_choose": [where.slug],
        "library_new": [where.slug, "string_check"],
        "library_grader": [kept.pk],
        "library_change": [kept.pk],
        "library_change_json": [kept.pk],
        "library_copy": [kept.pk],
        "library_archive": [kept.pk],
        "library_delete": [kept.pk],
        "library_export_one": [kept.pk],
        "library_take": [evaluation.pk],
        "evaluation_graders_export": [evaluation.pk],
        "library_renew": [evaluation.pk, grader.pk],
        "library_keep": [evaluation.pk, grader.pk],
        "comparison": [comparison.pk],
        "comparison_item": [comparison.pk, 1],
        "comparison_export": [comparison.pk, "csv"],
        "comparison_page": [comparison.pk],
        "comparison_columns": [comparison.pk],
        "comparison_remove": [comparison.pk],
        "comparison_baseline": [comparison.pk],
        "comparison_rename": [comparison.pk],
        "comparison_delete": [comparison.pk],
        "calibrate": [evaluation.pk, run.number],
        "calibrate_take": [evaluation.pk, run.number],
    }
    return {name: reverse(f"datasets:{name}", args=of.get(name, [])) for name in names()}


def names() -> Iterator[str]:
    """Every address of the app."""
    (resolver,) = (
        each
        for each in get_resolver().url_patterns
        if isinstance(each, URLResolver) and each.namespace == "datasets"
    )
    yield from _names(resolver.url_patterns)


def _names(patterns: Any) -> Iterator[str]:
    for each in patterns:
        if isinstance(each, URLPattern):
            yield str(each.name)
        else:
            yield from _names(each.url_patterns)


def test_whoever_may_only_read_can_post_nothing(
    addresses: dict[str, str], client_of: SignIn, reader: User, reviewer: User, outsider: User
) -> None:
    own = {"distill_start", "evaluate_start", "relabel_start"}  # a selection is its owner's alone
    # Forms whose choices are what a person may act on: without one nothing comes of them.
    forms = {"library_copy", "library_keep", "comparison_new"}
    before = LibraryGraderVersion.objects.count(), Comparison.objects.count()
    for person in (reader, reviewer):
        client = client_of(person)
        for name, address in addresses.items():
            if person == reviewer and name == "relabel_judge":
                continue  # judging an answer is reviewing
            status = client.post(address).status_code
            refused = (404, 403) if name in own else (403, 405)
            assert status in ((200, 422) if name in forms else refused), (person, name, status)
    client = client_of(outsider)
    for name, address in addresses.items():
        status = client.post(address).status_code
        assert status in ((404, 405, 422) if name == "comparison_new" else (404, 405)), (name, status)
    assert (LibraryGraderVersion.objects.count(), Comparison.objects.count()) == before


def test_a_button_to_look_upstream_is_shown_to_whoever_may_press_it(
    addresses: dict[str, str], client_of: SignIn, reader: User, builder: User
) -> None:
    button = f'action="{addresses["finetune_refresh"]}"'
    assert button in client_of(builder).get(addresses["finetune"]).content.decode()
    assert button not in client_of(reader).get(addresses["finetune"]).content.decode()


def test_what_a_post_names_must_be_within_reach_too(
    builder: User, outsider: User, client_of: SignIn, own_artifacts: None
) -> None:
    library, hidden = factories.connection("Library"), factories.connection("Hidden")
    factories.grant(outsider, "builder", library)
    rows = measured.rows(library, 2)
    evaluation = measured.evaluation(builder, rows, reference="meta:answer", graders=[CLOSE])
    other = measured.evaluation(builder, rows, reference="meta:answer", graders=[CLOSE])
    first, second = (measured.ran(made, [stored()], builder) for made in (evaluation, other))
    elsewhere = measured.fresh(hidden, "secret-student")
    schedules.save(evaluation, builder, NOON, targets=[elsewhere], repetitions=1, goal={})
    Evaluation.objects.filter(pk=evaluation.pk).update(setup={"targets": [elsewhere.as_dict()]})
    asking = compared.said(evaluation, [stored(), elsewhere], {})
    judged = measured.evaluation(builder, rows, reference="meta:answer", graders=[judge(hidden)])
    compared.said(judged, [stored()], {})
    client = client_of(outsider)
    new, run = f"/evaluations/{evaluation.pk}/run/", f"/evaluations/{evaluation.pk}/runs/{first.number}/"
    timed = {"every": "day", "at": "06:00", "zone": "UTC", "weekday": 0, "day": 1}
    foreign = {"grader": other.graders.get().pk, "threshold": "0.1"}
    before = Run.objects.count(), Schedule.objects.values_list("owner", flat=True).get()
    for address, values, status in (
        (new, {"first_connection": hidden.pk, "first_model": "m", "told": f"{hidden.pk}:m"}, 422),
        (new, {"stored": "on", "where": hidden.pk}, 404),
        (new, {"stored": "on", "ask": hidden.pk}, 404),
        (f"/evaluations/{evaluation.pk}/schedule/", timed, 404),
        (f"/evaluations/{evaluation.pk}/schedule/", timed | {"targets": "latest"}, 404),
        (f"/evaluations/{evaluation.pk}/schedule/switch/", {"on": "1"}, 404),
        (f"/evaluations/{evaluation.pk}/runs/{asking.number}/again/", {}, 404),
        (f"/evaluations/{evaluation.pk}/runs/{asking.number}/pause/", {}, 404),
        (f"/evaluations/{judged.pk}/run/", {"stored": "on"}, 422),
        (f"{run}calibrate/threshold/", foreign, 404),
        ("/comparisons/new/", {"run": [asking.pk]}, 422),
        ("/comparisons/new/", {"column": [f"{asking.pk}:stored", f"{second.pk}:stored"]}, 422),
    ):
        answer = client.post(address, values)
        assert answer.status_code == status, (address, values, answer.status_code)
    assert (Run.objects.count(), Schedule.objects.values_list("owner", flat=True).get()) == before
    draft = measured.evaluation(builder, rows, reference="meta:answer", graders=[CLOSE])
    every = {"targets": [elsewhere.as_dict()], "steps": [step for step, _ in setup.STEPS]}
    Evaluation.objects.filter(pk=draft.pk).update(setup=every)
    steps = [reverse("datasets:evaluate", args=[draft.pk, step]) for step in ("targets", "review")]
    for address in (new, f"/evaluations/{evaluation.pk}/schedule/", f"/evaluations/{evaluation.pk}/", *steps):
        page = client.get(address)
        assert (page.status_code, "secret-student" in page.text) == (200, False), address
    assert other.graders.get().params == CLOSE["params"]
