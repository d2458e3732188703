"""Python graders in a run and beside others, and what is said where they are off."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import Client
from django.urls import reverse

from datasets.evaluate import box_trust, python_graders, setup
from datasets.evaluate import run as runs
from datasets.evaluate.box import Limits
from datasets.evaluate.graders import ANSWER, validate
from datasets.evaluate.python_graders import IN_A_ROW, TURNED_OFF, Boxes, off_because
from datasets.evaluate.targets import stored
from datasets.models import Call, LibraryGraderVersion, Result, Run
from portal.models import Connection, User
from portal.sandbox import Sandbox
from tests import factories
from tests.datasets import boxes, material, measured
from tests.datasets.boxes import source as lines
from tests.datasets.measured import EQUAL, ran
from tests.pages import text_of

SAME = "sample['output_text'] == item['reference']"
LENGTH = "len(sample['output_text']) / 100"


def params(source: str, threshold: float = 0.5) -> dict[str, Any]:
    made = {"source": source, "pass_threshold": threshold}
    assert validate("python", made) == {}
    return made


@pytest.fixture
def turned_on(settings: Any) -> None:
    boxes.needed()
    settings.PYTHON_GRADERS = True


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("own_artifacts", "turned_on")
def test_a_run_has_the_scores_that_the_source_gives(
    builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection]
) -> None:
    source = connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")
    rows = [measured.row(source, number, answer="x" * number * 20) for number in range(1, 6)]
    graders = [
        {"name": "Same", "kind": "python", "params": params(lines(SAME))},
        {"name": "Length", "kind": "python", "params": params(lines(LENGTH), 0.6)},
        {"name": "Broken", "kind": "python", "params": params(lines("item['nothing']"))},
        {
            "name": "Both",
            "kind": "multi",
            "params": {
                "graders": {
                    "long": {"kind": "python", "params": params(lines(LENGTH))},
                    "short": {
                        "kind": "check",
                        "params": {"input": ANSWER, "check": "max_words", "value": "1"},
                    },
                },
                "calculate_output": "long * short / 2",
                "pass_threshold": 0.3,
            },
        },
        EQUAL,
    ]
    made = measured.evaluation(builder, rows, reference="meta:answer", graders=graders)
    run = ran(made, [stored()], builder)
    assert run.state == Run.State.DONE
    found = Result.objects.filter(run=run).order_by("-example__line")  # the newest first
    by_name = {name: list(found.filter(grader__name=name)) for name in ("Length", "Both", "Broken")}
    assert [result.score for result in by_name["Length"]] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert [result.passed for result in by_name["Length"]] == [False, False, True, True, True]
    assert [result.score for result in by_name["Both"]] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert {result.error for result in by_name["Broken"]} == {"KeyError in line 2: 'nothing'"}
    same, equal = (
        list(found.filter(grader__name=name).values_list("example", "passed")) for name in ("Same", "Equal")
    )
    assert same == equal  # the source that compares agrees with the grader that does


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("own_artifacts", "turned_on")
def test_one_score_is_made_of_what_a_model_says_and_what_a_source_gives(
    builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection]
) -> None:
    source = connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")
    judge = {
        "connection": source.pk,
        "model": measured.TEACHER,
        "input": [{"role": "user", "content": "Is this good? {{ sample.output_text }}"}],
        "range": [1, 5],
        "pass_threshold": 3,
        "sampling_params": {},
    }
    grader = {
        "name": "Both",
        "kind": "multi",
        "params": {
            "graders": {
                "judged": {"kind": "score_model", "params": judge},
                "length": {"kind": "python", "params": params(lines(LENGTH))},
            },
            "calculate_output": "judged + length / 10",
            "pass_threshold": 3,
        },
    }
    rows = [measured.row(source, number, answer="x" * number * 20) for number in (1, 2)]
    made = measured.evaluation(builder, rows, reference="meta:answer", graders=[grader])
    run = ran(made, [stored()], builder)
    assert run.state == Run.State.DONE
    said = Call.objects.filter(run=run).exclude(grader="").order_by("-example__line")
    wanted = [json.loads(call.output_text)["result"] + number * 0.02 for number, call in enumerate(said, 1)]
    found = Result.objects.filter(run=run).order_by("-example__line")
    assert [result.score for result in found] == pytest.approx(wanted)
    assert len(wanted) == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("own_artifacts", "turned_on")
def test_a_run_stops_where_they_are_off_and_goes_on_where_they_are_not(
    builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection], settings: Any
) -> None:
    source = connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")
    grader = {"name": "Same", "kind": "python", "params": params(lines(SAME))}
    made = measured.evaluation(builder, measured.rows(source, 2), reference="meta:answer", graders=[grader])
    settings.PYTHON_GRADERS = False
    with pytest.raises(runs.Refused, match="turned off"):
        runs.start(made, [stored()], builder)
    settings.PYTHON_GRADERS = True
    run = runs.start(made, [stored()], builder)
    settings.PYTHON_GRADERS = False  # on the machine of the worker
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.FAILED
    assert run.operation is not None
    assert run.operation.error_text == TURNED_OFF
    assert not Result.objects.filter(run=run).exists()
    settings.PYTHON_GRADERS = True
    runs.retry_failed(run, builder)
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    assert Result.objects.filter(run=run, passed=True).count() == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("turned_on")
def test_the_wizard_takes_a_source_tries_it_and_says_where_it_cannot_run(
    builder: User, client_of: Callable[[User], Client], settings: Any
) -> None:
    rows = measured.rows(factories.connection(), 1)
    made = measured.evaluation(builder, rows, reference="meta:answer")
    setup.finish(made, "targets", targets=[stored().as_dict()])
    client, step = client_of(builder), reverse("datasets:evaluate", args=[made.pk, "graders"])
    assert "def grade(sample, item)" in client.post(step, {"add": "python"}).content.decode()
    typed = {
        "g0-kind": "python",
        "g0-name": "Same",
        "g0-source": lines(SAME),
        "g0-pass_threshold": "1",
    }
    assert "The source gives 1, at least 1." in client.post(step, typed | {"try": "stored"}).content.decode()
    assert client.post(step, typed).status_code == 302
    settings.PYTHON_GRADERS = False
    assert TURNED_OFF in client.get(step).content.decode()
    refused = client.post(step, typed)
    assert (refused.status_code, TURNED_OFF in refused.content.decode()) == (422, True)
    assert TURNED_OFF in text_of(client.get(reverse("datasets:evaluate", args=[made.pk, "review"])))


@pytest.mark.django_db
def test_the_library_says_where_they_are_off(builder: User, client_of: Callable[[User], Client]) -> None:
    place, client = factories.connection(), client_of(builder)
    told = {"type": "python", "name": "Same", "source": lines(SAME), "pass_threshold": 1}
    url = reverse("datasets:library_import", args=[place.slug])
    assert TURNED_OFF in text_of(client.post(url, {"text": json.dumps(told)}))
    client.post(url, {"text": json.dumps(told), "add": "1"})  # it can be kept for elsewhere
    version = LibraryGraderVersion.objects.get()
    assert TURNED_OFF in text_of(client.get(reverse("datasets:library_grader", args=[version.grader_id])))
    made = measured.evaluation(builder, measured.rows(place, 1), reference="meta:answer")
    refused = client.post(reverse("datasets:library_take", args=[made.pk]), {"version": version.pk})
    assert (refused.status_code, TURNED_OFF in text_of(refused)) == (422, True)


@pytest.mark.usefixtures("turned_on")
def test_a_grader_that_is_always_stopped_is_not_asked_for_ever() -> None:
    with Boxes(Limits(seconds=0.2)) as opened:
        errors = [
            opened.verdict(params("import os\ndef grade(sample, item): os._exit(0)"), {}, {}).error
            for _ in range(IN_A_ROW + 2)
        ]
    assert errors[:IN_A_ROW] == ["It ended by itself."] * IN_A_ROW
    assert all("times in a row" in error for error in errors[IN_A_ROW:])


@pytest.mark.usefixtures("turned_on")
def test_many_graders_share_a_few_processes() -> None:
    sources = [params(lines(f"{number} / 10")) for number in range(10)]
    with Boxes() as opened:
        for _ in range(2):
            scores = [opened.verdict(source, {}, {}).score for source in sources]
            assert scores == [number / 10 for number in range(10)]
        assert len(opened._open) == python_graders.OPEN_AT_A_TIME


def test_they_are_off_until_they_are_turned_on() -> None:
    assert off_because() == TURNED_OFF
    with Boxes() as opened:
        verdict = opened.verdict(params(lines("1")), {}, {})
    assert (verdict.score, verdict.passed, verdict.error) == (None, None, TURNED_OFF)
    assert run_checks() == []


def test_they_stay_off_where_a_box_does_not_hold(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PYTHON_GRADERS = True
    monkeypatch.setattr(box_trust, "test", lambda: "A grader could open a connection.")
    monkeypatch.setattr(box_trust, "_tested", None)
    assert off_because().endswith("so they are off. A grader could open a connection.")
    with Boxes() as opened:
        verdict = opened.verdict(params(lines("1")), {}, {})
    assert verdict.passed is None
    assert "A grader could open a connection." in verdict.error
    (warning,) = [found for found in run_checks() if found.id == "datasets.W001"]
    assert "A grader could open a connection." in warning.msg


@pytest.mark.usefixtures("turned_on")
def test_the_walls_are_tried_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([""])
    monkeypatch.setattr(box_trust, "_tested", None)
    monkeypatch.setattr(box_trust, "test", lambda: next(answers))
    assert [off_because(), off_because()] == ["", ""]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("source", {"source": ""}),
        ("source", {"source": "def grade(sample, item)"}),
        ("source", {"source": "grade = 1"}),
        ("source", {"source": "def grade(sample): return 1"}),
        ("source", {"source": "def grade(sample, item): return 1" + "#" * 300_000}),
        ("pass_threshold", {"pass_threshold": "0.5"}),
        ("pass_threshold", {"pass_threshold": float("nan")}),
    ],
)
def test_a_source_that_cannot_grade_is_refused_by_field(field: str, change: dict[str, Any]) -> None:
    assert list(validate("python", params(lines("1")) | change)) == [field]
