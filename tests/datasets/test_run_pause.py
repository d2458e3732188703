"""A pause lets what is on its way come in; going on asks only for what is missing. A goal turns a run red."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from datasets import asking
from datasets.evaluate import run as runs
from datasets.evaluate.judges import judges_of
from datasets.evaluate.targets import stored
from datasets.models import Call, Evaluation, Result, Run
from portal import connections, operations
from portal.models import AuditEntry, Connection, Operation, User
from portal.progress import progress_of
from portal.sandbox import Sandbox
from tests.completions.changing import own_folder
from tests.datasets import material, measured
from tests.datasets.measured import EQUAL, STUDENT, TEACHER, answered, asked, fresh
from tests.portal.sandbox_client import faults

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True)]
CHAT = "*/chat/completions"


@pytest.fixture
def source(builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection]) -> Connection:
    return connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")


@pytest.fixture(autouse=True)
def _own_files(settings: Any, tmp_path: Path) -> None:
    own_folder(settings, tmp_path / "files")


def judge(source: Connection, model: str = TEACHER) -> dict[str, Any]:
    params = {
        "connection": source.pk,
        "model": model,
        "input": [{"role": "user", "content": "Is this right? {{ sample.output_text }}"}],
        "labels": ["yes", "no"],
        "passing_labels": ["yes"],
    }
    return {"name": "Judge", "kind": "label_model", "params": params}


def begun(made: Evaluation, user: User, *targets: Any, **options: Any) -> Run:
    run = runs.start(made, targets, user, **options)
    material.drain(kinds=["dataset.build"])
    return run


def test_a_run_that_is_done_stays_so_whatever_becomes_of_its_operations(
    builder: User, source: Connection
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 2), reference="meta:answer", graders=[EQUAL])
    run = measured.ran(made, [stored()], builder)
    operation, finished = Operation.objects.filter(kind=runs.KIND).latest("id"), run.finished
    # A worker that died just before it could end the operation; somebody stops it before the next one comes.
    ready = Operation.objects.filter(pk=operation.pk)
    for stop in (False, True):
        ready.update(state=Operation.State.READY, finished=None, cancel_requested=False)
        assert stop is bool(stop and operations.cancel(operation, builder))
        material.drain()
        run.refresh_from_db()
        assert (run.state, run.finished, run.misses) == (Run.State.DONE, finished, [])
    # And one that failed long ago, tried again from its own page, with a connection that is closed by now.
    connections.disconnect(source, builder)
    operations.retry(operation, builder)
    material.drain()
    run.refresh_from_db()
    assert (run.state, run.finished) == (Run.State.DONE, finished)
    assert AuditEntry.objects.filter(verb="run.finished").count() == 1


def test_a_paused_run_keeps_what_is_on_its_way_and_going_on_asks_only_for_the_rest(
    builder: User, source: Connection, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 80))
    run = begun(made, builder, fresh(source))
    commit = asking.Asking._commit

    def pausing(step: Any) -> Any:
        if step.done >= 6:
            runs.pause(run, builder)
            step._looked = 0.0  # it looks every half second otherwise
        return commit(step)

    monkeypatch.setattr(asking.Asking, "_commit", pausing)
    operation = material.step(runs.KIND)
    assert (operation.state, operation.note) == (Operation.State.WAITING, runs.PAUSED)
    run.refresh_from_db()
    assert run.state == Run.State.PAUSED
    kept = Call.objects.filter(run=run, state=Call.State.DONE).count()
    assert 6 <= kept < 80
    assert kept == answered(sandbox).total()
    assert not Call.objects.filter(run=run, state=Call.State.SENT).exists()

    monkeypatch.undo()
    before = asked(sandbox)
    assert material.step(runs.KIND).note == runs.PAUSED
    assert asked(sandbox) == before
    with pytest.raises(runs.Refused, match="still going on"):
        runs.retry_failed(run, builder)
    assert runs.start(made, [fresh(source)], builder) == run
    assert runs.go_on(run, builder)
    assert not runs.go_on(run, builder)
    operation.refresh_from_db()
    assert operation.state == Operation.State.READY
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    assert (asked(sandbox) - before).total() == 80 - kept
    assert run.repeated_calls == 0
    assert not runs.pause(run, builder)
    verbs = list(AuditEntry.objects.filter(target_type="datasets.run").values_list("verb", flat=True))
    assert [verbs.count(f"run.{verb}") for verb in ("paused", "resumed")] == [1, 1]


def test_a_paused_run_can_be_stopped(builder: User, source: Connection, sandbox: Sandbox) -> None:
    run = begun(measured.evaluation(builder, measured.rows(source, 3)), builder, fresh(source))
    assert runs.pause(run, builder)
    operation = material.step(runs.KIND)
    assert operations.cancel(operation, builder)
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED
    assert not asked(sandbox)


def test_a_connection_that_is_disconnected_is_asked_nothing_until_it_is_connected_again(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 3))
    run = begun(made, builder, fresh(source))
    connections.disconnect(source, builder)
    operation = material.step(runs.KIND)
    run.refresh_from_db()
    assert (run.state, operation.error_code) == (Run.State.FAILED, "disconnected")
    assert operation.error_text == "Source is disconnected, so it is asked nothing. Connect it again first."
    with pytest.raises(runs.Refused, match="is disconnected"):
        runs.start(made, [fresh(source)], builder)
    assert not asked(sandbox)
    connections.reconnect(source, builder)
    runs.retry_failed(run, builder)
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    assert asked(sandbox).total() == 3


def test_a_deployment_that_answers_nobody_is_said_to_ask_for_patience(
    builder: User, source: Connection, sandbox: Sandbox, settings: Any
) -> None:
    settings.OPERATION_STEP_SECONDS = 1
    run = begun(measured.evaluation(builder, measured.rows(source, 2)), builder, fresh(source))
    faults(sandbox, {"kind": "status", "status": 429, "path": CHAT, "method": "POST", "times": 1000})
    assert material.step(runs.KIND).note == asking.REFUSED
    faults(sandbox)
    material.drain()
    run.refresh_from_db()
    assert run.operation is not None
    assert (run.state, run.operation.note) == (Run.State.DONE, "")


def test_failed_verdicts_of_a_judge_are_asked_again_and_nothing_else_is(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    chosen = measured.rows(source, 4)
    made = measured.evaluation(builder, chosen, reference="meta:answer", graders=[EQUAL, judge(source)])
    run = begun(made, builder, stored())
    rule = {"kind": "status", "status": 400, "code": "invalid_value", "path": CHAT, "times": 2}
    faults(sandbox, rule | {"method": "POST"})
    material.drain()
    judges = Call.objects.filter(run=run).exclude(grader="")
    assert judges.filter(state=Call.State.FAILED).count() == 2
    assert {call.grader for call in judges} == {each.key for each in judges_of(made.graders.all())}
    assert Result.objects.filter(run=run, grader__name="Judge", passed=None).exclude(error="").count() >= 2

    before = asked(sandbox)
    assert runs.retry_failed(run, builder) == 2
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    assert (asked(sandbox) - before).total() == 2
    assert not judges.filter(state=Call.State.FAILED).exists()
    assert Result.objects.filter(run=run).count() == 8


def test_a_missed_goal_turns_the_run_red_wherever_it_is_seen(builder: User, source: Connection) -> None:
    wrong = measured.row(source, 99, answer="Something else.")
    rows = [*measured.rows(source, 3), wrong]
    made = measured.evaluation(builder, rows, reference="meta:answer", graders=[EQUAL])
    red = begun(made, builder, stored(), goal={"at_least": 0.9})
    green = begun(made, builder, stored(), goal={"at_least": 0.75, "no_worse": True})
    assert red != green
    material.drain()
    for run in (red, green):
        run.refresh_from_db()
    assert green.misses == []
    assert red.misses == ["Stored answers passes “Equal” on 75.0% of 4, asked for are 90%."]
    assert [entry.target_id for entry in AuditEntry.objects.filter(verb="run.red")] == [str(red.pk)]
    operation = red.operation
    assert operation is not None
    assert "Red." in operation.note
    assert (progress_of(operation).tone, progress_of(operation).words) == ("bad", "Done, goal missed")
    with pytest.raises(runs.Refused, match="Nothing failed"):
        runs.retry_failed(red, builder)
    assert Run.objects.get(pk=red.pk).misses == red.misses
    Run.objects.filter(pk=red.pk).update(state=Run.State.FAILED)
    runs.retry_failed(red, builder)
    assert Run.objects.get(pk=red.pk).misses == []


def test_a_student_that_is_clearly_worse_turns_the_run_red(builder: User, source: Connection) -> None:
    made = measured.evaluation(builder, measured.rows(source, 24))
    run = begun(made, builder, fresh(source), fresh(source, STUDENT, "second"), goal={"no_worse": True})
    material.drain()
    run.refresh_from_db()
    (miss,) = run.misses
    assert miss.startswith(f"{STUDENT} is worse than {TEACHER}: ")


def test_rate_and_time_left_are_those_of_the_present_part_of_the_work() -> None:
    now = timezone.now()
    answering = Operation(
        kind=runs.KIND,
        state=Operation.State.RUNNING,
        started=now - timedelta(hours=1),
        progressed=now,
        done=300,
        total=900,
        cursor={"since": {"at": (now - timedelta(seconds=20)).timestamp(), "done": 100}},
    )
    seen = progress_of(answering)
    assert seen.rate == pytest.approx(10)
    assert seen.left == pytest.approx(60)
    answering.cursor = {}
    assert progress_of(answering).rate == pytest.approx(300 / 3600)
