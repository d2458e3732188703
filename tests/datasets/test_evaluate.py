"""Runs against the sandbox: every call once, every answer kept, whatever happens on the way."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from datasets import asking
from datasets.evaluate import run as runs
from datasets.evaluate import tally
from datasets.evaluate.targets import SELF_MEASURE, Target, stored
from datasets.models import Call, Result, Run
from portal import operations
from portal.models import AuditEntry, Connection, Operation, User
from portal.sandbox import Sandbox
from tests.datasets import material, measured
from tests.datasets.measured import CLOSE, EQUAL, STUDENT, TEACHER, asked, fresh, ran
from tests.portal.sandbox_client import faults
from tests.workers import database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]
CHAT = "*/chat/completions"


@pytest.fixture
def source(builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection]) -> Connection:
    return connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")


def cells(run: Run, grader: int = 0) -> list[tuple[int, int, int]]:
    found = run.summary["graders"][grader]["cells"]
    return [(cell["passed"], cell["failed"], cell["ungraded"]) for cell in found]


@pytest.mark.engines
def test_stored_answers_are_measured_without_a_call(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    chosen = measured.rows(source, 8)
    wrong = measured.row(source, 99, answer="Something else.")
    made = measured.evaluation(builder, [*chosen, wrong], reference="meta:answer", graders=[EQUAL, CLOSE])
    run = ran(made, [stored()], builder)
    assert run.state == Run.State.DONE
    assert cells(run) == [(8, 1, 0)]
    assert Result.objects.filter(run=run).count() == 18
    assert not asked(sandbox)
    assert run.summary["items"] == 9


@pytest.mark.engines
def test_teacher_and_student_are_asked_once_for_every_item(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 30))
    run = ran(made, [fresh(source, TEACHER), fresh(source, STUDENT, "second")], builder)
    assert run.state == Run.State.DONE
    assert set(Call.objects.filter(run=run).values_list("state", flat=True)) == {Call.State.DONE}
    assert len(asked(sandbox)) == 60
    assert set(asked(sandbox).values()) == {1}
    teacher, student = cells(run)
    assert teacher[0] >= 27
    assert student[0] <= 15
    (pair,) = run.summary["graders"][0]["pairs"]
    assert pair["only_first"] - pair["only_second"] == teacher[0] - student[0]
    assert pair["both_judged"] == 30
    told = run.summary["targets"][0]
    assert told["answered"] == 30
    assert told["tokens"]["completion_tokens"] > 0
    assert told["latency"]["p50"] is not None


def test_nothing_that_is_asked_is_stored_upstream(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    ran(measured.evaluation(builder, measured.rows(source, 5)), [fresh(source)], builder)
    assert measured.stored_upstream(sandbox) == 0


def test_the_stored_answer_is_not_measured_against_itself(builder: User, source: Connection) -> None:
    made = measured.evaluation(builder, measured.rows(source, 3), reference="answer")
    with pytest.raises(runs.Refused, match="against themselves"):
        runs.start(made, [stored(), fresh(source)], builder)
    assert "metadata key" in SELF_MEASURE
    assert not Run.objects.exists()


@pytest.mark.engines
def test_rows_without_the_reference_are_left_out_and_counted(builder: User, source: Connection) -> None:
    bare = measured.row(source, 50, metadata={"env": "prod"})
    made = measured.evaluation(builder, [*measured.rows(source, 4), bare], reference="meta:expected")
    run = ran(made, [stored()], builder)
    assert run.summary["items"] == 4
    assert run.summary["left_out"] == 1
    assert run.evaluation.version.counts["left_out"] == {"It has no metadata “expected”": 1}


def test_sampling_parameters_and_messages_reach_the_model(builder: User, source: Connection) -> None:
    made = measured.evaluation(builder, measured.rows(source, 2))
    run = ran(made, [fresh(source, temperature=0.0, seed=7, max_completion_tokens=64)], builder)
    assert [call.state for call in run.calls.all()] == [Call.State.DONE] * 2
    assert run.targets[0]["params"] == {"temperature": 0.0, "seed": 7, "max_completion_tokens": 64}


@pytest.mark.engines
def test_a_refused_item_is_an_error_of_that_item_and_ungraded(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 6))
    rule = {
        "kind": "status",
        "status": 400,
        "code": "invalid_value",
        "path": CHAT,
        "method": "POST",
        "times": 2,
    }
    faults(sandbox, rule)
    run = ran(made, [fresh(source)], builder)
    assert run.state == Run.State.DONE
    failed = Call.objects.filter(run=run, state=Call.State.FAILED)
    assert failed.count() == 2
    assert {call.error["kind"] for call in failed} == {"bad_request"}
    passed, wrong, ungraded = cells(run)[0]
    assert (passed + wrong, ungraded) == (4, 2)
    assert run.summary["targets"][0]["errors"][0]["n"] == 2

    before = asked(sandbox)
    assert runs.retry_failed(run, builder) == 2
    material.drain()
    run.refresh_from_db()
    assert (asked(sandbox) - before).total() == 2
    assert cells(run)[0][2] == 0
    assert Result.objects.filter(run=run).count() == 6


def test_being_throttled_delays_a_run_and_fails_nothing(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 20))
    faults(
        sandbox,
        {
            "kind": "throttle",
            "path": CHAT,
            "method": "POST",
            "times": 12,
            "retry_after": 0.05,
            "seconds": 0.05,
        },
    )
    run = ran(made, [fresh(source)], builder)
    assert run.state == Run.State.DONE
    assert run.summary["targets"][0]["answered"] == 20
    assert run.repeated_calls == 0


@pytest.mark.engines
def test_calls_that_are_made_again_after_an_error_are_counted(
    builder: User, source: Connection, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.evaluate.pace.LONGEST_PAUSE", 0.02)
    faults(sandbox, {"kind": "status", "status": 500, "path": CHAT, "method": "POST", "after": 3, "times": 2})
    run = ran(measured.evaluation(builder, measured.rows(source, 12)), [fresh(source)], builder)
    assert tally.report_of(run).asked_again == sum(asked(sandbox).values()) - 12 == 2


@pytest.mark.engines
def test_a_service_that_is_down_makes_the_run_wait_and_no_item_fail(
    builder: User, source: Connection, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.evaluate.pace.LONGEST_PAUSE", 0.02)
    made = measured.evaluation(builder, measured.rows(source, 12))
    run = runs.start(made, [fresh(source)], builder)
    material.drain(kinds=["dataset.build"])
    faults(sandbox, {"kind": "status", "status": 503, "path": CHAT, "method": "POST"})
    operation = material.step(runs.KIND)
    assert operation.state == Operation.State.WAITING
    assert operation.error_code == "server"
    assert not Call.objects.filter(run=run, state=Call.State.FAILED).exists()
    assert not Call.objects.filter(run=run, state=Call.State.SENT).exists()
    faults(sandbox)
    material.drain()
    run.refresh_from_db()
    assert run.summary["targets"][0]["answered"] == 12


@pytest.mark.engines
def test_a_deployment_that_does_not_exist_stops_the_run_in_words_and_it_goes_on_later(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 10))
    run = ran(made, [fresh(source), fresh(source, "gpt-nowhere", "second")], builder)
    assert run.state == Run.State.FAILED
    operation = run.operation
    assert operation is not None
    assert operation.error_code == "not_found"
    assert "“gpt-nowhere” on Source gives no answers" in operation.error_text
    assert not Call.objects.filter(run=run, state=Call.State.SENT).exists()
    kept = Call.objects.filter(run=run, state=Call.State.DONE).count()

    run.targets[1]["model"] = STUDENT
    run.save()
    before = asked(sandbox)
    runs.retry_failed(run, builder)
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    assert (asked(sandbox) - before).total() == 20 - kept


@pytest.mark.engines
def test_a_cancelled_run_keeps_its_answers_and_goes_on_with_the_rest(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 20))
    run = runs.start(made, [fresh(source)], builder)
    material.drain(kinds=["dataset.build"])
    faults(sandbox, {"kind": "throttle", "path": CHAT, "method": "POST", "after": 6, "retry_after": 600})
    operation = material.step(runs.KIND)
    assert operation.state == Operation.State.WAITING
    assert Call.objects.filter(run=run, state=Call.State.DONE).count() == 6
    assert not Call.objects.filter(run=run, state=Call.State.SENT).exists()
    operations.cancel(operation, builder)
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED
    faults(sandbox)
    operations.retry(operation, builder)
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    assert set(measured.answered(sandbox).values()) == {1}
    assert measured.answered(sandbox).total() == 20
    assert run.repeated_calls == 0


@pytest.mark.engines
def test_a_right_withdrawn_in_the_middle_ends_the_run_with_an_audit_entry(
    builder: User, source: Connection, sandbox: Sandbox
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 4))
    run = runs.start(made, [fresh(source)], builder)
    material.drain(kinds=["dataset.build"])
    builder.grants.all().delete()
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.FAILED
    assert AuditEntry.objects.filter(verb="run.refused", actor=builder).exists()
    assert not asked(sandbox)


def test_a_conversation_that_cannot_be_sent_again_is_ungraded_for_fresh_answers_only(
    builder: User, source: Connection
) -> None:
    odd = measured.row(source, 7, messages=[{"role": "oracle", "content": "?"}])
    made = measured.evaluation(builder, [*measured.rows(source, 3), odd], reference="meta:answer")
    run = ran(made, [stored(), fresh(source)], builder)
    assert cells(run)[0] == (4, 0, 0)
    assert cells(run)[1][2] == 1
    assert Call.objects.get(run=run, state=Call.State.FAILED).error["kind"] == "unsendable"


def test_text_that_a_database_refuses_is_kept_readable(builder: User, source: Connection) -> None:
    hostile = "a\x00b <script>alert(1)</script> {{ item.reference }}"
    odd = measured.row(source, 7, answer="x" + "y" * 40, metadata={"answer": hostile.replace("\x00", " ")})
    run = ran(
        measured.evaluation(builder, [odd], reference="meta:answer", graders=[EQUAL]), [stored()], builder
    )
    assert cells(run) == [(0, 1, 0)]
    assert "<script>" in Result.objects.get(run=run).reason


@pytest.mark.engines
def test_scores_as_great_as_numbers_get_leave_a_report(builder: User, source: Connection) -> None:
    there = {
        "kind": "check",
        "params": {"input": "{{ sample.output_text }}", "check": "answers", "value": ""},
    }
    params = {"graders": {"a": there}, "calculate_output": "exp(709) * (2 * a - 1)", "pass_threshold": 0}
    graders = [{"name": "Great", "kind": "multi", "params": params}]
    chosen = [*measured.rows(source, 4), measured.row(source, 5, answer="I'm sorry, but I can't help.")]
    run = ran(
        measured.evaluation(builder, chosen, reference="meta:answer", graders=graders), [stored()], builder
    )
    assert run.state == Run.State.DONE
    (cell,) = tally.report_of(run).graders[0].cells
    assert (cell.passed, cell.failed) == (4, 1)
    assert cell.mean == pytest.approx(0.6e100)


@pytest.mark.engines
def test_running_again_measures_the_same_items(builder: User, source: Connection) -> None:
    made = measured.evaluation(builder, measured.rows(source, 5), reference="meta:answer")
    first = ran(made, [stored()], builder)
    measured.row(source, 60)
    second = ran(made, [stored()], builder)
    assert (first.number, second.number) == (1, 2)
    assert cells(first) == cells(second)
    assert Operation.objects.filter(kind="dataset.build").count() == 1


@pytest.mark.engines
def test_a_double_click_starts_one_run(builder: User, source: Connection) -> None:
    made = measured.evaluation(builder, measured.rows(source, 2))
    first = runs.start(made, [fresh(source)], builder)
    assert runs.start(made, [fresh(source)], builder) == first
    assert runs.start(made, [fresh(source, STUDENT)], builder) != first
    material.drain()
    assert runs.start(made, [fresh(source)], builder).number == 3


KILLED = """
import sys
import django
django.setup()
from django.test.utils import override_settings
from django.conf import settings
from datasets.evaluate import grading
from portal import steps
grading.BATCH = 5
artifacts = settings.STORAGES["artifacts"]
artifacts = artifacts | {"OPTIONS": artifacts["OPTIONS"] | {"location": sys.argv[2]}}
with override_settings(STORAGES=settings.STORAGES | {"artifacts": artifacts}):
    while steps.work_on(int(sys.argv[1])):
        pass
