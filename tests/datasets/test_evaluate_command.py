"""`manage.py evaluate`: a run without a browser, whose exit code a CI job can rely on."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError, connection

from datasets.evaluate import run as runs
from datasets.evaluate import setup, sources
from datasets.evaluate.targets import stored
from datasets.models import Evaluation, Run
from portal.models import Connection, User
from tests import factories
from tests.completions.changing import own_folder
from tests.datasets import material, measured
from tests.datasets.measured import CLOSE, EQUAL

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_files(settings: Any, tmp_path: Path) -> None:
    own_folder(settings, tmp_path / "files")


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection()


@pytest.fixture
def made(builder: User, source: Connection) -> Evaluation:
    """Nine stored answers, eight of them right."""
    wrong = measured.row(source, 99, answer="Something else.")
    chosen = [*measured.rows(source, 8), wrong]
    evaluation = measured.evaluation(builder, chosen, reference="meta:answer", graders=[EQUAL, CLOSE])
    evaluation.setup |= {"targets": [stored().as_dict()]}
    evaluation.save()
    return evaluation


def evaluate(*arguments: str) -> str:
    output = StringIO()
    call_command("evaluate", *arguments, "--user", "builder", stdout=output)
    return output.getvalue()


def code_of(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as ended:
        evaluate(*arguments)
    return ended.value.returncode, str(ended.value)


def test_a_run_is_made_without_any_worker_and_told(made: Evaluation) -> None:
    told = evaluate(str(made.pk), "--at-least", "0.8")
    assert "passes every grader on 88.9% of 9 items" in told
    assert Run.objects.get().state == Run.State.DONE


def test_what_passes_too_seldom_ends_red_and_says_how_much_was_asked_for(made: Evaluation) -> None:
    code, said = code_of(str(made.pk), "--at-least", "0.95")
    assert code == 1
    assert said == "Stored answers passes “All graders” on 88.9% of 9, asked for are 95%."


def test_one_grader_can_be_looked_at(made: Evaluation) -> None:
    name = str(EQUAL["name"])
    assert code_of(str(made.pk), "--grader", name, "--at-least", "1")[0] == 1
    found = json.loads(evaluate(str(made.pk), "--grader", name, "--json"))
    assert (found["grader"], found["items"], found["red"]) == (name, 9, [])
    assert found["targets"][0]["passed"] == 8
    code, said = code_of(str(made.pk), "--grader", "Another")
    assert (code, name in said) == (2, True)


def test_who_may_not_act_and_what_is_not_there_is_no_red_but_not_run(made: Evaluation) -> None:
    assert code_of(str(made.pk + 1))[0] == 2
    assert code_of(str(made.pk), "--at-least", "90")[0] == 2
    factories.user("reader", "reader")
    with pytest.raises(CommandError) as ended:
        call_command("evaluate", str(made.pk), "--user", "reader")
    assert ended.value.returncode == 2
    assert not Run.objects.exists()


def test_items_that_are_still_being_taken_from_a_dataset_need_no_worker_either(
    builder: User, source: Connection
) -> None:
    version = material.built(builder, material.many(source, 12))
    made = sources.begin_version(version, sources.WHOLE, "Taken", builder)
    there = {"input": "{{ sample.output_text }}", "check": "answers", "value": ""}
    setup.set_graders(made, [{"name": "Answers", "kind": "check", "params": there}])
    setup.finish(made, "targets", targets=[stored().as_dict()])
    assert "passes “Answers” on 100.0% of 12 items" in evaluate(str(made.pk), "--within", "0.05")


def test_a_database_that_fails_is_no_missed_goal(made: Evaluation) -> None:
    to_be_done = ["datasets_run", "portal_operation"]  # in this order

    def fails_once_they_are(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
        if not to_be_done and "datasets_grader" in sql:
            raise OperationalError("the disk is gone")
        if to_be_done and f'UPDATE "{to_be_done[0]}"' in sql and "done" in params:
            del to_be_done[0]
        return execute(sql, params, *rest)

    def fails(*_: Any) -> Any:
        raise InterfaceError("the connection is closed")

    with connection.execute_wrapper(fails_once_they_are):
        assert code_of(str(made.pk)) == (2, "The database does not answer. the disk is gone")
    assert Run.objects.get().state == Run.State.DONE
    with connection.execute_wrapper(fails):
        assert code_of(str(made.pk))[0] == 2


def test_an_evaluation_without_a_target_is_not_run(made: Evaluation) -> None:
    Evaluation.objects.update(setup={})
    code, said = code_of(str(made.pk))
    assert code == 2
    assert "something to measure" in said


def test_what_is_asked_for_is_kept_with_the_run_and_turns_it_red(made: Evaluation) -> None:
    code_of(str(made.pk), "--at-least", "0.95", "--repetitions", "2")
    run = Run.objects.get()
    assert (run.repetitions, run.goal["at_least"], len(run.misses)) == (2, 0.95, 1)
    assert code_of(str(made.pk), "--repetitions", "11") == (2, "--repetitions takes 1 to 10.")


def test_without_an_own_goal_the_usual_one_counts(made: Evaluation) -> None:
    made.setup |= {"run": {"repetitions": 1, "goal": {"at_least": 0.95}}}
    made.save()
    assert code_of(str(made.pk))[0] == 1
    assert code_of(str(made.pk), "--at-least", "0.99")[0] == 1
    assert "88.9%" in evaluate(str(made.pk), "--at-least", "0.5")


def test_it_waits_neither_for_a_paused_run_nor_longer_than_it_is_told(
    made: Evaluation, builder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs.start(made, [stored()], builder)
    runs.pause(run, builder)
    assert code_of(str(made.pk)) == (2, "Summaries run 1 is paused. Go on with it on its page.")
    assert runs.go_on(run, builder)
    monkeypatch.setattr("portal.steps.work_on", lambda pk: False)  # another worker has it, and is stuck
    assert code_of(str(made.pk), "--within", "0.001") == (
        2,
        "Summaries run 1 was not done within 0.001 minutes.",
    )
    assert code_of(str(made.pk), "--within", "0")[0] == 2
    assert Run.objects.count() == 1
