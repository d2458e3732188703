"""Named places at which a test may end the process as abruptly as `kill -9` does.

`PORTAL_CRASH="sync.committed:3"` ends the process when it passes `crashpoint("sync.committed")` for the third
time. With `PORTAL_CRASH_FLAG=/some/file` only the first process to get there dies, and its successor lives.
Without the variable a crash point costs one look into the environment.
"""

import os
from collections import Counter
from threading import Lock

_passed: Counter[str] = Counter()
_lock = Lock()


def crashpoint(name: str) -> None:
    """End the process here if the environment asks for it."""
    wanted = os.environ.get("PORTAL_CRASH")
    if not wanted:
        return
    place, _, nth = wanted.partition(":")
    if place != name:
        return
    with _lock:
        _passed[name] += 1
        due = _passed[name] == int(nth or 1)
    if due and _first_to_die():
        os._exit(137)


def _first_to_die() -> bool:
    flag = os.environ.get("PORTAL_CRASH_FLAG")
    if not flag:
        return True
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True
