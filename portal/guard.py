"""Ends the supervisor's children when the supervisor is gone, however it went.

Started by file name and not as a module, so that it needs the standard library alone. Reads `+GROUP` and
`-GROUP` lines from its standard input; the end of the input means that the supervisor has died.
"""

import os
import signal
import sys
from time import monotonic, sleep

PATIENCE_SECONDS = 3.0


def end(groups: set[int], how: int) -> set[int]:
    """Signal the process groups and return those that still exist."""
    alive = set()
    for group in groups:
        try:
            os.killpg(group, how)
            alive.add(group)
        except (ProcessLookupError, PermissionError):
            pass
    return alive


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    alive, deadline = end(groups, signal.SIGTERM), monotonic() + PATIENCE_SECONDS
    while alive and monotonic() < deadline:
        sleep(0.1)
        alive = end(alive, 0)
    end(alive, signal.SIGKILL)


if __name__ == "__main__":
    main()
