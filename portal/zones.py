"""The reader's own time zone, which the browser tells in a cookie."""

from collections.abc import Mapping
from functools import lru_cache
from zoneinfo import ZoneInfo

COOKIE = "portal-zone"


def zone_of(cookies: Mapping[str, str]) -> str:
    """The name of the reader's zone, such as Europe/Oslo; UTC where it is not told or not known."""
    name = cookies.get(COOKIE, "")
    return name if _known(name) else "UTC"


@lru_cache(maxsize=600)  # there are about as many zones, and whoever makes names up only pushes them out
def _known(name: str) -> bool:
    if not name or len(name) > 64:
        return False
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # a path, a folder of the database, a name that is not in it
        return False
    return True
