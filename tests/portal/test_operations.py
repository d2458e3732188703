"""Background work: one at a time, resumable, never lost, never done twice."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from portal import operations, steps
from portal import tick as rounds
from portal.leases import Keeper, claim, expire_leases_of, from_now, holder, renew
from portal.models import AuditEntry, Operation, OperationLine, User
from portal.operations import Again, Cancelled, Done, Failed, LeaseLost, Wait, Working
from portal.upstream.errors import UpstreamError

State = Operation.State
pytestmark = pytest.mark.engines
Step = Callable[[Working], Any]


@pytest.fixture
def does() -> Iterator[Callable[..., str]]:
    """`does(step)`: a kind of operation whose step is the given function."""
    made: list[str] = []

    def register(step: Step, **options: Any) -> str:
        kind = f"test.kind{len(made)}"
        operations.handler(kind, queue="house", **options)(step)
        made.append(kind)
        return kind

    yield register
    for kind in made:
        del operations._handlers[kind]


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ids of the operations that were rung for, in order."""
    heard: list[int] = []
    monkeypatch.setattr(
        "portal.operations.app.send_task", lambda name, args, queue, **options: heard.append(args[0])
    )
    return heard


def begun(kind: str, key: str = "k", **options: Any) -> Operation:
    return operations.begin(kind, title="A test", dedupe_key=key, **options)


def fresh(operation: Operation) -> Operation:
    found: Operation = Operation.objects.get(pk=operation.pk)
    return found


def due_now(operation: Operation) -> None:
    Operation.objects.filter(pk=operation.pk).update(next_run_at=from_now(-1))


@pytest.mark.django_db(transaction=True)
def test_a_step_is_claimed_run_and_ended(does: Any, rings: list[int]) -> None:
    operation = begun(does(lambda work: Done({"rows": 3})))
    assert rings == [operation.pk]
    assert steps.work_on(operation.pk)
    ended = fresh(operation)
    assert (ended.state, ended.result, ended.fence, ended.lease_owner) == (State.DONE, {"rows": 3}, 1, "")
    assert ended.finished is not None
    assert not steps.work_on(operation.pk)  # the same ring once more


@pytest.mark.django_db(transaction=True)
def test_one_live_operation_per_kind_and_key(does: Any, rings: list[int]) -> None:
    kind = does(lambda work: Done())
    first = begun(kind)
    assert begun(kind).pk == first.pk
    assert begun(kind, "another").pk != first.pk
    steps.work_on(first.pk)
    assert begun(kind).pk != first.pk


