"""How many calls one deployment gets at a time: more while it answers, half as soon as it says “too many”."""

from dataclasses import dataclass

START, MOST = 8.0, 32.0
LONGEST_PAUSE = 8.0
DOWN_AFTER = 6  # errors in a row without one answer: the service is out of order, not the items


@dataclass
class Pace:
    """Additive increase, multiplicative decrease; times are seconds of one clock that only goes forwards."""

    limit: float = START
    most: float = MOST
    flying: int = 0
    resume_at: float = 0.0
    cut_at: float = 0.0
    errors: int = 0

    def room(self, now: float) -> int:
        """How many more calls may start now."""
        return 0 if now < self.resume_at else max(0, int(self.limit) - self.flying)

    def answered(self) -> None:
        self.errors = 0
        self.limit = min(self.most, self.limit + 1 / self.limit)

    def throttled(self, now: float, sent_at: float, retry_after: float | None) -> None:
        """Too many calls. Those that were already on their way then do not slow it down a second time."""
        if sent_at >= self.cut_at:
            self.limit, self.cut_at = max(1.0, self.limit / 2), now
        self.resume_at = max(self.resume_at, now + (1.0 if retry_after is None else retry_after))

    def erred(self, now: float) -> None:
        self.errors += 1
        self.resume_at = max(self.resume_at, now + min(0.25 * 2**self.errors, LONGEST_PAUSE))

    @property
    def is_down(self) -> bool:
        return self.errors >= DOWN_AFTER
