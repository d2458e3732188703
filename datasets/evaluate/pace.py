"""How many calls one deployment gets at a time: more while it answers, half as soon as it says “too many”.

Each step of work that asks it has a pace of its own. What a deployment refused is shared between them, by way
of the cache: all slow down and rest for a moment. Whoever must wait for long finds that out by one call.
"""

import hashlib
import logging
from dataclasses import dataclass
from time import monotonic, time

from django.core.cache import cache

log = logging.getLogger(__name__)
REMEMBERED = 600  # seconds: who begins within them begins no faster than was possible
LONGEST_REST = 2.0
START, MOST = 8.0, 32.0
LONGEST_PAUSE = 8.0
DOWN_AFTER = 6  # errors in a row without one answer: the service is out of order, not the items


@dataclass
class Pace:
    """One more with each answer until the first refusal; then additive increase, multiplicative decrease.

    Times are seconds of one clock that only goes forwards.
    """

    limit: float = START
    most: float = MOST
    flying: int = 0
    resume_at: float = 0.0
    cut_at: float = 0.0
    errors: int = 0
    refused: bool = False

    def room(self, now: float) -> int:
        """How many more calls may start now."""
        return 0 if now < self.resume_at else max(0, int(self.limit) - self.flying)

    def answered(self) -> None:
        self.errors = 0
        self.limit = min(self.most, self.limit + (1 / self.limit if self.refused else 1))

    def throttled(self, now: float, sent_at: float, retry_after: float | None) -> None:
        """Too many calls. Those that were already on their way then do not slow it down a second time."""
        self.refused = True
        if sent_at >= self.cut_at:
            self.limit, self.cut_at = max(1.0, self.limit / 2), now
        self.resume_at = max(self.resume_at, now + (1.0 if retry_after is None else retry_after))

    def erred(self, now: float) -> None:
        self.errors += 1
        self.resume_at = max(self.resume_at, now + min(0.25 * 2**self.errors, LONGEST_PAUSE))

    @property
    def is_down(self) -> bool:
        return self.errors >= DOWN_AFTER


@dataclass
class Shared:
    """What everybody who asks one deployment has learnt of it; an empty `key` shares nothing."""

    key: str
    cut: float = 0.0  # by the wall clock: when it last refused, as far as this pace knows
    until: float = 0.0

    @classmethod
    def of(cls, connection: int, model: str) -> "Shared":
        return cls(f"pace-{connection}-{hashlib.sha256(model.encode()).hexdigest()[:24]}")

    def learn(self, pace: Pace) -> None:
        """Slow down if somebody else was refused since the last look."""
        found = self._get()
        if found is None:
            return
        limit, cut, until = found
        if cut > self.cut:
            self.cut, pace.refused = cut, True
            pace.limit = max(1.0, min(pace.limit, limit))
        wait = min(until - time(), LONGEST_REST)
        if wait > 0:
            pace.resume_at = max(pace.resume_at, monotonic() + wait)

    def tell(self, pace: Pace) -> None:
        """Tell the others of a refusal; those that say nothing new are not told."""
        now = time()
        until = now + min(max(0.0, pace.resume_at - monotonic()), LONGEST_REST)
        if until < self.until + 0.2 and now < self.cut + 0.2:
            return
        self.cut, self.until = now, until
        if self.key:
            try:
                cache.set(self.key, (pace.limit, self.cut, self.until), REMEMBERED)
            except Exception as error:  # whatever the cache's client raises: each then learns by itself
                log.debug("The pace could not be shared (%s).", type(error).__name__)

    def _get(self) -> tuple[float, float, float] | None:
        if not self.key:
            return None
        try:
            found = cache.get(self.key)
        except Exception as error:  # as above
            log.debug("No shared pace (%s).", type(error).__name__)
            return None
        return found if isinstance(found, tuple) and len(found) == 3 else None
