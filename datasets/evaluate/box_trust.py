"""Whether boxes hold on this machine: a grader that tries to get out is put into one.

Graders run only where every attempt fails, so a system that cannot lock them away has none.
"""

import socket
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import monotonic

from datasets.evaluate import box_walls
from datasets.evaluate.box import Box, Limits, Stopped, Ungraded
from datasets.evaluate.box_walls import Impossible

LOOK_AGAIN_SECONDS = 300.0  # after it failed: what was missing may have been installed
ATTEMPTS = (
    "open a connection",
    "read a file of this site",
    "read the list of accounts",
    "write a file",
    "start a process",
    "become another program",
    "start a thread",
    "take more memory than it may",
)
PRISONER = """
def grade(sample, item):
    import os, socket, threading

    def write():
        open("/written", "w").close()
        os.remove("/written")

    def start_a_process():
        if os.fork() == 0:
            os._exit(0)

    attempts = [
        lambda: socket.create_connection(("127.0.0.1", item["port"]), timeout=1),
        lambda: open(item["file"]).read(),
        lambda: open("/etc/passwd").read(),
        write,
        start_a_process,
        lambda: os.execv(item["python"], [item["python"], "-c", ""]),
        lambda: threading.Thread(target=int).start(),
        lambda: bytearray(item["memory"]),
    ]
    got_out = 0
    for place, attempt in enumerate(attempts):
        try:
            attempt()
            got_out |= 1 << place
        except (OSError, RuntimeError, MemoryError):
            pass
    return got_out
"""
ENDLESS = "def grade(sample, item):\n    while item['endless']:\n        pass\n    return 1\n"
_lock = Lock()
_tested: tuple[float, str] | None = None


def problem() -> str:
    """Why no grader may run here; empty if boxes hold. Tested once in a process, within a second."""
    global _tested
    with _lock:
        if _tested is None or (_tested[1] and monotonic() - _tested[0] > LOOK_AGAIN_SECONDS):
            _tested = monotonic(), test()
        return _tested[1]


def test() -> str:
    """Try everything that must fail, and what must not; in words what went wrong, or empty."""
    try:
        return _ways_out() or _endless()
    except Impossible as reason:
        return str(reason)
    except Ungraded as reason:
        return f"The test of the box failed. {reason}"


def _ways_out() -> str:
    limits = Limits()
    with socket.create_server(("127.0.0.1", 0)) as listener, Box(PRISONER, limits) as box:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass  # so that it is no surprise if nobody reaches it
        item = {"port": port, "file": str(Path(__file__).resolve()), "memory": limits.memory * 2}
        got_out = int(box.score({}, item | {"python": box_walls.interpreter()}))
    done = [attempt for place, attempt in enumerate(ATTEMPTS) if got_out >> place & 1]
    return f"A grader could {', '.join(done)}." if done else ""


def _endless() -> str:
    with Box(ENDLESS, replace(Limits(), seconds=0.25)) as box:
        try:
            box.score({}, {"endless": True})
        except Stopped:
            pass
        else:
            return "An endless loop was not stopped."
    with Box(ENDLESS) as box:
        return "" if box.score({}, {"endless": False}) == 1 else "A grader that does no harm gets no score."
