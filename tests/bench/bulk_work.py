"""The worker's part of the bulk benchmark: `python -m tests.bench.bulk_work begin|work`; prints JSON."""

import json
import sys
from time import perf_counter

import django


def begin() -> dict[str, int]:
    """Begin to label everything; the worker that is started next does it."""
    from completions.bulk_review import say
    from completions.bulk_saying import Saying
    from completions.models import Label
    from completions.selection import freeze
    from portal.models import Connection, User

    person, _ = User.objects.get_or_create(username="bench-bulk", defaults={"is_superuser": True})
    for connection in Connection.objects.all():
        Label.objects.get_or_create(
            connection=connection, name="bench", defaults={"kind": "choice", "options": ["yes", "no"]}
        )
    frozen = freeze(person, everything=True)
    return {"operation": say(frozen, [Saying("label", ["yes"], "bench")], person).pk, "rows": frozen.count}


def work() -> dict[str, object]:
    """Do it to its end; what a killed process was at is taken over at once, as after its lease."""
    from django.db.models import F

    from completions.models import ReviewEvent, ReviewState
    from portal import steps
    from portal.models import Operation

    operation = Operation.objects.filter(kind="review.bulk").latest("pk")
    live = Operation.objects.live().filter(pk=operation.pk)
    live.update(state="ready", lease_owner="", lease_until=None, fence=F("fence") + 1)
    began, before = perf_counter(), operation.done
    while live.exists():
        steps.work_on(operation.pk)
    seconds = perf_counter() - began
    operation.refresh_from_db()
    events = ReviewEvent.objects.filter(operation=operation)
    return {
        "seconds": seconds,
        "rows": operation.done - before,
        "state": operation.state,
        "result": operation.result,
        "events": events.count(),
        "completions": events.values("completion").distinct().count(),
        "labelled": ReviewState.objects.exclude(labels={}).count(),
    }


if __name__ == "__main__":
    django.setup()
    print(json.dumps({"begin": begin, "work": work}[sys.argv[1]]()))
