"""A fine-tuned model gets a name on Azure once, and is ready when it answers."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from datasets.finetune import deploy, follow, launch
from datasets.models import Deployment, FineTune
from portal.models import Connection, Operation, RemoteAction, User
from portal.sandbox import Sandbox
from portal.upstream import connect
from tests.datasets import material, provider
from tests.datasets.provider import advance, crash_at, created, faults

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60),
]
State = Deployment.State
NAME = "summaries"


@pytest.fixture(autouse=True)
def _short_times(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {
        "RECONCILE_EVERY_SECONDS": 0.05,
        "RECONCILE_SECONDS": 0.3,
        "FILE_POLL_SECONDS": 0.2,
        "DEPLOY_POLL_SECONDS": 0.2,
    }
    for name, value in short.items():
        setattr(settings, name, value)
        monkeypatch.setenv(name, str(value))


@pytest.fixture
def connection(sandbox: Sandbox) -> Connection:
    return provider.azure(sandbox, auth="entra_managed", secret="")


@pytest.fixture
def tune(builder: User, connection: Connection, sandbox: Sandbox) -> FineTune:
    """A job that has succeeded."""
    made = material.prepared(builder, connection)
    launch.begin(made, builder)
    material.step(launch.KIND)
    advance(sandbox, 10)
    material.drain(kinds=[launch.KIND])
    advance(sandbox, 90)
    material.step(follow.KIND)
    made.refresh_from_db()
    assert made.state == FineTune.State.SUCCEEDED
    return made


def ask(tune: FineTune, user: User, **fields: Any) -> Deployment:
    wanted: dict[str, Any] = {"model": tune.fine_tuned_model, "name": NAME, "sku": "GlobalStandard"}
    wanted |= {"capacity": 5} | fields
    return deploy.begin(tune, user, **wanted)


def puts(sandbox: Sandbox, name: str = NAME) -> int:
    return provider.posts(sandbox, f"/deployments/{name}", "PUT")


def settle(deployment: Deployment, sandbox: Sandbox) -> Deployment:
    """Work until it ends; the service's clock moves on with every step, ours by itself."""

    def ended() -> bool:
        advance(sandbox, 2)
        return not material.step(deploy.KIND).is_live

    provider.wait_until(ended)
    deployment.refresh_from_db()
    return deployment


