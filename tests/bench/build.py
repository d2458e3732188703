"""Build a mirror of made-up rows through the ingest of a sync, or go on with one that is there.

`python -m tests.bench.build ROWS CONNECTIONS`, in the environment of a place (tests.bench.pane_places). Nine
of ten rows are in the first connection; the last two hold rows of the oldest tenth only, the others begin at
different times. What is there already is counted and left, so that a run that was broken off goes on. The
last line is JSON: rows written, seconds, and rows per second of each stretch.
"""

import json
import resource
import sys
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import Any

import django

BATCH, STRETCH = 500, 50_000
CONNECTIONS, OLD_CONNECTIONS = 12, 2
TALK = "chatcmpl-talk-of-200-messages"


@dataclass(frozen=True, slots=True)
class Share:
    """Which rows of the made-up ones a connection holds."""

    number: int
    rows: int
    start: int


def shares(rows: int, connections: int) -> list[Share]:
    """How `rows` fall to the connections; all count on one scale of time, that of the first."""
    if connections == 1:
        return [Share(1, rows, 0)]
    others = connections - 1
    small = rows // 10 // others
    first = rows - small * others
    current = others - OLD_CONNECTIONS
    made = [Share(1, first, 0)]
    for at in range(others):
        begins = 0.2 + 0.8 * at / max(1, current - 1) if at < current else 0.0
        made.append(Share(at + 2, small, int((first - small) * begins)))
    return made


def scale(rows: int, connections: int) -> int:
    """Rows on the scale of time of which the oldest tenth is old."""
    return shares(rows, connections)[0].rows


@dataclass
class Told:
    """Rows per second so far, stretch by stretch."""

    rows: int = 0
    seconds: float = 0.0
    in_stretch: int = 0
    of_stretch: float = 0.0

    def __post_init__(self) -> None:
        self.stretches: list[float] = []

    def add(self, rows: int, seconds: float) -> None:
        self.rows += rows
        self.seconds += seconds
        self.in_stretch += rows
        self.of_stretch += seconds
        if self.in_stretch >= STRETCH:
            self.end()

    def end(self) -> None:
        if self.in_stretch:
            rate = self.in_stretch / self.of_stretch
            self.stretches.append(round(rate))
            print(f"    {self.rows:>9,} rows  {rate:>6,.0f} rows/s", flush=True)
        self.in_stretch, self.of_stretch = 0, 0.0


def build(rows: int, connections: int, most: int | None = None) -> dict[str, Any]:
    """Grow the mirror to `rows`, by at most `most`. The time is that of storing, not of making rows up."""
    from django.core.management import call_command

    from completions import absorbing, schedule

    call_command("migrate", verbosity=0)
    made = _people_and_connections(connections)
    absorbing.keep_small()
    told, left = Told(), rows if most is None else most
    # The small ones first, so that the last stretches are what the first connection costs when all is there.
    for share in sorted(shares(rows, connections), key=lambda each: each.rows):
        left -= _fill(made[share.number - 1], share, scale(rows, connections), left, told)
    told.end()
    if most is None:
        _talk(made[0])
        schedule.keep_columns()  # as the beat of a site does
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rows": told.rows,
        "seconds": told.seconds,
        "stretches": told.stretches,
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def _people_and_connections(count: int) -> list[Any]:
    from portal.models import Connection, User
    from tests import factories

    while (number := Connection.objects.count() + 1) <= count:
        factories.connection(f"Connection {number}", slug=f"connection-{number}")
    made = list(Connection.objects.order_by("pk"))
    if not User.objects.filter(username="sees-all").exists():
        factories.user("sees-all", "reader")
        few = factories.user("sees-two")
        for each in made[-OLD_CONNECTIONS:]:
            factories.grant(few, "reader", each)
    return made


def _fill(connection: Any, share: Share, total: int, most: int, told: Told) -> int:
    """What is missing of one connection, in batches as a sync commits them; how many rows that were."""
    from django.db import transaction

    from completions import absorbing, columns
    from completions.models import StoredCompletion
    from completions.terms import Dictionary
    from tests.bench import rows as made_up

    have = StoredCompletion.objects.filter(connection=connection).exclude(upstream_id=TALK).count()
    missing = min(share.rows - have, most)
    if missing <= 0:
        return 0
    dictionary = Dictionary(connection.pk)
    readings = made_up.readings(missing, share.start + have, share.number, total=total)
    while some := list(islice(readings, BATCH)):
        began = perf_counter()
        with transaction.atomic():
            absorbing.lock(connection.pk)
            tally = absorbing.absorb(connection.pk, some, dictionary)
        dictionary.keep()
        columns.pack_if_due(connection.pk, tally.unpacked)
        told.add(len(some), perf_counter() - began)
    return missing


def _talk(connection: Any) -> None:
    """One long conversation, for the drawer, in the middle of the first connection."""
    from django.db import transaction
    from django.db.models import Avg

    from completions import absorbing
    from completions.models import StoredCompletion
    from completions.readings import Reading, read
    from completions.terms import Dictionary

    mine = StoredCompletion.objects.filter(connection=connection)
    if mine.filter(upstream_id=TALK).exists():
        return
    text = "Some **markdown** with `code`, a list:\n\n- one\n- two\n\n```python\nprint('hello')\n```\n" * 3
    messages = [
        {"id": f"m{at}", "role": "assistant" if at % 2 else "user", "content": f"{at}: {text}"}
        for at in range(200)
    ]
    item = {
        "id": TALK,
        "object": "chat.completion",
        "created": int(mine.aggregate(middle=Avg("created"))["middle"]),
        "model": "gpt-4o-2024-08-06",
        "metadata": {},
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "The end."}}
        ],
        "usage": {"prompt_tokens": 9000, "completion_tokens": 3, "total_tokens": 9003},
    }
    page = {"object": "list", "data": messages, "has_more": False}
    reading = read(
        json.dumps(item).encode(), item, pages=[json.dumps(page).encode()], messages=messages, state="ok"
    )
    assert isinstance(reading, Reading)
    with transaction.atomic():
        absorbing.lock(connection.pk)
        absorbing.absorb(connection.pk, [reading], Dictionary(connection.pk))


def main(arguments: list[str]) -> None:
    rows, connections, *most = (int(word) for word in arguments)
    print(json.dumps(build(rows, connections, most[0] if most else None)))


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1:])
