"""What a job has told: every event once, also where the provider gives it no id, or one twice."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from datasets.models import FineTune, FineTuneEvent
from portal.upstream import EventInfo

LONGEST_ID = 120
Content = tuple[int, str]


class Told:
    """The events that are known of one job, by the id that they are kept under."""

    def __init__(self, tune: FineTune) -> None:
        self._tune = tune
        self._held: dict[str, Content] = {
            upstream_id: (created, message)
            for upstream_id, created, message in tune.events.values_list("upstream_id", "created", "message")
        }

    def all_of(self, events: Sequence[EventInfo]) -> bool:
        """Whether every one of them is known, so that older ones need not be asked for."""
        return all(self._key(event) in self._held for event in events)

    def new_among(self, events: Iterable[EventInfo]) -> list[FineTuneEvent]:
        """Rows for those that are not known yet."""
        rows = []
        for event in events:
            key = self._key(event)
            if key in self._held:
                continue
            self._held[key] = _content(event)
            rows.append(
                FineTuneEvent(
                    fine_tune=self._tune,
                    upstream_id=key,
                    created=event.created or 0,
                    level=event.level[:12],
                    message=event.message,
                    kind=event.kind[:20],
                    data=event.data,
                )
            )
        return rows

    def _key(self, event: EventInfo) -> str:
        """The event's own id; where it has none, or another event has it too, what it says decides."""
        if not event.id:
            earlier = f"{event.created}:{event.message}"[:LONGEST_ID]
            return earlier if earlier in self._held else f"without id:{_digest(event)}"
        key = event.id[:LONGEST_ID]
        if self._held.get(key, _content(event)) == _content(event):
            return key
        return f"{event.id[:90]}:{_digest(event)}"


def keep(rows: Sequence[FineTuneEvent]) -> None:
    FineTuneEvent.objects.bulk_create(rows, ignore_conflicts=True)


def _content(event: EventInfo) -> Content:
    return (event.created or 0, event.message)


def _digest(event: EventInfo) -> str:
    said = [event.created, event.level, event.message, event.kind, event.data]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:24]
