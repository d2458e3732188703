"""Moments and amounts in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

NOTHING = "\N{EN DASH}"
_SIZES = ((86400 * 365, "y"), (86400 * 30, "mo"), (86400, "d"), (3600, "h"), (60, "min"))


def as_moment(value: Any) -> datetime | None:
    """An aware datetime from a datetime or from Unix seconds; None for everything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, OSError, ValueError):
            return None
    if isinstance(value, datetime):
        return value if timezone.is_aware(value) else timezone.make_aware(value)
    return None


def age(seconds: float) -> str:
    """How long ago, in the shortest words that are still right."""
    if seconds < 45:
        return "just now"
    for size, name in _SIZES:
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return "1 min ago"


def clock(moment: datetime) -> str:
    """A moment in UTC: "20 Nov 10:41", with the year instead of the time when it is not this one."""
    utc = moment.astimezone(UTC)
    same_year = utc.year == timezone.now().year
    return f"{utc.day} {utc:%b} {utc:%H:%M}" if same_year else f"{utc.day} {utc:%b} {utc.year}"


def full_clock(moment: datetime) -> str:
    """A moment in UTC to the second."""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%B %Y %H:%M:%S} UTC"


def duration(value: Any) -> str:
    """Seconds or a timedelta as "2 min 5 s"."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not isinstance(value, int | float):
        return NOTHING
    if value < 10:
        return f"{value:.1f} s".replace(".0 s", " s")
    seconds = round(value)
    parts = []
    for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        amount, seconds = divmod(seconds, size)
        if amount:
            parts.append(f"{amount} {name}")
    return " ".join(parts[:2])


def thousands(value: Any) -> str:
    """A whole number with separators: 12,480."""
    if value is None:
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else str(value)


def compact(value: Any) -> str:
    """A number in four signs or so: 1.28 M."""
    if not isinstance(value, int | float):
        return NOTHING
    for least, step, name in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            amount = value / step
            return f"{amount:.3g} {name}" if abs(amount) < 999.5 else f"{amount:,.0f} {name}"
    return f"{value:,}"


def size(value: Any) -> str:
    """Bytes as "4.2 MB"."""
    if not isinstance(value, int | float):
        return NOTHING
    for step, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if abs(value) >= step:
            return f"{value / step:.1f} {name}"
    return f"{value:.0f} B"


def percent(value: Any, digits: int = 0) -> str:
    """A share between 0 and 1 as "93%"; up to three more digits where nearly all would look like all, or
    hardly any like none.
    """
    if not isinstance(value, int | float):
        return NOTHING
    told = [f"{value * 100:.{digits + more}f}" for more in range(4)]
    if value in (0, 1) or float(told[0]) not in (0, 100):
        return f"{told[0]}%"
    return f"{next((text for text in told if float(text) not in (0, 100)), told[0])}%"
