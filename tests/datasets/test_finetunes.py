"""A job is followed until it ends: status, events, checkpoints, curve, cancellation."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.storage import storages
from django.urls import reverse
from django.utils import timezone

from datasets.build import files
from datasets.finetune import cancel, follow, launch, metrics, picture
from datasets.models import Checkpoint, Deployment, FineTune, FineTuneEvent
from portal import operations
from portal.models import AuditEntry, Connection, Operation, RemoteAction, User
from portal.sandbox import Sandbox
from portal.upstream import connect
from tests.datasets import jobs, material, provider
from tests.datasets.provider import JOBS, advance, faults, posts

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60),
]
State = FineTune.State


@pytest.fixture(autouse=True)
def _short_times(settings: Any) -> None:
    settings.RECONCILE_EVERY_SECONDS, settings.RECONCILE_SECONDS, settings.FILE_POLL_SECONDS = 0.05, 0.3, 0.2


@pytest.fixture
def connection(sandbox: Sandbox) -> Connection:
    return provider.azure(sandbox)


def running(builder: User, connection: Connection, sandbox: Sandbox, **fields: Any) -> FineTune:
    """A job that was launched and has not yet begun to train."""
    tune = material.prepared(builder, connection, **fields)
    launch.begin(tune, builder)
    material.step(launch.KIND)
    advance(sandbox, 10)
    material.drain(kinds=[launch.KIND])
    tune.refresh_from_db()
    assert tune.state == State.RUNNING
    return tune


@pytest.fixture
def tune(builder: User, connection: Connection, sandbox: Sandbox) -> FineTune:
    return running(builder, connection, sandbox)


def look(tune: FineTune) -> FineTune:
    material.step(follow.KIND)
    tune.refresh_from_db()
    return tune


@pytest.mark.engines
def test_a_job_is_followed_to_its_model(tune: FineTune, sandbox: Sandbox) -> None:
    advance(sandbox, 30)
    look(tune)
    assert (tune.state, tune.status) == (State.RUNNING, "running")
    half = tune.events.count()
    assert half > 2
    assert picture.charts(tune, [])[0].xs[0] == 1
    advance(sandbox, 60)
    look(tune)
    assert (tune.state, tune.status) == (State.SUCCEEDED, "succeeded")
    assert tune.fine_tuned_model.startswith("gpt-4.1-mini-2025-04-14.ft-")
    assert tune.trained_tokens
    assert tune.finished is not None
    assert tune.events.count() > half
    assert Checkpoint.objects.filter(fine_tune=tune).count() == 3
    assert tune.curve[-1]["train_loss"] < tune.curve[0]["train_loss"]
    operation = Operation.objects.get(kind=follow.KIND)
    assert operation.state == Operation.State.DONE
    assert AuditEntry.objects.filter(verb="fine_tune.ended").count() == 1


def test_no_event_is_lost_or_doubled_however_often_one_looks(tune: FineTune, sandbox: Sandbox) -> None:
    for _ in range(4):
        advance(sandbox, 12)
        look(tune)
        look(tune)
    advance(sandbox, 60)
    look(tune)
    with connect(tune.connection) as upstream:
        wanted = {event.id for event in upstream.job_events(tune.remote_id)}
    assert set(tune.events.values_list("upstream_id", flat=True)) == wanted
    assert tune.events.count() == len(wanted)


@pytest.mark.engines
def test_every_connection_has_one_follower_however_often_the_bell_rings(tune: FineTune) -> None:
    for _ in range(3):
        follow.begin_everywhere()
    assert Operation.objects.filter(kind=follow.KIND).count() == 1


def test_a_job_that_fails_shows_what_the_provider_said(
    builder: User, connection: Connection, sandbox: Sandbox, client_of: "Callable[[User], Client]"
) -> None:
    tune = material.prepared(builder, connection)
    with files.open_file(tune.trained_on) as file:
        jobs.change_file(tune, b"".join(file.readlines()[:5]))
    launch.begin(tune, builder)
    material.step(launch.KIND)
    advance(sandbox, 10)
    material.drain(kinds=[launch.KIND])
    advance(sandbox, 60)
    look(tune)
    assert (tune.state, tune.error["code"]) == (State.FAILED, "invalid_training_file")
    page = client_of(builder).get(reverse("datasets:finetune", args=[tune.pk])).content.decode()
    assert "Training file has 5 example(s), but must have at least 10 examples" in page


@pytest.mark.engines
def test_a_running_job_is_cancelled_once(tune: FineTune, sandbox: Sandbox, builder: User) -> None:
    assert cancel.request(tune, builder)
    assert not cancel.request(tune, builder)
    material.drain(kinds=[cancel.KIND])
    look(tune)
    assert (tune.state, tune.status) == (State.CANCELLED, "cancelled")
    assert posts(sandbox, f"{tune.remote_id}/cancel") == 1


def test_a_cancellation_that_loses_the_race_ends_as_what_happened(
    tune: FineTune, sandbox: Sandbox, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    advance(sandbox, 90)
    assert cancel.request(tune, builder)
    material.drain(kinds=[cancel.KIND])
    look(tune)
    assert tune.state == State.SUCCEEDED
    assert Operation.objects.get(kind=cancel.KIND).state == Operation.State.DONE
    page = client_of(builder).get(reverse("datasets:finetune", args=[tune.pk]))
    assert b"The cancellation came too late" in page.content


def test_a_cancellation_whose_answer_is_lost_is_not_sent_again(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    faults(
        sandbox, {"kind": "drop", "effect": "after", "method": "POST", "path": f"{JOBS}/*/cancel", "times": 1}
    )
    cancel.request(tune, builder)
    material.drain(kinds=[cancel.KIND])
    assert posts(sandbox, f"{tune.remote_id}/cancel") == 1
    assert RemoteAction.objects.get(kind="cancel").state == RemoteAction.State.CONFIRMED


def test_cancelling_before_anything_was_sent_sends_nothing(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    tune = material.prepared(builder, connection)
    launch.begin(tune, builder)
    cancel.request(tune, builder)
    material.drain()
    tune.refresh_from_db()
    assert tune.state == State.CANCELLED
    assert posts(sandbox) == posts(sandbox, "/files") == 0


def test_cancelling_while_the_file_is_imported_makes_no_job(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    tune = material.prepared(builder, connection)
    launch.begin(tune, builder)
    material.step(launch.KIND)
    tune.refresh_from_db()
    assert tune.state == State.PROCESSING
    cancel.request(tune, builder)
    material.drain()
    tune.refresh_from_db()
    assert tune.state == State.CANCELLED
    assert posts(sandbox) == 0
    assert launch.try_again(tune, builder)
    advance(sandbox, 20)
    material.drain(kinds=[launch.KIND])
    tune.refresh_from_db()
    assert tune.state == State.RUNNING
    assert posts(sandbox) == posts(sandbox, "/files") == 1


def test_cancelling_while_the_outcome_is_unknown_cancels_what_is_found(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    tune = material.prepared(builder, connection)
    launch.begin(tune, builder)
    material.step(launch.KIND)
    advance(sandbox, 10)
    faults(
        sandbox,
        {"kind": "status", "status": 500, "effect": "after", "method": "POST", "path": JOBS, "times": 1},
    )
    material.step(launch.KIND)
    cancel.request(tune, builder)
    material.drain(kinds=[launch.KIND, cancel.KIND])
    look(tune)
    assert tune.state == State.CANCELLED
    assert posts(sandbox) == posts(sandbox, f"{tune.remote_id}/cancel") == 1


def test_an_operation_cancelled_while_the_outcome_is_unknown_leaves_a_question(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    tune = material.prepared(builder, connection)
    operation = launch.begin(tune, builder)
    material.step(launch.KIND)
    advance(sandbox, 10)
    faults(sandbox, {"kind": "drop", "effect": "after", "method": "POST", "path": JOBS, "times": 1})
    material.step(launch.KIND)
    operations.cancel(operation, builder)
    tune.refresh_from_db()
    assert tune.state == State.ASKING
    assert not launch.decide(tune, "again", builder)
    assert launch.decide(tune, "look", builder)
    material.drain(kinds=[launch.KIND])
    tune.refresh_from_db()
    assert tune.state == State.RUNNING
    assert posts(sandbox) == 1


def test_a_file_that_the_provider_cannot_use_ends_the_launch_with_its_reason(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    tune = material.prepared(builder, connection)
    jobs.change_file(tune, b"this is no json\n" * 12)
    launch.begin(tune, builder)
    material.step(launch.KIND)
    advance(sandbox, 20)
    material.drain(kinds=[launch.KIND])
    tune.refresh_from_db()
    assert tune.state == State.FAILED
    assert "could not use the training file" in tune.error["message"]
    assert posts(sandbox) == 0


def test_a_file_that_was_changed_on_the_disk_is_never_sent(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    tune = material.prepared(builder, connection)
    with storages["artifacts"].open(tune.trained_on.path, "r+b") as file:
        file.write(b"X")
    launch.begin(tune, builder)
    material.drain(kinds=[launch.KIND])
    tune.refresh_from_db()
    assert (tune.state, tune.error["kind"]) == (State.FAILED, "file_differs")
    assert posts(sandbox, "/files") == 0


def test_a_job_that_vanished_upstream_is_told_and_given_up_after_a_while(
    tune: FineTune, sandbox: Sandbox
) -> None:
    FineTune.objects.filter(pk=tune.pk).update(remote_id="ftjob-unknown")
    look(tune)
    assert (tune.state, tune.error["kind"]) == (State.RUNNING, "lost")
    long_ago = (timezone.now() - timedelta(hours=1)).timestamp()
    FineTune.objects.filter(pk=tune.pk).update(error={**tune.error, "since": long_ago})
    look(tune)
    assert tune.state == State.FAILED


def test_one_job_that_cannot_be_read_does_not_hide_the_others(
    tune: FineTune, sandbox: Sandbox, builder: User, connection: Connection
) -> None:
    other = running(builder, connection, sandbox)
    faults(sandbox, {"kind": "status", "status": 404, "path": f"{JOBS}/{tune.remote_id}/events"})
    advance(sandbox, 90)
    material.step(follow.KIND)
    other.refresh_from_db()
    assert other.state == State.SUCCEEDED


def test_an_unknown_status_counts_as_going_on_and_is_shown(tune: FineTune) -> None:
    tune.status = "hibernating"
    assert picture.in_words(tune) == "The provider says “hibernating”"


def test_on_openai_the_model_answers_at_once(builder: User, sandbox: Sandbox) -> None:
    connection = provider.openai(sandbox)
    tune = running(builder, connection, sandbox)
    advance(sandbox, 90)
    look(tune)
    deployment = Deployment.objects.get()
    assert (deployment.state, deployment.name) == (Deployment.State.READY, tune.fine_tuned_model)
    with connect(connection) as upstream:
        assert upstream.chat(deployment.name, [{"role": "user", "content": "Hi"}], store=False).text


TWO_STEPS = [
    {"step": 1, "train_loss": 2.5},
    {"step": 2, "train_loss": 1.5, "valid_mean_token_accuracy": 0.5},
]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"step,train_loss,validation_mean_token_accuracy\n1,2.5,\n2,1.5,0.5\n", TWO_STEPS),
        (b"c3RlcCx0cmFpbl9sb3NzCjEsMi4wCg==", [{"step": 1, "train_loss": 2.0}]),
        (b"step,train_loss,valid_loss\n1,nan,-1\n", [{"step": 1}]),
        (b"train_loss\n1\n", []),
        (b"\xff\xfe", []),
        (b"", []),
    ],
)
def test_result_files_are_read_by_the_names_of_their_columns(
    content: bytes, rows: list[dict[str, float]]
) -> None:
    assert metrics.of_csv(content) == rows


@pytest.mark.engines
def test_the_job_page_polls_while_the_job_lives_and_stops_after(
    tune: FineTune, sandbox: Sandbox, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    client, url = client_of(builder), reverse("datasets:finetune", args=[tune.pk])
    fragment = {"HX-Request": "true", "HX-Target": "job"}
    answer = client.get(url, headers=fragment)
    assert b"hx-trigger" in answer.content
    stamp = answer.content.decode().partition("?seen=")[2][:16]
    seen = f"{url}?seen={stamp}"
    assert client.get(seen, headers=fragment).status_code == 204
    look(tune)
    assert client.get(seen, headers=fragment).status_code == 200
    advance(sandbox, 90)
    look(tune)
    page = client.get(url, headers=fragment).content
    assert b"hx-trigger" not in page
    assert b"<html" not in page
    assert b"Loss by step" in page


def test_what_a_provider_says_is_text_and_never_markup(
    tune: FineTune, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    evil = "<img src=x onerror=alert(1)>"
    FineTuneEvent.objects.create(fine_tune=tune, upstream_id="e", created=1, level="error", message=evil)
    FineTune.objects.filter(pk=tune.pk).update(
        error={"kind": "job", "code": evil, "message": evil}, fine_tuned_model=evil, status=evil
    )
    page = client_of(builder).get(reverse("datasets:finetune", args=[tune.pk])).content.decode()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