"""


@pytest.mark.engines
@pytest.mark.parametrize(
    ("point", "most_repeated"),
    [
        ("run.calls", 0),
        ("run.calls.claimed", 48),
        ("run.calls.answered:3", 48),
        ("run.calls.committed:2", 48),
        ("run.graded:2", 0),
    ],
)
def test_a_run_killed_anywhere_makes_every_call_and_repeats_only_what_was_on_its_way(
    point: str, most_repeated: int, builder: User, source: Connection, sandbox: Sandbox, settings: Any
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 25))
    run = runs.start(made, [fresh(source)], builder)
    material.drain(kinds=["dataset.build"])
    folder = settings.STORAGES["artifacts"]["OPTIONS"]["location"]
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(run.operation_id), folder],
        env=os.environ | {"DATABASE_URL": database_url(), "PORTAL_CRASH": point},
        check=False,
        timeout=60,
    )
    assert died.returncode == 137
    on_their_way = Call.objects.filter(run=run, state=Call.State.SENT).count()
    assert on_their_way <= most_repeated
    Operation.objects.filter(kind=runs.KIND).update(lease_until="2020-01-01T00:00:00Z")
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    assert run.repeated_calls == on_their_way
    assert run.summary["targets"][0]["answered"] == 25
    assert Result.objects.filter(run=run).count() == 25
    assert len(asked(sandbox)) == 25
    assert measured.asked_again(sandbox) <= on_their_way


def test_a_reader_cannot_be_given_more_calls_than_its_rows(builder: User, source: Connection) -> None:
    made = measured.evaluation(builder, measured.rows(source, 2))
    run = ran(made, [fresh(source)], builder)
    with pytest.raises(Exception, match=r"(?i)unique"):
        Call.objects.create(run=run, example=run.calls.all()[0].example, target="first")


def test_an_answer_without_text_is_judged_as_empty(builder: User, source: Connection) -> None:
    tool = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None}}
    odd = measured.row(source, 3, item={"choices": [tool]})
    run = ran(measured.evaluation(builder, [odd], reference="meta:answer"), [stored()], builder)
    assert cells(run) == [(0, 1, 0)]


def test_a_target_says_what_it_is() -> None:
    target = Target("first", "fresh", "student", 3, "student", {"seed": 1})
    assert target.as_dict()["params"] == {"seed": 1}
    assert asking.MAX_TRIES > 1
