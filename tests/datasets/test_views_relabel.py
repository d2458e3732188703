"""Pages of relabelling: from the bulk bar to accepted answers, and who may do what."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from django.test import Client

from completions import correcting
from completions.models import FrozenSelection, ReviewState
from datasets.models import Relabel
from datasets.relabel import setup
from portal.models import Budget, Connection, Price, User
from portal.sandbox import Sandbox
from tests import factories
from tests.datasets import material, measured
from tests.datasets.measured import TEACHER, asked

pytestmark = pytest.mark.django_db(transaction=True)
ClientOf = Callable[[User], Client]


@pytest.fixture
def source(sandbox: Sandbox, connect_to: Callable[..., Connection], db: None) -> Connection:
    return connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")


def chosen(user: User, source: Connection, count: int = 3) -> FrozenSelection:
    return material.frozen(
        user, [measured.row(source, number, answer="I <b>do not</b> know.") for number in range(count)]
    )


def typed(source: Connection, **more: str) -> dict[str, str]:
    return {"name": "Better", "model": TEACHER, "connection": str(source.pk), "temperature": "0"} | more


def test_from_the_teacher_over_the_price_to_accepted_answers(
    builder: User, source: Connection, client_of: ClientOf
) -> None:
    for kind in ("input", "output"):
        Price.objects.create(model=TEACHER, kind=kind, amount=Decimal(10), as_of=date(2026, 11, 1))
    Budget.objects.create(connection=source, amount=Decimal(100))
    frozen = chosen(builder, source)
    client = client_of(builder)
    start = f"/relabels/start/{frozen.pk}/"
    assert "Who answers the same prompts" in client.get(start).text
    answer = client.post(start, typed(source))
    assert answer.status_code == 303
    client.post(start, typed(source, name="Renamed"))
    relabel = Relabel.objects.get()
    review = client.get(answer["Location"]).text
    assert relabel.name == "Renamed"
    for said in ("Ask the teacher 3 times", "0.00090 USD", "100.00 USD", "prices of 1 Nov 2026"):
        assert said in review
    assert client.post(f"/relabels/{relabel.pk}/begin/").status_code == 303
    client.post(f"/relabels/{relabel.pk}/pause/")
    paused = client.get(f"/relabels/{relabel.pk}/").text
    assert "nobody is asked until" in paused
    assert "goes on" not in paused
    client.post(f"/relabels/{relabel.pk}/go-on/")
    material.drain()
    page = client.get(f"/relabels/{relabel.pk}/").text
    assert "Accept all 3" in page
    assert "<del" in page
    assert "<b>do not</b>" not in page
    call = relabel.calls.first()
    assert call is not None
    judge = f"/relabels/{relabel.pk}/{call.pk}/judge/"
    row = client.post(judge, {"do": "accept", "seen": ""}, headers={"HX-Request": "true"})
    assert "Accepted by builder" in row.text
    held = correcting.holding(call.completion)
    assert held is not None
    assert held.value == {"text": call.text, "tool_calls": None}
    assert "Dismiss" in client.post(judge, {"do": "undo"}, headers={"HX-Request": "true"}).text
    client.post(f"/relabels/{relabel.pk}/accept/")
    material.drain()
    page = client.get(f"/relabels/{relabel.pk}/").text
    assert "3 changed" in page
    assert "Take it back" in page
    client.post(f"/relabels/{relabel.pk}/accept/")  # the same click again begins nothing that hides the first
    material.drain()
    assert f"/relabels/{relabel.pk}/accept/undo/" in client.get(f"/relabels/{relabel.pk}/").text
    client.post(f"/relabels/{relabel.pk}/accept/undo/")
    material.drain()
    assert not ReviewState.objects.filter(correction__isnull=False).exists()
    assert f"/relabels/{relabel.pk}/" in client.get(f"/connections/{source.slug}/spending/").text
    assert client.post(f"/relabels/{relabel.pk}/delete/").status_code == 302
    assert not Relabel.objects.exists()


def test_over_the_budget_the_review_says_so_and_nothing_is_asked(
    builder: User, source: Connection, sandbox: Sandbox, client_of: ClientOf
) -> None:
    Budget.objects.create(connection=source, amount=Decimal(0))
    client = client_of(builder)
    client.post(f"/relabels/start/{chosen(builder, source).pk}/", typed(source))
    answer = client.post(f"/relabels/{Relabel.objects.get().pk}/begin/")
    assert answer.status_code == 422
    assert "Nobody has entered what this costs" in answer.text
    assert not asked(sandbox)


def test_a_name_that_nothing_answers_to_is_doubted_once(
    builder: User, source: Connection, client_of: ClientOf
) -> None:
    frozen = chosen(builder, source)
    client = client_of(builder)
    start = f"/relabels/start/{frozen.pk}/"
    answer = client.post(start, typed(source, model="gpt-4q"))
    assert "is not known on Source" in answer.text
    assert not Relabel.objects.exists()
    client.post(start, typed(source, model="gpt-4q", told=f"{source.pk}:gpt-4q"))
    assert Relabel.objects.get().model == "gpt-4q"


def test_rows_that_are_corrected_already_are_said(
    builder: User, source: Connection, client_of: ClientOf
) -> None:
    row = measured.row(source, 1, answer="I do not know.")
    first = {"text": "I do not know.", "tool_calls": None}
    correcting.save(row, {"text": "By hand.", "tool_calls": None}, first, builder, None)
    client = client_of(builder)
    client.post(f"/relabels/start/{material.frozen(builder, [row]).pk}/", typed(source))
    relabel = Relabel.objects.get()
    assert "1 has a correction already" in client.get(f"/relabels/{relabel.pk}/").text
    client.post(f"/relabels/{relabel.pk}/begin/")
    material.drain()
    assert "builder has corrected this answer" in client.get(f"/relabels/{relabel.pk}/").text
    call = relabel.calls.get()
    answer = client.post(
        f"/relabels/{relabel.pk}/{call.pk}/judge/", {"do": "accept"}, headers={"HX-Request": "true"}
    )
    assert "Somebody else has corrected" in answer["HX-Trigger"]


def test_only_who_may_act_everywhere_starts_and_readers_read(
    builder: User, reader: User, reviewer: User, outsider: User, source: Connection, client_of: ClientOf
) -> None:
    frozen = chosen(builder, source)
    relabel = setup.begin(frozen, builder, name="Better", connection=source, model=TEACHER, params={})
    page = f"/relabels/{relabel.pk}/"
    posts = ["begin", "pause", "go-on", "cancel", "retry", "delete", "accept", "accept/undo"]
    assert client_of(reader).get(page).status_code == 404  # a draft is its owner's
    for person, status in ((reader, 403), (reviewer, 403), (outsider, 404)):
        assert {client_of(person).post(f"{page}{deed}/").status_code for deed in posts} == {status}
    assert client_of(reader).get(f"/relabels/start/{frozen.pk}/").status_code == 404
    client_of(builder).post(f"{page}begin/")
    material.drain()
    call = relabel.calls.first()
    assert call is not None
    judge = f"{page}{call.pk}/judge/"
    assert client_of(reader).get(page).status_code == 200
    assert "Accept all" not in client_of(reader).get(page).text
    assert client_of(reader).post(judge, {"do": "accept"}).status_code == 403
    assert client_of(outsider).post(judge, {"do": "accept"}).status_code == 404
    assert client_of(reviewer).post(judge, {"do": "dismiss"}).status_code == 303
    assert "Better" in client_of(reader).get("/relabels/").text
    assert "Better" not in client_of(outsider).get("/relabels/").text


def test_a_teacher_on_a_connection_without_the_right_is_no_choice(
    source: Connection, client_of: ClientOf
) -> None:
    person = factories.user("half", "builder", source)
    other = factories.connection("Other")
    factories.grant(person, "reader", other)
    frozen = chosen(person, source)
    client = client_of(person)
    answer = client.post(f"/relabels/start/{frozen.pk}/", typed(other))
    assert answer.status_code == 422
    assert not Relabel.objects.exists()
