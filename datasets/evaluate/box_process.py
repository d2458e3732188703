"""The process that a box is, and the talk with it: a line to it, a line from it, each with a time limit."""

import json
import os
import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

LONGEST_LINE = 16 * 1024  # of what comes out, in bytes
LONGEST_COMPLAINT = 300
SIGNALLED = 128  # bubblewrap ends with this and the number of the signal that ended what it started
ENDED = {9: "It was killed, having taken too much.", 11: "It crashed."}
STRANGE = "It wrote where only scores are written."
END_SECONDS = 10.0


class Dead(Exception):
    """The process has ended, or had to be ended; says why."""


class Process:
    """`command` makes the command line of the two descriptors to read from and to write to.

    For one thread: the process ends with the thread that started it. Raises OSError if it cannot be started.
    """

    def __init__(self, command: Callable[[Sequence[str]], list[str]]) -> None:
        requests, self._to = os.pipe()
        self._from, results = os.pipe()
        self._read, self._ended = b"", False
        try:
            self._process = subprocess.Popen(
                command([str(requests), str(results)]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # whatever a grader prints goes nowhere
                stderr=subprocess.PIPE,
                pass_fds=(requests, results),
                env={},
            )
        except BaseException:
            os.close(self._to)
            os.close(self._from)
            raise
        finally:
            os.close(requests)
            os.close(results)
        os.set_blocking(self._to, False)

    def ask(self, asked: Mapping[str, Any] | bytes, seconds: float) -> dict[str, Any]:
        """Send one line, unless it is empty, and read one. After Dead it has been closed."""
        until = monotonic() + seconds
        line = asked if isinstance(asked, bytes) else json.dumps(asked).encode() + b"\n"
        try:
            self._send(line, until)
            return self._receive(until)
        except TimeoutError:
            self.close()
            raise Dead(f"It took more than {seconds:g} seconds.") from None
        except (EOFError, BrokenPipeError):
            raise Dead(self._why()) from None
        except ValueError:
            self.close()
            raise Dead(STRANGE) from None

    def has_spoken(self) -> bool:
        """Whether it has written without having been asked."""
        return bool(self._read) or _ready(self._from, select.POLLIN, 0)

    def close(self) -> None:
        """End it, whatever it does, and wait until nothing of it is left."""
        if self._ended:
            return
        self._ended = True
        self._process.kill()  # what it started dies with it, and a namespace with its first process
        self._process.wait()
        until = monotonic() + END_SECONDS
        try:
            while self._take(until):  # the last one that could write has gone when there is no more
                self._read = b""
        except TimeoutError:
            pass  # it cannot be killed, as it hangs in the kernel; it has no way out all the same
        os.close(self._to)
        os.close(self._from)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _send(self, line: bytes, until: float) -> None:
        rest = memoryview(line)
        while rest:
            if not _ready(self._to, select.POLLOUT, until - monotonic()):
                raise TimeoutError
            try:
                rest = rest[os.write(self._to, rest) :]
            except BlockingIOError:
                continue

    def _receive(self, until: float) -> dict[str, Any]:
        while b"\n" not in self._read:
            if len(self._read) > LONGEST_LINE:
                raise ValueError(STRANGE)
            if not self._take(until):
                raise EOFError
        line, self._read = self._read.split(b"\n", 1)
        try:
            told = json.loads(line)
        except RecursionError:
            raise ValueError(STRANGE) from None
        if self._read or not isinstance(told, dict):
            raise ValueError(STRANGE)
        return told

    def _take(self, until: float) -> bool:
        """Read what there is; False at its end. Raises TimeoutError."""
        if not _ready(self._from, select.POLLIN, until - monotonic()):
            raise TimeoutError
        more = os.read(self._from, LONGEST_LINE)
        self._read += more
        return bool(more)

    def _why(self) -> str:
        """In words, why it ended by itself."""
        try:
            ended = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            ended = SIGNALLED
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        said = (self._process.stderr.read(LONGEST_COMPLAINT) or b"").decode("utf-8", "replace").strip()
        self.close()
        return said or ENDED.get(ended - SIGNALLED, "It ended by itself.")


def _ready(descriptor: int, events: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, events)
    return bool(poll.poll(max(0.0, seconds) * 1000))
