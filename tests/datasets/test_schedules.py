"""Runs that begin by themselves: once for each time that is due, with the rights of their owner then."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from datasets.evaluate import run as runs
from datasets.evaluate import schedules
from datasets.evaluate.schedules import When
from datasets.evaluate.targets import Target, stored
from datasets.models import Evaluation, Run, Schedule
from portal.celery import app
from portal.models import AuditEntry, Budget, Connection, User
from tests import factories
from tests.completions.changing import own_folder
from tests.datasets import material, measured
from tests.datasets.measured import EQUAL

pytestmark = pytest.mark.django_db(transaction=True)
NOON = When("day", time(12), "UTC")


@pytest.fixture(autouse=True)
def _own_files(settings: Any, tmp_path: Path) -> None:
    own_folder(settings, tmp_path / "files")


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection()


@pytest.fixture
def made(builder: User, source: Connection) -> Evaluation:
    return measured.evaluation(builder, measured.rows(source, 2), reference="meta:answer", graders=[EQUAL])


def scheduled(made: Evaluation, user: User, *targets: Target, when: When = NOON, **goal: Any) -> Schedule:
    """A schedule that has been due for three days."""
    schedule = schedules.save(made, user, when, targets=targets or [stored()], repetitions=1, goal=goal)
    Schedule.objects.update(next_at=timezone.now() - timedelta(days=3))
    schedule.refresh_from_db()
    return schedule


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "now", "following"),
    [
        (When("day", time(9), "Europe/Oslo"), "2026-03-28 07:59", "2026-03-28 08:00"),
        (When("day", time(9), "Europe/Oslo"), "2026-03-28 08:00", "2026-03-29 07:00"),  # in summer
        (
            When("day", time(2, 30), "Europe/Oslo"),
            "2026-03-28 12:00",
            "2026-03-29 01:30",
        ),  # there is no such
        (
            When("day", time(2, 30), "Europe/Oslo"),
            "2026-10-24 12:00",
            "2026-10-25 00:30",
        ),  # there are two
        (When("day", time(2, 30), "Europe/Oslo"), "2026-10-25 00:30", "2026-10-26 01:30"),
        (When("day", time(0), "Pacific/Kiritimati"), "2026-01-01 09:00", "2026-01-01 10:00"),
        (When("week", time(9), "UTC", weekday=0), "2026-11-21 12:00", "2026-11-23 09:00"),
        (When("week", time(9), "UTC", weekday=0), "2026-11-23 09:00", "2026-11-30 09:00"),
        (When("month", time(9), "UTC", day=31), "2026-01-31 09:00", "2026-02-28 09:00"),
        (When("month", time(9), "UTC", day=31), "2026-02-28 09:00", "2026-03-31 09:00"),
        (When("month", time(9), "UTC", day=1), "2026-12-01 09:00", "2027-01-01 09:00"),
    ],
)
def test_the_next_time_is_that_of_the_clock_on_the_wall(when: When, now: str, following: str) -> None:
    assert when.after(moment(now)) == moment(following)


@pytest.mark.engines
def test_times_that_were_missed_are_made_up_once(made: Evaluation, builder: User) -> None:
    schedule = scheduled(made, builder, at_least=0.5)
    assert schedules.begin_due() == 1
    assert schedules.begin_due() == 0
    run = Run.objects.get()
    assert (run.schedule, run.created_by) == (schedule, builder)
    assert run.goal == {"grader": "", "at_least": 0.5, "no_worse": False}
    schedule.refresh_from_db()
    assert timezone.now() < schedule.next_at <= timezone.now() + timedelta(days=1)
    assert (schedule.enabled, schedule.problem) == (True, "")
    material.drain()
    run.refresh_from_db()
    assert (run.state, run.misses) == (Run.State.DONE, [])


@pytest.mark.engines
def test_two_beats_at_once_begin_one_run(made: Evaluation, builder: User) -> None:
    scheduled(made, builder)
    begun: list[int] = []

    def beat() -> None:
        begun.append(schedules.begin_due())
        database.close()

    beats = [Thread(target=beat) for _ in range(4)]
    for each in beats:
        each.start()
    for each in beats:
        each.join()
    assert sum(begun) == Run.objects.count() == 1


@pytest.mark.engines
def test_a_kill_between_the_time_and_the_run_leaves_both_for_the_next_beat(
    made: Evaluation, builder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = scheduled(made, builder)

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runs, "_begin", die)
        with pytest.raises(Killed):
            schedules.begin_due()
    due = schedule.next_at
    schedule.refresh_from_db()
    assert schedule.next_at == due
    assert not Run.objects.exists()
    assert schedules.begin_due() == 1
    assert Run.objects.count() == 1


def test_a_run_that_has_not_ended_is_not_begun_again_and_that_is_said(
    made: Evaluation, builder: User
) -> None:
    schedule = scheduled(made, builder)
    schedules.begin_due()
    Schedule.objects.update(next_at=timezone.now() - timedelta(minutes=1))
    assert schedules.begin_due() == 0
    schedule.refresh_from_db()
    assert schedule.problem == "Run 1 of the same targets had not ended by then."
    assert schedule.enabled
    assert Run.objects.count() == 1
    material.drain()
    Schedule.objects.update(next_at=timezone.now() - timedelta(minutes=1))
    assert schedules.begin_due() == 1
    schedule.refresh_from_db()
    assert schedule.problem == ""


@pytest.mark.engines
def test_without_its_owners_rights_it_is_switched_off_and_says_why(made: Evaluation, builder: User) -> None:
    schedule = scheduled(made, builder)
    builder.grants.all().delete()
    assert schedules.begin_due() == 0
    schedule.refresh_from_db()
    assert not schedule.enabled
    assert "may no longer act" in schedule.problem
    assert AuditEntry.objects.filter(verb="schedule.switched_off", actor=None).count() == 1
    Schedule.objects.update(next_at=timezone.now() - timedelta(minutes=1))
    assert schedules.begin_due() == 0
    assert not Run.objects.exists()


def test_an_owner_who_left_switches_it_off_too(made: Evaluation, builder: User) -> None:
    schedule = scheduled(made, builder)
    User.objects.filter(pk=builder.pk).update(is_active=False)
    assert schedules.begin_due() == 0
    schedule.refresh_from_db()
    assert "is not here any more" in schedule.problem


def test_what_the_budget_refuses_is_noted_and_tried_at_the_next_time(
    made: Evaluation, builder: User, source: Connection
) -> None:
    Budget.objects.create(connection=source, amount=Decimal(1))
    schedule = scheduled(made, builder, measured.fresh(source))
    assert schedules.begin_due() == 0
    schedule.refresh_from_db()
    assert schedule.enabled
    assert "Nobody has entered what this costs" in schedule.problem
    assert schedule.next_at > timezone.now()
    assert not Run.objects.exists()


def test_beat_rings_for_it() -> None:
    assert "datasets.tasks.begin_runs" in {entry["task"] for entry in app.conf.beat_schedule.values()}


def fields(**changed: Any) -> dict[str, Any]:
    return {
        "every": "week",
        "at": "09:30",
        "zone": "Europe/Oslo",
        "weekday": "2",
        "day": "1",
        "repetitions": "1",
        "at_least": "90",
    } | changed


def test_a_person_sets_it_up_switches_it_and_deletes_it(
    made: Evaluation, builder: User, client_of: Callable[[User], Client]
) -> None:
    made.setup |= {"targets": [stored().as_dict()]}
    made.save()
    page = reverse("datasets:evaluation", args=[made.pk])
    form = reverse("datasets:schedule", args=[made.pk])
    client = client_of(builder)
    assert client.get(form)["Location"] == page  # not before its first run
    runs.start(made, [stored()], builder)
    material.drain()
    assert "Run it regularly" in client.get(page).text
    assert 'value="UTC"' in client.get(form).text

    wrong = client.post(form, fields(zone="Nowhere/Land", at="25:00", every="year"))
    assert wrong.status_code == 422
    for said in ("not a time zone", "Enter a valid time", "not one of the available choices"):
        assert said in wrong.text
    assert not Schedule.objects.exists()

    assert client.post(form, fields())["Location"] == page
    schedule = Schedule.objects.get()
    when = When.of(schedule)
    assert (when.at, when.zone, when.weekday) == (time(9, 30), "Europe/Oslo", 2)
    assert schedule.next_at.weekday() == 2
    shown = client.get(page).text
    assert "Every Wednesday at 09:30 (Europe/Oslo)" in shown
    assert "at least 90%" in shown

    switch = reverse("datasets:schedule_switch", args=[made.pk])
    client.post(switch, {"on": ""})
    assert "Switched off" in client.get(page).text
    Schedule.objects.update(problem="Some trouble.")
    assert "Some trouble." in client.get(page).text
    client.post(switch, {"on": "1"})
    assert Schedule.objects.get().problem == ""
    client.post(reverse("datasets:schedule_delete", args=[made.pk]))
    assert not Schedule.objects.exists()
    kept = AuditEntry.objects.filter(actor=builder, verb__startswith="schedule.")
    assert kept.values_list("verb", flat=True).distinct().count() == 4

    reader = client_of(factories.user("reader", "reader"))
    assert reader.get(form).status_code == 403
    assert reader.post(form, fields()).status_code == 403
    assert "Run it regularly" not in reader.get(page).text


def test_targets_chosen_anew_are_kept_over_a_look_at_the_price(
    made: Evaluation, builder: User, source: Connection, client_of: Callable[[User], Client]
) -> None:
    measured.ran(made, [stored()], builder)
    schedule = scheduled(made, builder)
    latest = measured.fresh(source)
    Evaluation.objects.filter(pk=made.pk).update(setup={**made.setup, "targets": [latest.as_dict()]})
    client, url = client_of(builder), reverse("datasets:schedule", args=[made.pk])
    values = {"every": "day", "at": "06:00", "zone": "UTC", "weekday": "0", "day": "1", "targets": "latest"}
    looked = client.post(url, values | {"counted": ""})
    assert "This is what each run comes to" in looked.text
    assert 'value="latest" checked' in looked.text
    (mark,) = re.findall(r'name="counted" value="(\w+)"', looked.text)
    assert client.post(url, values | {"counted": mark}).status_code == 302
    schedule.refresh_from_db()
    assert schedule.targets == [latest.as_dict()]
