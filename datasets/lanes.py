"""A deployment that is asked, and the calls on their way to it."""

from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from datasets.evaluate.pace import Pace, Shared
from datasets.purse import Purse
from portal.upstream import ChatAnswer, Upstream

AHEAD = 16  # calls ready to follow those that fly; fewer once the deployment has refused one


@dataclass(frozen=True)
class Asked:
    """One deployment that is asked: `key` tells its calls from those of another."""

    key: str
    connection: int
    model: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A call that is claimed and may be made as soon as there is room."""

    call: Any
    item: Any


@dataclass
class Lane:
    """One deployment: its endpoint, its pace and who pays.

    `out` counts what is claimed and has not come back: what flies, and a few that are `ready`, so that a
    thread goes on with the next call while the answers before it are being written. `pending` are rows that
    were read and may be claimed next; nobody but the step that owns the work claims any.
    """

    asked: Asked
    upstream: Upstream
    place: str
    purse: Purse
    pace: Pace = field(default_factory=Pace)
    shared: Shared = field(default_factory=lambda: Shared(""))
    pending: deque[Any] = field(default_factory=deque)
    ready: deque[Ready] = field(default_factory=deque)
    out: int = 0
    closed: bool = False

    @property
    def wanted(self) -> int:
        """How many more may be claimed now: as may fly, and a few to follow them."""
        if monotonic() < self.pace.resume_at:
            return 0
        limit = int(self.pace.limit)
        return max(0, limit + (limit // 2 if self.pace.refused else AHEAD) - self.out)

    def take(self) -> Ready | None:
        """One that is ready, if there is any; also asked by the threads that make the calls."""
        try:
            return self.ready.popleft()
        except IndexError:
            return None

    def follow(self) -> Ready | None:
        """What a thread does next whose call was answered: it takes the place of that one."""
        if self.closed or self.pace.flying > self.pace.limit or monotonic() < self.pace.resume_at:
            return None
        return self.take()


@dataclass(frozen=True, slots=True)
class Sent:
    """A call on its way."""

    call: Any
    lane: Lane
    at: float


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of it; `followed` if its thread has begun with another one of its lane."""

    sent: Sent
    outcome: ChatAnswer | Exception
    seconds: float
    followed: bool
