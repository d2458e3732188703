"""One process that starts the others, restarts what dies, and takes all of them with it.

Knows nothing of Django: what to run, and what to do about a death, is handed in.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import IO

GUARD = Path(__file__).with_name("guard.py")
PR_SET_PDEATHSIG = 1
STEADY_SECONDS = 60.0  # a child that lived this long starts over with the shortest pause
LONGEST_PAUSE_SECONDS = 30.0

_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


class AlreadyRunning(Exception):
    """Another supervisor holds this data folder."""


@dataclass
class Child:
    """One program to keep running.

    `died` is called with the process id after every end that nobody asked for, once its whole group is gone.
    """

    name: str
    command: Sequence[str]
    patience: float = 10.0
    stop_with: signal.Signals = signal.SIGTERM
    died: Callable[[int], None] | None = None
    mute: str = ""  # lines with this text are not passed on
    process: subprocess.Popen[str] | None = field(default=None, init=False)
    started: float = field(default=0.0, init=False)
    failures: int = field(default=0, init=False)
    not_before: float = field(default=0.0, init=False)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None


def hold(lock: Path) -> IO[str]:
    """Take the lock file for as long as this process lives, or raise AlreadyRunning."""
    handle = lock.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.seek(0)
        owner = handle.read().strip()
        handle.close()
        raise AlreadyRunning(owner or "unknown") from error
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n")
    handle.flush()
    return handle


class Supervisor:
    """Keeps children running in the order given; stops them in the reverse order."""

    def __init__(self, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        self.environment = dict(environment)
        self.say = say
        self.children: list[Child] = []
        self.wake = threading.Event()
        self.stopping = False
        self._guard: subprocess.Popen[str] | None = None
        self._width = 0

    def add(self, child: Child) -> Child:
        """Start `child` and keep it running from now on."""
        self.children.append(child)
        self._width = max(self._width, len(child.name))
        self._start(child)
        return child

    def run(self, every: Callable[[], None], pause: float = 0.5) -> None:
        """Watch until `stop` is asked for, calling `every` between looks; then stop the children."""
        previous = {
            number: signal.signal(number, lambda *_: self._ask_to_stop())
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            while not self.stopping:
                self.look()
                every()
                self.wake.wait(pause)
        finally:
            self.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def look(self) -> None:
        """Restart what has died and whose pause is over."""
        for child in self.children:
            if child.running:
                continue
            if child.process is not None:
                self._bury(child)
            if monotonic() >= child.not_before:
                self._start(child)

    def restart(self, child: Child, why: str) -> None:
        """Kill a child that lives but does no work; the next look starts it again."""
        if child.process is not None:
            self.say(f"{child.name} is killed: {why}")
            _signal_group(child.process.pid, signal.SIGKILL)
            child.process.wait()

    def stop(self) -> None:
        """Stop the children, last started first, each with its patience; a second signal kills at once."""
        self.stopping = True
        for child in reversed(self.children):
            if child.process is None:
                continue
            if child.running:
                child.process.send_signal(child.stop_with)
                try:
                    child.process.wait(child.patience)
                except (subprocess.TimeoutExpired, KeyboardInterrupt):
                    self.say(f"{child.name} did not stop in {child.patience:g} s and is killed")
            self._clear(child.process)
            child.process = None
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None

    def _ask_to_stop(self) -> None:
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping = True
        self.wake.set()

    def _start(self, child: Child) -> None:
        child.process = subprocess.Popen(
            child.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor alone
            preexec_fn=_end_with_parent,
        )
        child.started = monotonic()
        self._tell_guard(f"+{child.process.pid}")
        threading.Thread(target=self._relay, args=(child, child.process.stdout), daemon=True).start()

    def _relay(self, child: Child, output: IO[str]) -> None:
        with output:
            for line in output:
                if line.strip() and not (child.mute and child.mute in line):
                    self.say(f"{child.name:<{self._width}} | {line.rstrip()}")

    def _bury(self, child: Child) -> None:
        process = child.process
        assert process is not None
        code = process.wait()
        self._clear(process)
        child.process = None
        child.failures = 1 if monotonic() - child.started > STEADY_SECONDS else child.failures + 1
        pause = min(LONGEST_PAUSE_SECONDS, 0.25 * 2 ** min(child.failures, 10)) if child.failures > 1 else 0.0
        child.not_before = monotonic() + pause
        how = f"signal {-code}" if code < 0 else f"status {code}"
        self.say(f"{child.name} ended with {how}; starting it again" + (f" in {pause:g} s" if pause else ""))
        if child.died is not None:
            child.died(process.pid)

    def _clear(self, process: subprocess.Popen[str]) -> None:
        """Nothing of the group outlives its leader."""
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        self._tell_guard(f"-{process.pid}")

    def _tell_guard(self, line: str) -> None:
        if self._guard is None or self._guard.poll() is not None:
            if self.stopping:
                return
            if self._guard is not None and self._guard.stdin is not None:
                self._guard.stdin.close()
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            line = "\n".join({line, *(f"+{c.process.pid}" for c in self.children if c.process and c.running)})
        assert self._guard.stdin is not None
        try:
            self._guard.stdin.write(line + "\n")
            self._guard.stdin.flush()
        except BrokenPipeError:  # somebody killed the guard this moment; the next line starts a new one
            pass


def _signal_group(group: int, how: signal.Signals) -> None:
    try:
        os.killpg(group, how)
    except (ProcessLookupError, PermissionError):
        pass


def _end_with_parent() -> None:
    """In the child before exec: on Linux the kernel ends it with the supervisor; elsewhere the guard does."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
