"""A job is paused and goes on where the provider can; what it says meanwhile is shown and not guessed at."""

from typing import Any

import pytest

from datasets.finetune import cancel, events, pause
from datasets.models import FineTune, FineTuneEvent
from portal.models import AuditEntry, Connection, Operation, RemoteAction, User
from portal.sandbox import Sandbox
from portal.upstream import EventInfo
from tests.datasets import jobs, material, provider
from tests.datasets.provider import JOBS, advance, faults, posts

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


@pytest.fixture
def tune(builder: User, connection: Connection, sandbox: Sandbox) -> FineTune:
    return jobs.training(builder, connection, sandbox)


def asked(sandbox: Sandbox, tune: FineTune, what: str) -> int:
    return posts(sandbox, f"{tune.remote_id}/{what}")


@pytest.mark.parametrize("surface", ["azure", "openai"])
@pytest.mark.engines
def test_a_job_is_paused_once_goes_on_once_and_ends(builder: User, sandbox: Sandbox, surface: str) -> None:
    connection = provider.azure(sandbox) if surface == "azure" else provider.openai(sandbox)
    tune = jobs.training(builder, connection, sandbox)
    for _ in range(2):
        pause.begin(tune, builder)
    material.drain(kinds=[pause.KIND])
    advance(sandbox, 5)
    jobs.look(tune)
    assert (tune.state, tune.status, asked(sandbox, tune, "pause")) == (State.PAUSED, "paused", 1)
    advance(sandbox, 500)
    assert jobs.look(tune).state == State.PAUSED
    for _ in range(2):
        pause.resume(tune, builder)
    material.drain(kinds=[pause.KIND])
    advance(sandbox, 5)
    assert (jobs.look(tune).state, asked(sandbox, tune, "resume")) == (State.RUNNING, 1)
    pause.begin(tune, builder)
    material.drain(kinds=[pause.KIND])
    assert asked(sandbox, tune, "pause") == 2
    advance(sandbox, 5)
    jobs.look(tune)
    pause.resume(tune, builder)
    material.drain(kinds=[pause.KIND])
    advance(sandbox, 90)
    assert jobs.look(tune).state == State.SUCCEEDED
    assert AuditEntry.objects.filter(verb="fine_tune.pause_requested").count() == 2


def test_a_pause_whose_answer_is_lost_is_looked_up_and_not_sent_again(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    faults(sandbox, {"kind": "drop", "effect": "after", "method": "POST", "path": f"{JOBS}/*/pause"})
    pause.begin(tune, builder)
    material.drain(kinds=[pause.KIND])
    assert asked(sandbox, tune, "pause") == 1
    assert RemoteAction.objects.get(kind="pause").state == RemoteAction.State.CONFIRMED


def test_a_pause_that_never_arrived_says_so_and_may_be_asked_for_again(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    faults(sandbox, {"kind": "drop", "method": "POST", "path": f"{JOBS}/*/pause"})
    operation = pause.begin(tune, builder)
    material.drain(kinds=[pause.KIND])
    operation.refresh_from_db()
    assert (operation.state, operation.error_code) == (Operation.State.FAILED, "no_effect")
    faults(sandbox)
    pause.begin(tune, builder)
    material.drain(kinds=[pause.KIND])
    assert Operation.objects.filter(kind=pause.KIND).latest("id").state == Operation.State.DONE


def test_a_job_that_ended_first_is_not_a_failed_pause(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    pause.begin(tune, builder)
    advance(sandbox, 90)
    material.drain(kinds=[pause.KIND])
    operation = Operation.objects.get(kind=pause.KIND)
    assert (operation.state, operation.result["status"]) == (Operation.State.DONE, "succeeded")


def test_a_provider_that_cannot_pause_is_told_in_words(
    tune: FineTune, sandbox: Sandbox, builder: User
) -> None:
    faults(
        sandbox,
        {"kind": "status", "status": 404, "method": "POST", "path": f"{JOBS}/*/pause", "code": "404"},
    )
    operation = pause.begin(tune, builder)
    material.drain(kinds=[pause.KIND])
    operation.refresh_from_db()
    assert operation.error_text == "This provider cannot pause jobs."


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"status": "queued"}, "training"),
        ({"state": State.SUCCEEDED}, "ended"),
        ({"elsewhere": True}, "Adopt it"),
        ({"cancel_requested": True}, "training"),
    ],
)
def test_what_cannot_be_paused_is_not_asked_to(
    tune: FineTune, sandbox: Sandbox, builder: User, fields: dict[str, Any], what: str
) -> None:
    FineTune.objects.filter(pk=tune.pk).update(**fields)
    with pytest.raises(pause.NotPossible, match=what):
        pause.begin(tune, builder)
    assert asked(sandbox, tune, "pause") == 0


def test_a_paused_job_can_be_cancelled(tune: FineTune, sandbox: Sandbox, builder: User) -> None:
    pause.begin(tune, builder)
    material.drain(kinds=[pause.KIND])
    advance(sandbox, 5)
    jobs.look(tune)
    assert cancel.request(tune, builder)
    material.drain(kinds=[cancel.KIND])
    assert jobs.look(tune).state == State.CANCELLED


def event(number: int, *, event_id: str | None = None, message: str = "") -> EventInfo:
    name = f"event-{number}" if event_id is None else event_id
    return EventInfo(name, 1_000 + number, "info", message or f"Step {number}", "message", {})


@pytest.mark.parametrize(
    "told",
    [
        [event(1, event_id=""), event(2, event_id=""), event(3, event_id="")],
        [event(1, event_id="same"), event(2, event_id="same"), event(3, event_id="same")],
        [event(1, event_id="", message="x" * 500 + "1"), event(1, event_id="", message="x" * 500 + "2")],
        [event(1), event(1), event(2)],
        [event(1, event_id="i" * 300 + "1"), event(2, event_id="i" * 300 + "2")],
    ],
    ids=["no id", "one id for all", "no id, long words", "one event twice", "ids too long"],
)
def test_no_event_is_lost_or_doubled_whatever_ids_it_has(
    builder: User, connection: Connection, told: list[EventInfo]
) -> None:
    tune = FineTune.objects.create(connection=connection, base_model=jobs.MODEL, seed=1, elsewhere=True)
    different = {(each.created, each.message) for each in told}
    for order in (told[:1], told, list(reversed(told)), told):
        events.keep(events.Told(tune).new_among(order))
    kept = list(FineTuneEvent.objects.values_list("created", "message"))
    assert sorted(kept) == sorted(different)


def test_pages_of_events_that_are_all_known_end_the_reading(connection: Connection) -> None:
    tune = FineTune.objects.create(connection=connection, base_model=jobs.MODEL, seed=1, elsewhere=True)
    told = [event(number) for number in range(6)]
    events.keep(events.Told(tune).new_among(told[:4]))
    known = events.Told(tune)
    assert known.all_of(told[:4])
    assert not known.all_of(told[2:])
