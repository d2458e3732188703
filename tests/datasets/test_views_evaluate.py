"""The Evaluate wizard as people meet it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from datasets.evaluate.targets import stored
from datasets.models import (
    Deployment,
    Evaluation,
    Run,
)
from portal.models import AuditEntry, Connection, User
from portal.sandbox import Sandbox
from tests import factories
from tests.datasets import material, measured
from tests.datasets.measured import STUDENT, TEACHER, asked, fresh
from tests.pages import text_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]

SignIn = Callable[[User], Client]


@pytest.fixture
def source(builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection]) -> Connection:
    return connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")


@pytest.fixture
def quiet(builder: User) -> Connection:
    """A source for pages that call nobody."""
    return factories.connection("Library")


def grader(number: int = 0, **fields: Any) -> dict[str, Any]:
    values = {
        "kind": "text_similarity",
        "name": "Close",
        "input": "{{ sample.output_text }}",
        "reference": "{{ item.reference }}",
        "evaluation_metric": "rouge_l",
        "pass_threshold": "0.7",
    } | fields
    return {f"g{number}-{name}": value for name, value in values.items()}


@pytest.mark.engines
def test_from_a_selection_to_a_report(
    builder: User, client_of: SignIn, source: Connection, sandbox: Sandbox
) -> None:
    client = client_of(builder)
    frozen = material.frozen(builder, measured.rows(source, 12))
    begun = client.get(reverse("datasets:evaluate_start", args=[frozen.pk]))
    assert "12 stored completions" in text_of(begun)

    answer = client.post(reverse("datasets:evaluate_start", args=[frozen.pk]), {"name": "Docs"})
    made = Evaluation.objects.get()
    assert answer["Location"] == reverse("datasets:evaluate", args=[made.pk, "reference"])
    frozen.refresh_from_db()
    assert frozen.confirmed_at is not None

    page = text_of(client.get(answer["Location"]))
    assert "expected" in page
    assert "12 · 100%" in page
    answer = client.post(answer["Location"], {"reference": "answer"})
    assert answer["Location"] == reverse("datasets:evaluate", args=[made.pk, "targets"])

    targets = {
        "first_connection": source.pk,
        "first_model": TEACHER,
        "second_connection": source.pk,
        "second_model": STUDENT,
        "temperature": "0",
    }
    assert "Not possible here" in text_of(client.get(answer["Location"]))
    answer = client.post(answer["Location"], targets)
    assert answer["Location"] == reverse("datasets:evaluate", args=[made.pk, "graders"])

    assert "Close to the reference" in client.get(answer["Location"]).content.decode()
    answer = client.post(answer["Location"], grader())
    assert answer["Location"] == reverse("datasets:evaluate", args=[made.pk, "review"])

    review = text_of(client.get(answer["Location"]))
    assert "Run · 24 calls" in review
    answer = client.post(answer["Location"])
    run = Run.objects.get()
    assert answer["Location"] == reverse("datasets:run", args=[made.pk, run.number])
    assert "Waiting" in text_of(client.get(answer["Location"]))

    material.drain()
    page = text_of(client.get(answer["Location"]))
    assert "“gpt-4o-mini” passes “Close”" in page
    assert "points less often than “gpt-4o”" in page
    assert "McNemar" in page
    assert len(asked(sandbox)) == 24
    assert AuditEntry.objects.filter(verb="run.started", actor=builder).count() == 1


def test_a_wizard_that_was_left_goes_on_where_it_stopped(
    builder: User, client_of: SignIn, quiet: Connection
) -> None:
    frozen = material.frozen(builder, measured.rows(quiet, 3))
    start = reverse("datasets:evaluate_start", args=[frozen.pk])
    client_of(builder).post(start, {"name": "Docs"})
    made = Evaluation.objects.get()
    elsewhere = client_of(builder)
    assert elsewhere.get(start)["Location"] == reverse("datasets:evaluate", args=[made.pk, "reference"])
    elsewhere.post(reverse("datasets:evaluate", args=[made.pk, "reference"]), {"reference": "meta:expected"})
    assert elsewhere.get(start)["Location"] == reverse("datasets:evaluate", args=[made.pk, "targets"])
    skipped = elsewhere.get(reverse("datasets:evaluate", args=[made.pk, "review"]))
    assert skipped["Location"] == reverse("datasets:evaluate", args=[made.pk, "targets"])


def test_a_double_click_begins_one_evaluation(builder: User, client_of: SignIn, quiet: Connection) -> None:
    frozen = material.frozen(builder, measured.rows(quiet, 2))
    client = client_of(builder)
    for _ in range(2):
        client.post(reverse("datasets:evaluate_start", args=[frozen.pk]), {"name": "Docs"})
    assert Evaluation.objects.count() == 1


@pytest.fixture
def begun(builder: User, quiet: Connection) -> Evaluation:
    """An evaluation of three rows, up to the reference."""
    return measured.evaluation(builder, measured.rows(quiet, 3), reference="meta:answer")


def test_the_stored_answer_against_itself_is_refused_in_both_orders(
    builder: User, client_of: SignIn, begun: Evaluation
) -> None:
    client = client_of(builder)
    targets = reverse("datasets:evaluate", args=[begun.pk, "targets"])
    reference = reverse("datasets:evaluate", args=[begun.pk, "reference"])
    begun.setup["steps"] = ["data", "reference"]
    begun.save()
    client.post(targets, {"stored": "on"})
    answer = client.post(reference, {"reference": "answer"})
    assert answer.status_code == 422
    assert "measured against themselves" in text_of(answer)
    begun.refresh_from_db()
    assert begun.reference == "meta:answer"

    begun.reference, begun.setup["targets"] = "answer", []
    begun.save()
    answer = client.post(targets, {"stored": "on"})
    assert answer.status_code == 422
    assert "measured against themselves" in text_of(answer)


@pytest.mark.parametrize("reference", ["meta:nowhere", "nonsense", "", "meta:"])
def test_a_reference_that_was_not_offered_is_refused(
    builder: User, client_of: SignIn, begun: Evaluation, reference: str
) -> None:
    url = reverse("datasets:evaluate", args=[begun.pk, "reference"])
    assert client_of(builder).post(url, {"reference": reference}).status_code == 422


def test_targets_must_name_something_else_each(
    builder: User, client_of: SignIn, begun: Evaluation, quiet: Connection
) -> None:
    client = client_of(builder)
    url = reverse("datasets:evaluate", args=[begun.pk, "targets"])
    nothing = client.post(url, {"first_model": ""})
    assert "at least one thing" in text_of(nothing)
    twice = {
        "first_connection": quiet.pk,
        "first_model": "m",
        "second_connection": quiet.pk,
        "second_model": "m",
    }
    assert "first deployment again" in text_of(client.post(url, twice))
    assert "Choose the connection" in text_of(client.post(url, {"first_model": "m"}))


def test_a_name_that_nothing_answers_to_is_warned_of_once_and_again_before_it_runs(
    builder: User, client_of: SignIn, source: Connection
) -> None:
    client = client_of(builder)
    made = measured.evaluation(builder, measured.rows(source, 3))
    Deployment.objects.create(connection=source, name="student-of-docs", model="m", state="ready")
    Deployment.objects.create(connection=source, name="not-yet-there", model="m", state="creating")
    url = reverse("datasets:evaluate", args=[made.pk, "targets"])
    chosen: dict[str, Any] = {"first_connection": source.pk, "second_connection": source.pk}

    for known in (
        "student-of-docs",
        "gpt-4o-2024-08-06",
        "gpt-4o",
        STUDENT,
    ):  # made, seen, its family, listed
        assert client.post(url, chosen | {"first_model": known}).status_code == 302, known

    slip = chosen | {"first_model": "student-of-dosc", "second_model": "not-yet-there"}
    answer = client.post(url, slip)
    page = text_of(answer)
    assert answer.status_code == 200
    assert "“ student-of-dosc ” is not known on Source" in page
    assert "Did you mean student-of-docs ?" in page
    assert "“ not-yet-there ” is not known on Source" in page

    told = [f"{source.pk}:student-of-dosc", f"{source.pk}:not-yet-there"]
    assert all(f'name="told" value="{key}"' in answer.content.decode() for key in told)
    assert client.post(url, slip | {"told": told[0]}).status_code == 200
    assert client.post(url, slip | {"told": told}).status_code == 302
    client.post(reverse("datasets:evaluate", args=[made.pk, "graders"]), grader())
    review = reverse("datasets:evaluate", args=[made.pk, "review"])
    assert "“ not-yet-there ” is not known on Source" in text_of(client.get(review))
    Deployment.objects.filter(name="not-yet-there").update(state="ready")
    page = text_of(client.get(review))
    assert "“ not-yet-there ” is not known" not in page
    assert "“ student-of-dosc ” is not known" in page


def test_a_service_that_cannot_be_asked_does_not_hinder(
    builder: User, client_of: SignIn, source: Connection
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 3))
    Connection.objects.filter(pk=source.pk).update(base_url="http://127.0.0.1:9/v1")
    url = reverse("datasets:evaluate", args=[made.pk, "targets"])
    chosen = {"first_connection": source.pk, "first_model": "mine"}
    assert "“ mine ” is not known on Source" in text_of(client_of(builder).post(url, chosen))
    elsewhere = factories.connection(name="Elsewhere", slug="elsewhere")
    Deployment.objects.create(connection=elsewhere, name="mine", model="m", state="ready")
    assert "It is known on Elsewhere : choose that" in text_of(client_of(builder).post(url, chosen))
    told = {"told": f"{source.pk}:mine"}
    assert client_of(builder).post(url, chosen | told).status_code == 302


def test_a_second_evaluation_of_the_same_rows_is_numbered(
    builder: User, client_of: SignIn, quiet: Connection
) -> None:
    chosen = measured.rows(quiet, 2)
    offered = []
    for _ in range(3):
        url = reverse("datasets:evaluate_start", args=[material.frozen(builder, chosen).pk])
        page = client_of(builder).get(url).content.decode()
        (name,) = re.findall(r'name="name" value="([^"]+)"', page)
        offered.append(name)
        client_of(builder).post(url, {"name": name})
    assert offered == ["Library", "Library 2", "Library 3"]


def test_fresh_answers_come_only_from_connections_one_may_act_on(
    client_of: SignIn, quiet: Connection, outsider: User
) -> None:
    factories.grant(outsider, "builder", quiet)
    hidden = factories.connection("Hidden")
    made = measured.evaluation(outsider, measured.rows(quiet, 2))
    client = client_of(outsider)
    url = reverse("datasets:evaluate", args=[made.pk, "targets"])
    answer = client.post(url, {"first_connection": hidden.pk, "first_model": "m"})
    assert answer.status_code == 422
    assert "Hidden" not in text_of(client.get(url))


@pytest.fixture
def aimed(begun: Evaluation) -> Evaluation:
    """The same with its target: the stored answers."""
    begun.setup |= {"steps": ["data", "reference", "targets"], "targets": [stored().as_dict()]}
    begun.save()
    return begun


def test_graders_are_added_removed_and_tried_before_they_are_kept(
    builder: User, client_of: SignIn, aimed: Evaluation
) -> None:
    client = client_of(builder)
    url = reverse("datasets:evaluate", args=[aimed.pk, "graders"])
    more = client.post(url, grader() | {"add": "string_check"})
    assert more.status_code == 200
    assert more.content.decode().count('name="g') >= 10
    assert 'name="g1-operation"' in more.content.decode()
    check = {"kind": "string_check", "name": "Equal", "operation": "eq"}
    fewer = client.post(url, grader() | grader(1, **check) | {"remove": "0"})
    assert 'name="g1-operation"' in fewer.content.decode()
    assert 'name="g0-name"' not in fewer.content.decode()

    tried = client.post(url, grader() | grader(1, **check) | {"try": "stored"})
    page = text_of(tried)
    assert tried.status_code == 200
    assert page.count("rouge_l is 1.000, at least 0.7.") == 3
    assert page.count("The text equals") == 3
    assert client.post(url, grader() | grader(1, **check)).status_code == 302
    assert [(one.name, one.kind) for one in aimed.graders.all()] == [
        ("Close", "text_similarity"),
        ("Equal", "string_check"),
    ]


def test_a_ready_made_check_is_added_tried_and_told(
    builder: User, client_of: SignIn, aimed: Evaluation
) -> None:
    client = client_of(builder)
    url = reverse("datasets:evaluate", args=[aimed.pk, "graders"])
    assert 'name="g1-check"' in client.post(url, grader() | {"add": "check"}).content.decode()
    check = {"kind": "check", "name": "Long enough", "check": "min_words", "value": "many"}
    refused = client.post(url, grader(0, **check))
    assert refused.status_code == 422
    assert "A whole number" in text_of(refused)
    tried = client.post(url, grader(0, **check | {"value": "1"}) | {"try": "stored"})
    assert text_of(tried).count("Passed Long enough") == 3
    saved = aimed.graders.get()
    assert (saved.kind, saved.params) == (
        "check",
        {"input": "{{ sample.output_text }}", "check": "min_words", "value": "1"},
    )


def test_trying_a_deployment_asks_it_for_three_rows_and_stores_nothing(
    builder: User, client_of: SignIn, source: Connection, sandbox: Sandbox
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 6))
    made.setup |= {"steps": ["data", "reference", "targets"], "targets": [fresh(source).as_dict()]}
    made.save()
    url = reverse("datasets:evaluate", args=[made.pk, "graders"])
    page = text_of(client_of(builder).post(url, grader() | {"try": "first"}))
    assert page.count("rouge_l is") == 3
    assert asked(sandbox).total() == 3
    assert measured.stored_upstream(sandbox) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input": "{{ item.reference|safe }}"}, "only names and indexes"),
        ({"pass_threshold": "7"}, "less than or equal to 1"),
        ({"evaluation_metric": "cosine"}, "Select a valid choice"),
        ({"name": ""}, "required"),
    ],
)
def test_a_grader_that_cannot_grade_is_shown_with_its_error(
    builder: User, client_of: SignIn, aimed: Evaluation, change: dict[str, Any], said: str
) -> None:
    answer = client_of(builder).post(
        reverse("datasets:evaluate", args=[aimed.pk, "graders"]), grader(**change)
    )
    assert answer.status_code == 422
    assert said in text_of(answer)


def test_enter_in_a_field_goes_on_and_removes_nothing(
    builder: User, client_of: SignIn, aimed: Evaluation
) -> None:
    url = reverse("datasets:evaluate", args=[aimed.pk, "graders"])
    page = client_of(builder).post(url, grader() | {"add": "text_similarity"}).content.decode()
    inside = page[page.index('<form class="body"') :]
    assert inside.count('name="remove"') == 2
    first = re.search(r"<button[^>]*>", inside)
    assert first is not None
    assert "name=" not in first[0]


def test_two_graders_cannot_have_one_name(builder: User, client_of: SignIn, aimed: Evaluation) -> None:
    answer = client_of(builder).post(
        reverse("datasets:evaluate", args=[aimed.pk, "graders"]), grader(0) | grader(1)
    )
    assert "Another grader has this name" in text_of(answer)
