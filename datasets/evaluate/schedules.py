"""Runs that begin by themselves: each due time begins one, whoever looks and however often.

What is due is moved on and its run is made in one transaction, so a second beat, or one that comes after a
kill, finds either both or nothing. Times that were missed are made up once.
"""

import logging
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from datasets.evaluate import run as runs
from datasets.evaluate.goals import Goal
from datasets.evaluate.targets import Target, read
from datasets.models import Evaluation, Schedule
from portal import audit
from portal.models import Connection

log = logging.getLogger(__name__)
AT_ONCE = 100
DAY, WEEK, MONTH = Schedule.Every.DAY, Schedule.Every.WEEK, Schedule.Every.MONTH
_UNTIL = 800  # days: a day of the month is found long before


@dataclass(frozen=True, slots=True)
class When:
    """Every day, week or month at a time of one zone. `weekday` counts from Monday, 0; `day` is that of a
    month, the last one where a month is shorter."""

    every: str
    at: clock
    zone: str
    weekday: int = 0
    day: int = 1

    @classmethod
    def of(cls, schedule: Schedule) -> "When":
        held = schedule.when
        at = clock.fromisoformat(held.get("at", "00:00"))
        weekday, day = held.get("weekday", 0), held.get("day", 1)
        return cls(schedule.every, at, held.get("zone", "UTC"), weekday, day)

    def as_dict(self) -> dict[str, Any]:
        return {"at": f"{self.at:%H:%M}", "zone": self.zone, "weekday": self.weekday, "day": self.day}

    def after(self, moment: datetime) -> datetime:
        """The first such time behind a moment; where clocks are put forward over it, as much later."""
        zone = ZoneInfo(self.zone)
        today = moment.astimezone(zone).date()
        for ahead in range(-1, _UNTIL):
            on = today + timedelta(days=ahead)
            if self._falls_on(on):
                found = datetime.combine(on, self.at, zone).astimezone(UTC)
                if found > moment:
                    return found
        raise AssertionError("every month has a last day")

    def _falls_on(self, on: date) -> bool:
        if self.every == WEEK:
            return on.weekday() == self.weekday
        if self.every == MONTH:
            return on.day == min(self.day, monthrange(on.year, on.month)[1])
        return True


def save(
    evaluation: Evaluation,
    user: Any,
    when: When,
    *,
    targets: Sequence[Target],
    repetitions: int,
    goal: Mapping[str, Any],
) -> Schedule:
    """Set the evaluation's schedule, with the rights of this person from now on, and switch it on."""
    with transaction.atomic():
        Evaluation.objects.select_for_update().get(pk=evaluation.pk)
        held: dict[str, Any] = {
            "every": when.every,
            "next_at": when.after(timezone.now()),
            "enabled": True,
            "targets": [target.as_dict() for target in targets],
            "repetitions": repetitions,
            "goal": Goal.read(goal).as_dict(),
            "when": when.as_dict(),
            "owner": user,
            "problem": "",
        }
        schedule: Schedule
        schedule, _ = Schedule.objects.update_or_create(evaluation=evaluation, defaults=held)
        audit.record(user, "schedule.saved", evaluation, every=when.every, zone=when.zone)
        return schedule


def switch(schedule: Schedule, user: Any, *, on: bool) -> None:
    """Switch it on, for the next time behind now and with this person's rights, or off."""
    with transaction.atomic():
        fields: dict[str, Any] = {"enabled": on}
        if on:
            following = When.of(schedule).after(timezone.now())
            fields |= {"next_at": following, "owner": user, "problem": ""}
        Schedule.objects.filter(pk=schedule.pk).update(**fields)
        verb = "schedule.switched_on" if on else "schedule.switched_off"
        audit.record(user, verb, schedule.evaluation)


def delete(schedule: Schedule, user: Any) -> None:
    """Forget it; the runs that it began stay."""
    with transaction.atomic():
        audit.record(user, "schedule.deleted", schedule.evaluation)
        schedule.delete()


def begin_due() -> int:
    """Begin a run for every schedule that is due; returns how many. One's trouble does not keep the others
    waiting.
    """
    due = Schedule.objects.filter(enabled=True, next_at__lte=timezone.now()).order_by("next_at")
    begun = 0
    for pk in list(due.values_list("pk", flat=True)[:AT_ONCE]):
        try:
            begun += _begin(pk)
        except Exception:  # logged, and looked at again in half a minute
            log.exception("Schedule %s could not be looked at.", pk)
    return begun


def _begin(pk: int) -> bool:
    with transaction.atomic():
        rows = Schedule.objects.select_related("evaluation__version", "owner")
        schedule: Schedule | None = rows.filter(pk=pk).first()
        if schedule is None:
            return False
        # The evaluation before its schedule, as whoever saves one: else each could wait for the other.
        Evaluation.objects.select_for_update().filter(pk=schedule.evaluation_id).first()
        now = timezone.now()
        # Whoever changes the time begins the run; everybody else finds another time there.
        mine = Schedule.objects.filter(
            pk=pk, enabled=True, next_at=schedule.next_at, next_at__lte=now
        ).update(next_at=When.of(schedule).after(now))
        if not mine:
            return False
        if problem := _forbidden(schedule):
            Schedule.objects.filter(pk=pk).update(enabled=False, problem=problem)
            audit.record(None, "schedule.switched_off", schedule.evaluation, reason="the right is missing")
            return False
        problem = _run(schedule)
        Schedule.objects.filter(pk=pk).update(problem=problem[:400])
        if problem:
            audit.record(None, "schedule.refused", schedule.evaluation, reason=problem[:200])
        return not problem


def _run(schedule: Schedule) -> str:
    """Begin the run; why there is none, in words, where that is not possible."""
    newest = schedule.evaluation.runs.order_by("-number").values_list("number", flat=True).first() or 0
    try:
        with transaction.atomic():
            run = runs.start(
                schedule.evaluation,
                read(schedule.targets),
                schedule.owner,
                repetitions=schedule.repetitions,
                goal=schedule.goal,
                schedule=schedule,
            )
    except runs.Refused as refused:
        return str(refused)
    if run.number <= newest:
        return f"Run {run.number} of the same targets had not ended by then."
    return ""


def _forbidden(schedule: Schedule) -> str:
    """Why its owner may not run it any more; empty if that is still so."""
    owner = schedule.owner
    if owner is None or not owner.is_active:
        return "Whoever set it up is not here any more. Save it again with your own rights."
    asked = runs.asked_of(schedule.evaluation, read(schedule.targets))
    may = Evaluation.objects.actionable_by(owner).filter(pk=schedule.evaluation_id).exists()
    reach = set(Connection.objects.actionable_by(owner).filter(pk__in=asked).values_list("pk", flat=True))
    if may and reach == asked:
        return ""
    return (
        f"{owner} may no longer act on every connection that it uses. Somebody who may can save it again"
        " with rights of their own."
    )
