"""A deployment is deleted once, is gone when Azure no longer has it, and its name is free again."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from datasets.finetune import deploy, undeploy
from datasets.models import Deployment, FineTune
from portal.models import Connection, RemoteAction, User
from portal.sandbox import Sandbox
from portal.upstream import UpstreamError, connect
from tests.datasets import material, provider
from tests.datasets.provider import created, faults

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sandbox(rows=0, rows_elsewhere=0)]
State = Deployment.State
NAME, MODEL = "student", "gpt-4o-2024-08-06"


@pytest.fixture(autouse=True)
def _short_times(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RECONCILE_EVERY_SECONDS": 0.05,
        "RECONCILE_SECONDS": 0.2,
        "DEPLOY_POLL_SECONDS": 0.1,
    }.items():
        setattr(settings, name, value)
        monkeypatch.setenv(name, str(value))


@pytest.fixture
def connection(sandbox: Sandbox) -> Connection:
    return provider.azure(sandbox, auth="entra_managed", secret="", state=Connection.State.CONNECTED)


@pytest.fixture
def deployment(connection: Connection, builder: User) -> Deployment:
    """One that answers, made by a finished job."""
    tune = FineTune.objects.create(
        connection=connection,
        base_model=MODEL,
        seed=1,
        state=FineTune.State.SUCCEEDED,
        fine_tuned_model=MODEL,
    )
    made = deploy.begin(tune, builder, model=MODEL, name=NAME, sku="Standard", capacity=1)
    put(connection, MODEL)
    RemoteAction.objects.all().delete()
    action = RemoteAction.objects.create(
        kind="deploy",
        connection=connection,
        dedupe_key=f"deployment:{NAME}",
        state="confirmed",
        remote_id=NAME,
    )
    assert made.operation is not None
    made.operation.delete()
    made.state, made.ready_at, made.action, made.operation = State.READY, made.created, action, None
    made.save()
    return made


def put(connection: Connection, model: str) -> None:
    with connect(connection) as upstream:
        body = {
            "sku": {"name": "Standard", "capacity": 1},
            "properties": {"model": {"name": model, "version": "1"}},
        }
        upstream.put_deployment(NAME, body)


def deletes(sandbox: Sandbox) -> int:
    return provider.posts(sandbox, f"/deployments/{NAME}", "DELETE")


def settle(deployment: Deployment) -> Deployment:
    material.drain(kinds=[undeploy.KIND])
    deployment.refresh_from_db()
    return deployment


@pytest.mark.engines
def test_it_is_deleted_once_and_its_name_is_free_again(
    deployment: Deployment, sandbox: Sandbox, builder: User
) -> None:
    assert undeploy.request(deployment, builder)
    assert not undeploy.request(deployment, builder)
    assert settle(deployment).state == State.DELETED
    assert deployment.deleted_at is not None
    assert deletes(sandbox) == len(created(sandbox, "deleted:deployment")) == 1
    assert deployment.fine_tune is not None
    again = deploy.begin(deployment.fine_tune, builder, model=MODEL, name=NAME, sku="Standard", capacity=1)
    assert again != deployment
    assert again.state == State.CREATING
    material.drain(kinds=[deploy.KIND])
    again.refresh_from_db()
    assert again.state == State.READY
    assert undeploy.request(again, builder)
    assert settle(again).state == State.DELETED
    assert deletes(sandbox) == 2


def test_a_deletion_whose_answer_is_lost_is_not_sent_again(
    deployment: Deployment, sandbox: Sandbox, builder: User
) -> None:
    faults(
        sandbox,
        {"kind": "drop", "effect": "after", "path": f"*/deployments/{NAME}", "method": "DELETE", "times": 1},
    )
    undeploy.request(deployment, builder)
    assert settle(deployment).state == State.DELETED
    assert deletes(sandbox) == 1


def test_one_that_is_still_there_when_nobody_knows_stays_and_says_so(
    deployment: Deployment, sandbox: Sandbox, builder: User
) -> None:
    faults(
        sandbox,
        {"kind": "status", "status": 500, "path": f"*/deployments/{NAME}", "method": "DELETE", "times": 1},
    )
    undeploy.request(deployment, builder)
    settle(deployment)
    assert deployment.state == State.READY
    assert "still there" in deployment.error["message"]
    assert deletes(sandbox) == 1
    assert undeploy.request(deployment, builder)
    assert settle(deployment).state == State.DELETED
    assert deletes(sandbox) == 2


def test_a_refused_deletion_is_told(deployment: Deployment, sandbox: Sandbox, builder: User) -> None:
    faults(
        sandbox,
        {"kind": "status", "status": 403, "path": f"*/deployments/{NAME}", "method": "DELETE", "times": 1},
    )
    undeploy.request(deployment, builder)
    settle(deployment)
    assert deployment.state == State.READY
    assert deployment.error["kind"] == "forbidden"


def test_a_name_that_serves_another_model_by_now_is_left_alone(
    deployment: Deployment, sandbox: Sandbox, builder: User
) -> None:
    put(deployment.connection, "gpt-4o-mini-2024-07-18")
    undeploy.request(deployment, builder)
    settle(deployment)
    assert deployment.state == State.READY
    assert "left alone" in deployment.error["message"]
    assert deletes(sandbox) == 0


def test_one_that_azure_took_away_is_seen_when_somebody_looks(
    deployment: Deployment, sandbox: Sandbox, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    client, url = client_of(builder), reverse("datasets:deployment_look", args=[deployment.pk])
    assert b"Azure has it." in client.post(url, follow=True).content
    with connect(deployment.connection) as upstream:
        upstream.delete_deployment(NAME)
        with pytest.raises(UpstreamError):
            upstream.get_deployment(NAME)
    assert b"Azure no longer has it." in client.post(url, follow=True).content
    deployment.refresh_from_db()
    assert deployment.state == State.DELETED


def test_only_who_may_act_may_delete(
    deployment: Deployment, sandbox: Sandbox, reader: User, client_of: "Callable[[User], Client]"
) -> None:
    url = reverse("datasets:deployment_delete", args=[deployment.pk])
    assert client_of(reader).post(url).status_code == 403
    page = client_of(reader).get(reverse("datasets:deployment", args=[deployment.pk])).content
    assert b"Delete" not in page


def test_the_developer_tier_says_when_it_leaves(
    deployment: Deployment, reader: User, client_of: "Callable[[User], Client]"
) -> None:
    url = reverse("datasets:deployment", args=[deployment.pk])
    assert b"after 24 hours" not in client_of(reader).get(url).content
    Deployment.objects.update(sku="DeveloperTier")
    assert b"after 24 hours" in client_of(reader).get(url).content
