"""One prompt, several models side by side: asked once each, never stored, errors beside answers."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from datasets import trying
from datasets.models import DatasetVersion, Deployment, FineTune
from datasets.prompts import Prompt, of_line
from portal import prices
from portal.models import Budget, Connection, Price, Spending, User
from portal.sandbox import Sandbox
from portal.upstream import connect
from tests import factories
from tests.datasets import material, provider

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sandbox(rows=0, rows_elsewhere=0)]
ASKED = {"role": "user", "content": "Which plan has SSO?"}


@pytest.fixture
def connection(sandbox: Sandbox) -> Connection:
    return provider.openai(sandbox, state=Connection.State.CONNECTED)


@pytest.fixture
def deployment(connection: Connection, builder: User) -> Deployment:
    """A model that answers, said to be the student of a version that is built."""
    version = material.built(builder, material.many(connection, 12))
    tune = FineTune.objects.create(
        connection=connection,
        version=version,
        base_model="gpt-4.1-mini-2025-04-14",
        seed=1,
        state=FineTune.State.SUCCEEDED,
        fine_tuned_model="gpt-4o-mini",
    )
    made: Deployment = Deployment.objects.create(
        connection=connection, fine_tune=tune, name="gpt-4o-mini", model="gpt-4o-mini", state="ready"
    )
    return made


def version_of(deployment: Deployment) -> DatasetVersion:
    assert deployment.fine_tune is not None
    assert deployment.fine_tune.version is not None
    return deployment.fine_tune.version


def posted(deployment: Deployment, **fields: str) -> dict[str, str]:
    at = str(deployment.connection_id)
    return {
        "system": "Be short.",
        "user": "Which plan has SSO?",
        "student-asked": "on",
        "student-model": deployment.name,
        "student-connection": at,
        "teacher-asked": "on",
        "teacher-model": "gpt-4o",
        "teacher-connection": at,
    } | fields


def ask(client: "Client", deployment: Deployment, side: str = "student", **fields: str) -> str:
    url = reverse("datasets:try_answer", args=[deployment.pk])
    answer = client.post(url, posted(deployment, side=side, **fields), headers={"HX-Request": "true"})
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_proposes_student_teacher_and_base(
    deployment: Deployment, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    sides = trying.sides_of(deployment, {deployment.connection_id})
    assert [(side.key, side.model, side.asked) for side in sides] == [
        ("student", "gpt-4o-mini", True),
        ("teacher", "gpt-4o-2024-08-06", True),
        ("base", "gpt-4.1-mini-2025-04-14", False),
    ]
    page = client_of(builder).get(reverse("datasets:try", args=[deployment.pk])).content.decode()
    assert all(f'value="{side.model}"' in page for side in sides)


def test_on_azure_the_name_of_a_deployment_is_guessed_and_said_to_be(sandbox: Sandbox) -> None:
    connection = provider.azure(sandbox)
    tune = FineTune.objects.create(connection=connection, base_model="gpt-4.1-mini-2025-04-14", seed=1)
    student = Deployment.objects.create(connection=connection, fine_tune=tune, name="student", model="m")
    base = trying.sides_of(student, set())[-1]
    assert (base.model, base.guessed) == ("gpt-4.1-mini", True)
    Deployment.objects.create(connection=connection, name="mine", model=tune.base_model, state="ready")
    base = trying.sides_of(student, set())[-1]
    assert (base.model, base.guessed) == ("mine", False)


def test_each_side_is_a_request_of_its_own_and_nothing_is_asked_before(
    deployment: Deployment, builder: User, sandbox: Sandbox, client_of: "Callable[[User], Client]"
) -> None:
    client = client_of(builder)
    url = reverse("datasets:try_sides", args=[deployment.pk])
    page = client.post(url, posted(deployment), headers={"HX-Request": "true"}).content.decode()
    assert re.findall(r'data-side="(\w+)"', page) == ["student", "teacher"]
    assert page.count('hx-trigger="load"') == 2
    assert provider.posts(sandbox, "/chat/completions") == 0
    answer = ask(client, deployment)
    assert provider.posts(sandbox, "/chat/completions") == 1
    assert 'hx-trigger="load"' not in answer
    assert re.search(r"\d ms", answer)
    assert re.search(r"\d+ in, \d+ out", answer)


def test_nothing_is_stored_upstream(
    deployment: Deployment, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    for side in ("student", "teacher"):
        assert "It did not answer" not in ask(client_of(builder), deployment, side)
    with connect(deployment.connection) as upstream:
        assert upstream.list_stored().items == ()


def test_one_side_that_fails_says_why_and_leaves_the_other_alone(
    deployment: Deployment, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    client = client_of(builder)
    failed = ask(client, deployment, "teacher", **{"teacher-model": "<i>none</i>"})
    assert "It did not answer" in failed
    assert "does not exist" in failed
    assert "<i>none" not in failed
    assert "It did not answer" not in ask(client, deployment)


def test_each_answer_counts_against_the_budget_with_what_it_cost(
    deployment: Deployment, builder: User, sandbox: Sandbox, client_of: "Callable[[User], Client]"
) -> None:
    client = client_of(builder)
    today = timezone.now().date()
    for kind, amount in (("input", 2), ("output", 8)):
        Price.objects.create(model="gpt-4o-mini", kind=kind, amount=amount, as_of=today)
    budget = Budget.objects.create(connection=deployment.connection, amount=Decimal("0.5"))
    page = ask(client, deployment)
    spent = Spending.objects.get()
    assert (spent.state, spent.requested_by) == ("settled", builder)
    assert spent.settled is not None
    assert 0 < spent.settled < Decimal("0.01")
    assert prices.money(spent.settled) in page
    Budget.objects.filter(pk=budget.pk).update(amount=Decimal("0.000001"))
    asked = provider.posts(sandbox, "/chat/completions")
    assert "Take less, or ask a manager" in ask(client, deployment)
    # Nobody entered the teacher's price, and this budget allows no unknown ones.
    assert "Nobody has entered what this costs" in ask(client, deployment, "teacher")
    assert provider.posts(sandbox, "/chat/completions") == asked


def test_what_was_refused_costs_nothing_and_what_is_unknown_counts(
    deployment: Deployment, builder: User, sandbox: Sandbox, client_of: "Callable[[User], Client]"
) -> None:
    client = client_of(builder)
    for kind in ("input", "output"):
        Price.objects.create(model="gpt-4o-mini", kind=kind, amount=1, as_of=timezone.now().date())
    for status, state in ((429, "released"), (500, "settled")):
        rule = {"kind": "status", "status": status, "path": "*/chat/completions", "times": 1}
        provider.faults(sandbox, rule)
        assert "It did not answer" in ask(client, deployment)
        assert Spending.objects.latest("id").state == state


def test_the_answer_can_be_had_again_by_code(
    deployment: Deployment, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    page = ask(client_of(builder), deployment)
    assert "client.chat.completions.create(" in page
    assert "store=False" in page
    assert "curl " in page


def test_a_row_and_a_completion_fill_the_prompt(
    deployment: Deployment, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    client, url = client_of(builder), reverse("datasets:try", args=[deployment.pk])
    version = version_of(deployment)
    example = version.examples.filter(line=2).select_related("completion").get()
    known = trying.prompt_of_row(version, 2)
    assert known.user
    assert known.user in client.get(url, {"row": "2"}).content.decode()
    page = client.get(url, {"completion": str(example.completion_id)}).content.decode()
    assert known.user in page
    assert client.get(url, {"row": "9999"}).status_code == 200
    assert example.completion is not None
    assert (
        known.user in client.get(url, {"completion": f" {example.completion.upstream_id}"}).content.decode()
    )
    for nonsense in ("999999", "chatcmpl-none", "<b>\x00", "9" * 300):
        assert "no such completion" in client.get(url, {"completion": nonsense}).content.decode()


def test_a_completion_that_one_may_not_read_is_not_shown(
    deployment: Deployment, client_of: "Callable[[User], Client]"
) -> None:
    secret = factories.make_completion(factories.connection(), prompt="Ours alone")
    person = factories.user(role="builder", connection=deployment.connection)
    client, url = client_of(person), reverse("datasets:try", args=[deployment.pk])
    for name in (str(secret.pk), secret.upstream_id):
        page = client.get(url, {"completion": name}).content.decode()
        assert "no such completion" in page
        assert "Ours alone" not in page
    fields = posted(deployment, source=f"completion:{secret.pk}")
    page = client.post(reverse("datasets:try_sides", args=[deployment.pk]), fields).content.decode()
    assert f"completion:{secret.pk}" not in page


def test_only_who_may_act_may_try_and_only_on_connections_that_are_theirs(
    deployment: Deployment, reader: User, client_of: "Callable[[User], Client]"
) -> None:
    url = reverse("datasets:try", args=[deployment.pk])
    assert client_of(reader).get(url).status_code == 403
    other = factories.connection(state=Connection.State.CONNECTED)
    person = factories.user(role="builder", connection=deployment.connection)
    fields = posted(deployment, side="teacher", **{"teacher-connection": str(other.pk)})
    answer = client_of(person).post(reverse("datasets:try_answer", args=[deployment.pk]), fields)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "line",
    [
        {"messages": [ASKED, {"role": "assistant", "content": "Team.", "weight": 1}]},
        {"input": {"messages": [ASKED]}, "preferred_output": [{"role": "assistant", "content": "Team."}]},
        {"item": {"input": [ASKED], "reference": "Team."}},
        {"item": {"input": "Which plan has SSO?", "output": "Team."}},
    ],
)
def test_a_row_of_each_purpose_gives_its_prompt_and_the_known_answer(line: dict[str, Any]) -> None:
    prompt = of_line(json.loads(json.dumps(line)))
    assert prompt.messages == (ASKED,)
    assert (prompt.user, prompt.answer) == ("Which plan has SSO?", "Team.")


def test_what_was_not_edited_is_sent_as_it_was() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    asked = {"role": "user", "content": [{"type": "text", "text": "Line\nbreak"}, picture]}
    first = {"role": "developer", "content": "Be short."}
    prompt = Prompt(
        (first, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, asked)
    )
    assert prompt.between == 2
    assert prompt.changed("Be short.", "Line\r\nbreak") == prompt
    changed = prompt.changed("Be long.", "Else")
    assert changed.messages[0] == {"role": "system", "content": "Be long."}
    assert changed.messages[-1]["content"] == [{"type": "text", "text": "Else"}, picture]
    assert prompt.changed("", "Else").messages[0]["role"] == "user"