@pytest.mark.engines
def test_a_deployment_is_made_once_and_ready_when_it_answers(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    deployment = ask(tune, builder)
    material.step(deploy.KIND)
    deployment.refresh_from_db()
    assert (deployment.state, puts(sandbox)) == (State.CREATING, 1)
    settle(deployment, sandbox)
    assert (deployment.state, deployment.status) == (State.READY, "Succeeded")
    assert deployment.ready_at is not None
    assert puts(sandbox) == len(created(sandbox, "created:deployment")) == 1
    with connect(tune.connection) as upstream:
        assert upstream.chat(NAME, [{"role": "user", "content": "Hi"}], store=False).text
        assert upstream.get_deployment(NAME).raw["sku"] == {"name": "GlobalStandard", "capacity": 5}


def test_it_is_not_ready_while_calls_still_miss_it(tune: FineTune, sandbox: Sandbox, builder: User) -> None:
    deployment = ask(tune, builder)
    faults(sandbox, {"kind": "status", "status": 404, "path": "/chat/completions", "times": 3})
    seen = set()
    for _ in range(40):
        advance(sandbox, 2)
        live = material.step(deploy.KIND).is_live
        deployment.refresh_from_db()
        seen.add(deployment.state)
        if not live:
            break
    assert seen == {State.CREATING, State.WARMING, State.READY}


def test_asking_whether_it_answers_stores_nothing(tune: FineTune, sandbox: Sandbox, builder: User) -> None:
    settle(ask(tune, builder), sandbox)
    with connect(tune.connection) as upstream:
        assert upstream.list_stored().items == ()


def test_the_same_request_twice_is_one_deployment(tune: FineTune, sandbox: Sandbox, builder: User) -> None:
    assert ask(tune, builder) == ask(tune, builder)
    settle(Deployment.objects.get(), sandbox)
    assert Operation.objects.filter(kind=deploy.KIND).count() == puts(sandbox) == 1


@pytest.mark.engines
@pytest.mark.parametrize("point", ["planned", "answered", "confirmed"])
def test_a_deployment_killed_at_any_point_is_made_once(
    tune: FineTune, sandbox: Sandbox, builder: User, point: str
) -> None:
    deployment = ask(tune, builder)
    crash_at(f"deploy.{point}")
    settle(deployment, sandbox)
    assert deployment.state == State.READY
    assert puts(sandbox) == 1


@pytest.mark.engines
def test_a_deployment_killed_before_it_was_sent_is_asked_about(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    deployment = ask(tune, builder)
    crash_at("deploy.sending")
    settle(deployment, sandbox)
    assert (deployment.state, puts(sandbox)) == (State.ASKING, 0)
    assert deploy.decide(deployment, "again", builder)
    settle(deployment, sandbox)
    assert (deployment.state, puts(sandbox)) == (State.READY, 1)


def test_a_name_that_serves_another_model_is_never_overwritten(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    with connect(tune.connection) as upstream:
        upstream.put_deployment(
            NAME,
            {
                "sku": {"name": "Standard", "capacity": 1},
                "properties": {"model": {"format": "OpenAI", "name": "gpt-4o-2024-08-06", "version": "1"}},
            },
        )
    deployment = settle(ask(tune, builder), sandbox)
    assert deployment.state == State.FAILED
    assert "serves gpt-4o-2024-08-06" in deployment.error["message"]
    assert puts(sandbox) == 1


def test_a_refusal_is_told_and_may_be_tried_with_other_numbers(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    deployment = settle(ask(tune, builder, capacity=5000), sandbox)
    assert deployment.state == State.FAILED
    assert "more capacity than the quota" in deployment.error["message"]
    assert deployment.action is not None
    assert deployment.action.state == RemoteAction.State.REFUSED
    again = ask(tune, builder, capacity=5)
    assert again == deployment
    assert settle(again, sandbox).state == State.READY


def test_another_model_cannot_take_the_name_of_one_that_answers(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    settle(ask(tune, builder), sandbox)
    with pytest.raises(deploy.Taken):
        ask(tune, builder, model="ftchkpt-other")


def test_the_page_deploys_and_shows_the_state(
    tune: FineTune, sandbox: Sandbox, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    client = client_of(builder)
    url = reverse("datasets:deploy", args=[tune.pk])
    page = client.get(url).content.decode()
    assert tune.fine_tuned_model in page
    assert "checkpoint at step" in page
    form = {"model": tune.fine_tuned_model, "name": NAME, "sku": "Standard", "capacity": "3"}
    for wrong in ({"name": "-bad"}, {"name": ""}, {"capacity": "0"}, {"sku": "Huge"}, {"model": "gpt-4o"}):
        assert client.post(url, form | wrong).status_code == 422
    assert not Deployment.objects.exists()
    answer = client.post(url, form)
    deployment = Deployment.objects.get()
    assert answer["Location"] == reverse("datasets:deployment", args=[deployment.pk])
    assert b"Azure creates the deployment" in client.get(answer["Location"]).content
    settle(deployment, sandbox)
    assert b"Use it" in client.get(answer["Location"]).content


@pytest.mark.parametrize("missing", [{"subscription_id": ""}, {"auth": "key"}])
def test_without_management_ids_or_entra_the_page_explains_what_is_missing(
    tune: FineTune, builder: User, client_of: "Callable[[User], Client]", missing: dict[str, str]
) -> None:
    Connection.objects.update(**missing)
    client, url = client_of(builder), reverse("datasets:deploy", args=[tune.pk])
    assert b"subscription, the resource group and the account name" in client.get(url).content
    form = {"model": tune.fine_tuned_model, "name": NAME, "sku": "Standard", "capacity": "3"}
    client.post(url, form)
    assert not Deployment.objects.exists()