@pytest.mark.django_db(transaction=True)
def test_nothing_is_rung_for_a_transaction_that_rolls_back(does: Any, rings: list[int]) -> None:
    kind = does(lambda work: Done())

    def half_way() -> None:
        with transaction.atomic():
            begun(kind)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_way()
    assert rings == []
    assert not Operation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_begin_succeeds_although_the_broker_is_away(does: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr("portal.operations.app.send_task", refuse)
    operation = begun(does(lambda work: Done()))
    assert fresh(operation).state == State.READY


@pytest.mark.django_db(transaction=True)
def test_of_eight_deliveries_at_once_one_claims(does: Any, rings: list[int]) -> None:
    ran: list[int] = []
    gate = threading.Barrier(8)

    def step(work: Working) -> Done:
        ran.append(work.operation.fence)
        return Done()

    operation = begun(does(step))

    def deliver() -> None:
        gate.wait()
        try:
            steps.work_on(operation.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ran == [1]


@pytest.mark.django_db(transaction=True)
def test_a_writer_with_an_old_fence_changes_nothing(does: Any, rings: list[int]) -> None:
    operation = begun(does(lambda work: Done()))
    sleeper = claim(operation.pk)
    assert sleeper is not None
    expire_leases_of(holder())
    rounds.tick()
    successor = claim(operation.pk)
    assert successor is not None
    assert successor.fence == sleeper.fence + 1
    stale = Working(sleeper, Keeper(sleeper.pk, sleeper.fence))

    def write() -> None:
        with transaction.atomic():
            stale.log("this must not stay")
            stale.advance(done=7)

    with pytest.raises(LeaseLost):
        write()
    assert not OperationLine.objects.exists()
    assert not renew(sleeper.pk, sleeper.fence)
    assert not operations.end(sleeper.pk, State.DONE, fence=sleeper.fence)
    assert fresh(operation).state == State.RUNNING


@pytest.mark.django_db(transaction=True)
def test_the_side_thread_holds_the_lease_and_notices_its_loss(
    does: Any, rings: list[int], settings: Any
) -> None:
    settings.OPERATION_LEASE_SECONDS = 0.3
    operation = begun(does(lambda work: Done()))
    mine = claim(operation.pk)
    assert mine is not None
    with Keeper(mine.pk, mine.fence) as keeper:
        for _ in range(4):
            before = fresh(operation).lease_until
            keeper.lost.wait(0.3)
            after = fresh(operation).lease_until
            assert before is not None
            assert after is not None
            assert after > before
        Operation.objects.filter(pk=mine.pk).update(fence=mine.fence + 1)
        assert keeper.lost.wait(5)
        assert not Working(mine, keeper).time_left()


@pytest.mark.django_db(transaction=True)
def test_again_rings_the_next_step_and_keeps_the_cursor(does: Any, rings: list[int]) -> None:
    def step(work: Working) -> Any:
        at = work.operation.cursor.get("at", 0)
        if at == 3:
            return Done()
        work.advance(cursor={"at": at + 1}, done=at + 1, total=3)
        return Again()

    operation = begun(does(step))
    while fresh(operation).state == State.READY:
        assert steps.work_on(rings.pop())
    ended = fresh(operation)
    assert (ended.state, ended.cursor, ended.done, ended.fence) == (State.DONE, {"at": 3}, 3, 4)


@pytest.mark.django_db(transaction=True)
def test_waiting_holds_no_worker_and_is_rung_when_due(does: Any, rings: list[int]) -> None:
    answers: list[Any] = [Wait(3600, "told to wait"), Done()]
    operation = begun(does(lambda work: answers.pop(0)))
    steps.work_on(rings.pop())
    waiting = fresh(operation)
    assert (waiting.state, waiting.note, waiting.lease_owner) == (State.WAITING, "told to wait", "")
    assert not steps.work_on(operation.pk)
    rounds.tick()
    assert rings == []
    due_now(operation)
    rounds.tick()
    assert rings == [operation.pk]
    steps.work_on(operation.pk)
    assert fresh(operation).state == State.DONE


@pytest.mark.django_db(transaction=True)
def test_work_that_a_worker_does_not_know_waits_for_one_that_does(does: Any, rings: list[int]) -> None:
    operation = begun(kind := does(lambda work: Done()))
    newer = operations._handlers.pop(kind)
    try:
        assert steps.work_on(operation.pk)
    finally:
        operations._handlers[kind] = newer
    assert fresh(operation).is_live
    assert "waits for a worker" in fresh(operation).note

    due_now(operation)
    assert steps.work_on(operation.pk)
    assert fresh(operation).state == State.DONE


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_lost_everything_is_rung_again(does: Any, rings: list[int]) -> None:
    kind = does(lambda work: Done())
    lost = [begun(kind, key) for key in "abc"]
    rings.clear()
    rounds.tick()
    assert rings == []  # a ring may take a moment to be heard
    for operation in lost:
        due_now(operation)
    rounds.tick()
    rounds.tick()  # a second beat
    assert sorted(rings) == sorted(operation.pk for operation in lost)


@pytest.mark.django_db(transaction=True)
def test_a_dead_worker_is_replaced_and_progress_resets_the_count(does: Any, rings: list[int]) -> None:
    operation = begun(does(lambda work: Done()))
    for attempt in range(1, 6):
        held = claim(operation.pk)
        assert held is not None
        assert held.attempts == attempt
        expire_leases_of(holder())
        rounds.tick()
        assert fresh(operation).state == State.READY
    held = claim(operation.pk)
    assert held is not None
    Working(held, Keeper(held.pk, held.fence)).advance(done=1)
    assert fresh(operation).attempts == 0


@pytest.mark.django_db(transaction=True)
def test_nine_tries_without_progress_are_the_end(does: Any, rings: list[int]) -> None:
    operation = begun(does(lambda work: Done()))
    for _ in range(9):
        assert claim(operation.pk) is not None
        expire_leases_of(holder())
        rounds.tick()
    ended = fresh(operation)
    assert (ended.state, ended.error_code) == (State.FAILED, "worker_lost")
    assert "9 times" in ended.error_text


@pytest.mark.django_db(transaction=True)
def test_one_bad_row_never_stops_the_tick(
    does: Any, rings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = does(lambda work: Done())
    bad, good = begun(kind, "bad"), begun(kind, "good")
    due_now(bad)
    due_now(good)
    rings.clear()
    ring = operations.ring

    def explode(operation: Operation) -> None:
        if operation.pk == bad.pk:
            raise ValueError("a row that nobody foresaw")
        ring(operation)

    monkeypatch.setattr(operations, "ring", explode)
    rounds.tick()
    assert rings == [good.pk]


@pytest.mark.django_db(transaction=True)
def test_unexpected_errors_back_off_and_then_give_up(does: Any, rings: list[int]) -> None:
    def step(work: Working) -> Any:
        raise ZeroDivisionError("with a secret in it")

    operation = begun(does(step))
    for _ in range(9):
        due_now(operation)
        assert steps.work_on(operation.pk)
    ended = fresh(operation)
    assert (ended.state, ended.error_code) == (State.FAILED, "unexpected")
    assert "ZeroDivisionError" in ended.error_text
    assert "secret" not in ended.error_text


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (UpstreamError("throttled", "Slow down.", retry_after=120.0), State.WAITING, "throttled"),
        (UpstreamError("server", "Broken."), State.WAITING, "server"),
        (UpstreamError("auth", "Wrong key."), State.FAILED, "auth"),
        (Failed("too_small", "Ten examples are the least."), State.FAILED, "too_small"),
        (Cancelled(), State.CANCELLED, ""),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_how_a_step_ends_decides_what_comes_next(
    does: Any, rings: list[int], error: Exception, state: str, code: str
) -> None:
    def step(work: Working) -> Any:
        raise error

    operation = begun(does(step))
    steps.work_on(operation.pk)
    ended = fresh(operation)
    assert (ended.state, ended.error_code) == (state, code)
    # Being told to wait is not a failed try; an error upstream is.
    if code in ("throttled", "server"):
        assert ended.attempts == (0 if code == "throttled" else 1)


@pytest.mark.django_db(transaction=True)
def test_cancelling_ends_a_resting_operation_and_asks_a_running_one(
    does: Any, rings: list[int], manager: User
) -> None:
    heard: list[int] = []
    seen: list[bool] = []

    def step(work: Working) -> Any:
        seen.append(work.cancelled())
        assert operations.cancel(work.operation, manager)
        seen.append(work.cancelled())
        return Again()

    kind = does(step, ended=lambda operation: heard.append(operation.pk))
    resting, running = begun(kind, "resting", delay=60), begun(kind, "running")
    assert operations.cancel(resting, manager)
    assert not operations.cancel(resting, manager)
    assert fresh(resting).state == State.CANCELLED
    steps.work_on(running.pk)
    assert seen == [False, True]
    assert fresh(running).state == State.CANCELLED
    assert heard == [resting.pk, running.pk]
    assert AuditEntry.objects.filter(verb="operation.cancelled").count() == 2


@pytest.mark.django_db(transaction=True)
def test_trying_again_goes_on_from_the_cursor(does: Any, rings: list[int], manager: User) -> None:
    def step(work: Working) -> Any:
        if not work.operation.cursor:
            work.advance(cursor={"at": 5})
            raise Failed("no", "Not today.")
        return Done(dict(work.operation.cursor))

    failed = begun(does(step), subject=manager)
    steps.work_on(failed.pk)
    again = operations.retry(failed, manager)
    assert again.pk != failed.pk
    assert (again.subject_type, again.subject_id) == ("portal.user", str(manager.pk))
    steps.work_on(again.pk)
    assert fresh(again).result == {"at": 5}


@pytest.mark.django_db(transaction=True)
def test_operations_that_ended_long_ago_are_let_go(does: Any, rings: list[int]) -> None:
    kind = does(lambda work: Done())
    old, recent, live = begun(kind, "old"), begun(kind, "recent"), begun(kind, "live")
    for operation in (old, recent):
        steps.work_on(operation.pk)
    Operation.objects.filter(pk=old.pk).update(finished=from_now(-31 * 86400))
    Operation.objects.filter(pk=live.pk).update(created=from_now(-31 * 86400))
    rounds.tick()
    assert set(Operation.objects.values_list("pk", flat=True)) == {recent.pk, live.pk}


@pytest.mark.django_db(transaction=True)
def test_hurrying_makes_a_waiting_operation_due(does: Any, rings: list[int]) -> None:
    operation = begun(does(lambda work: Done()), delay=3600)
    assert not steps.work_on(operation.pk)
    operations.hurry(operation)
    assert rings == [operation.pk]
    assert steps.work_on(operation.pk)
