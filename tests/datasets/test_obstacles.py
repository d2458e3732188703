"""Runs that would be of no use are not begun: graders that cannot judge, connections that may not answer."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from datasets import library
from datasets.evaluate import ready_made, setup
from datasets.evaluate import run as runs
from datasets.evaluate.obstacles import ALONE, CLOSED, GONE
from datasets.evaluate.targets import stored
from datasets.models import Evaluation, LibraryGrader, Run
from portal.models import Connection, Role, Spending, User
from tests import factories
from tests.datasets import measured, shelf
from tests.datasets.form_reading import fields_of
from tests.datasets.measured import EQUAL, fresh
from tests.pages import text_of

SignIn = Callable[[User], Client]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]


@pytest.fixture
def source() -> Connection:
    return factories.connection("Source")


def ready(user: User, source: Connection, graders: list[dict[str, Any]], *chosen: Any) -> Evaluation:
    """An evaluation whose steps are all done."""
    made = measured.evaluation(user, measured.rows(source, 2), reference="meta:expected", graders=graders)
    setup.finish(made, "targets", targets=[each.as_dict() for each in chosen or [stored()]])
    setup.finish(made, "graders")
    return made


def step(made: Evaluation, name: str) -> str:
    return reverse("datasets:evaluate", args=[made.pk, name])


def judge(key: str, connection: Connection) -> dict[str, Any]:
    made = ready_made.begin(key, has_reference=True)
    return {**made, "params": {**made["params"], "connection": connection.pk, "model": "gpt-4.1"}}


def test_a_reference_that_was_taken_away_is_missed_before_a_run(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    made, client = ready(builder, source, [EQUAL]), client_of(builder)
    client.post(step(made, "reference"), {"reference": "none"})
    assert "“Equal” needs a reference" in text_of(client.get(step(made, "review")))
    refused = client.post(step(made, "review"))
    assert refused.status_code == 422
    assert "“Equal” needs a reference" in text_of(refused)
    assert not Run.objects.exists()


def test_a_preference_that_was_left_alone_is_told_before_a_run(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    graders = [judge("pairwise", source), EQUAL]
    made = ready(builder, source, graders, fresh(source), fresh(source, "gpt-4o-mini", "second"))
    client = client_of(builder)
    assert ALONE not in text_of(client.get(step(made, "review")))
    client.post(step(made, "targets"), {"stored": "on"})
    assert ALONE in text_of(client.post(step(made, "review")))
    assert not Run.objects.exists()


def test_a_judge_that_may_not_be_asked_any_more_begins_no_run(source: Connection, client_of: SignIn) -> None:
    place = factories.connection("Tribunal")
    user = factories.user("maker", "builder", source)
    grant = factories.grant(user, "builder", place)
    made, client = ready(user, source, [judge("factuality", place)]), client_of(user)
    assert "Tribunal" in text_of(client.get(step(made, "review")))
    grant.role = Role("reader")
    grant.save()
    refused = client.post(step(made, "review"))
    assert refused.status_code == 422
    assert CLOSED in text_of(refused)
    grant.delete()
    assert "Tribunal" not in text_of(client.get(step(made, "review")))  # nor what it may still spend
    place.delete()
    assert GONE in text_of(client.post(step(made, "review")))
    with pytest.raises(runs.Refused, match="deleted"):
        runs.start(made, [stored()], user)
    assert not Run.objects.exists()
    assert not Spending.objects.exists()


def test_a_run_whose_judge_is_gone_says_so_when_it_is_asked_again(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    place, client = factories.connection("Place"), client_of(builder)
    made = ready(builder, source, [judge("factuality", place)])
    run = runs.start(made, [stored()], builder)
    place.delete()
    for name in ("run_again", "run_retry"):
        answer = client.post(reverse(f"datasets:{name}", args=[made.pk, run.number]))
        assert GONE in shelf.toast_of(client, answer)
    assert Run.objects.count() == 1


def test_a_deployment_that_may_not_be_asked_any_more_is_not_tried(
    source: Connection, client_of: SignIn
) -> None:
    place = factories.connection("Place")
    user = factories.user("maker", "builder", source)
    grant = factories.grant(user, "builder", place)
    made, client = ready(user, source, [EQUAL], fresh(place)), client_of(user)
    typed = fields_of(client.get(step(made, "graders"))) | {"try": "first"}
    grant.role = Role("reader")
    grant.save()
    assert CLOSED in text_of(client.post(step(made, "graders"), typed))
    place.delete()
    refused = client.post(step(made, "graders"), typed)
    assert (refused.status_code, GONE in text_of(refused)) == (422, True)
    assert not Spending.objects.exists()


def test_stored_answers_that_are_missing_cannot_be_chosen(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    empty = [measured.row(source, number, answer="") for number in range(2)]
    made = measured.evaluation(builder, empty, reference="meta:expected")
    client = client_of(builder)
    assert "Not possible here" in text_of(client.get(step(made, "targets")))
    refused = client.post(step(made, "targets"), {"stored": "on"})
    assert refused.status_code == 422
    assert setup.NO_OUTPUT in text_of(refused)
    setup.finish(made, "targets", targets=[stored().as_dict()])  # as long as there were some
    setup.finish(made, "graders")
    assert setup.NO_OUTPUT in text_of(client.post(step(made, "review")))
    assert not Run.objects.exists()


def test_what_no_browser_sends_is_refused_and_breaks_nothing(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    made, client = ready(builder, source, [EQUAL]), client_of(builder)
    for number in ("9" * 30, "9" * 5000, "²", "-1"):
        assert (
            client.post(reverse("datasets:library_take", args=[made.pk]), {"version": number}).status_code
            == 422
        )
    asking = judge("factuality", source)
    version = library.add(source, "Judge", asking["kind"], asking["params"], builder)
    told = {"name": "Judge", "since": "1", "params": json.dumps(version.params | {"connection": 10**30})}
    url = reverse("datasets:library_change_json", args=[version.grader_id])
    assert client.post(url, told).status_code == 422
    page = client.post(step(made, "graders"), {})
    assert page.status_code == 422
    assert "Nothing is judged without a grader" in text_of(page)
    told = {"kind": "label_model", "name": "Judge", "connection": str(source.pk), "model": "m"}
    told |= {"labels": "a\nb", "passing_labels": "a"} | {
        f"input_{number}_role": "user" for number in range(4)
    }
    broken = "{{ item.input[" + "9" * 5000 + "] }}"
    for said in ({0: broken}, {0: "Judge.", 2: broken}, {0: broken, 1: "Judge.", 3: "{{ item.}}"}):
        typed = told | {f"input_{number}_content": text for number, text in said.items()}
        page = client.post(step(made, "graders"), {f"g0-{name}": value for name, value in typed.items()})
        assert page.status_code == 422
        wrong = [f"input_{number}_content" for number, text in said.items() if text != "Judge."]
        assert list(page.context["forms"][0].errors) == wrong  # said where it stands


def test_graders_that_another_tab_saved_are_not_replaced_unseen(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    made, client = ready(builder, source, [EQUAL]), client_of(builder)
    one, other = fields_of(client.get(step(made, "graders"))), fields_of(client.get(step(made, "graders")))
    other = fields_of(client.post(step(made, "graders"), other | {"add": "check"}))
    assert client.post(step(made, "graders"), other).status_code == 302
    assert client.post(step(made, "graders"), other).status_code == 302  # the same again harms nobody
    late = client.post(step(made, "graders"), one | {"g0-name": "Mine"})
    assert late.status_code == 422
    assert "saved meanwhile" in text_of(late)
    assert list(made.graders.values_list("name", flat=True)) == ["Equal", "Answers"]
    assert client.post(step(made, "graders"), fields_of(late)).status_code == 302
    assert list(made.graders.values_list("name", flat=True)) == ["Mine"]

    runs.start(made, [stored()], builder)
    assert not setup.set_graders(made, [EQUAL])
    assert list(made.graders.values_list("name", flat=True)) == ["Mine"]


def test_keeping_a_grader_of_others_changes_nothing_of_theirs(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    own = factories.connection("Own")
    guest = factories.user("guest", "builder", own)
    factories.grant(guest, "reader", source)
    made = ready(builder, source, [EQUAL])
    grader = made.graders.get()
    told = {"to": own.pk, "name": "Copied"}
    for user, linked in ((guest, False), (builder, True)):
        url = reverse("datasets:library_keep", args=[made.pk, grader.pk])
        assert client_of(user).post(url, told).status_code == 302
        grader.refresh_from_db()
        assert (grader.taken_from_id is not None) is linked


def test_a_change_of_the_library_that_is_refused_renames_nothing(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    version = shelf.kept(source)
    client = client_of(builder)
    url = reverse("datasets:library_change", args=[version.grader_id])
    told = {f"g0-{name}": value for name, value in shelf.LIKE.items()}
    told |= {"g0-kind": "string_check", "g0-name": "Another", "g0-operation": "eq", "since": "7"}
    assert "meanwhile" in text_of(client.post(url, told))
    assert LibraryGrader.objects.get().name == "Contains"
