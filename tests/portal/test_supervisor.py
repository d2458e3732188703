"""The supervisor on programs that do nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from portal import health, processes
from portal.supervisor import AlreadyRunning, Child, Supervisor, hold

SLEEPER = [sys.executable, "-I", "-S", "-c", "import time; print('here', flush=True); time.sleep(600)"]
# A program with a child in its group that ignores a polite end.
STUBBORN = [
    sys.executable,
    "-I",
    "-S",
    "-c",
    "import os, signal, time\n"
    "child = os.fork()\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('child', child, flush=True) if child else None\n"
    "time.sleep(600)",
]


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = monotonic() + seconds
    while not holds():
        assert monotonic() < deadline, "not in time"
        sleep(0.02)


def exists(pid: int) -> bool:
    """Whether the process is there; a zombie is not."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def supervisor(lines: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(os.environ, lines.append)
    yield made
    made.stop()


def test_what_a_child_says_carries_its_name(supervisor: Supervisor, lines: list[str]) -> None:
    supervisor.add(Child("web", SLEEPER))
    until(lambda: lines == ["web | here"])


def test_a_dead_child_is_started_again_at_once_and_its_death_told(supervisor: Supervisor) -> None:
    dead: list[int] = []
    child = supervisor.add(Child("worker", SLEEPER, died=dead.append))
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    child.process.wait()
    supervisor.look()
    assert dead == [first]
    assert child.running
    assert child.process.pid != first


def test_a_child_that_keeps_dying_is_given_longer_and_longer_pauses(supervisor: Supervisor) -> None:
    child = supervisor.add(Child("web", [sys.executable, "-I", "-S", "-c", "raise SystemExit(3)"]))
    pauses = []
    for _ in range(4):
        assert child.process is not None
        child.process.wait()
        supervisor.look()
        pauses.append(round(child.not_before - monotonic()))
        if pauses[-1]:  # else it was started again at once, and may be dead again by now
            child.not_before = 0.0
            supervisor.look()
    assert pauses == [0, 1, 2, 4]


def test_nothing_of_a_dead_childs_group_is_left_when_its_death_is_told(
    supervisor: Supervisor, lines: list[str]
) -> None:
    left: list[bool] = []
    child = supervisor.add(
        Child("worker", STUBBORN, patience=0.2, died=lambda _: left.append(exists(grandchild)))
    )
    until(lambda: bool(lines))
    grandchild = int(lines[0].split()[-1])
    assert child.process is not None
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    supervisor.look()
    until(lambda: not exists(grandchild))
    assert len(left) == 1


def test_children_stop_in_reverse_order(supervisor: Supervisor, lines: list[str]) -> None:
    polite = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'bye\\n'), sys.exit()))\n"
    )
    for name in ("broker", "worker", "web"):
        supervisor.add(
            Child(
                name,
                [sys.executable, "-I", "-S", "-c", polite + "print('here', flush=True)\ntime.sleep(600)"],
            )
        )
    until(lambda: len(lines) == 3)
    supervisor.stop()
    until(lambda: len(lines) == 6)
    assert [line.split()[0] for line in lines[3:]] == ["web", "worker", "broker"]


def test_a_child_that_will_not_stop_is_killed_with_its_group(lines: list[str]) -> None:
    supervisor = Supervisor(os.environ, lines.append)
    child = supervisor.add(Child("worker", STUBBORN, patience=0.2))
    until(lambda: bool(lines))
    assert child.process is not None
    pids = [child.process.pid, int(lines[0].split()[-1])]
    supervisor.stop()
    until(lambda: not any(exists(pid) for pid in pids))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_orphan_is_left_however_the_supervisor_goes(tmp_path: Path, how: signal.Signals) -> None:
    program = (
        "import os, sys, time\n"
        "from portal.supervisor import Child, Supervisor\n"
        "supervisor = Supervisor(os.environ, lambda line: print(line, flush=True))\n"
        f"supervisor.add(Child('a', {SLEEPER!r}))\n"
        f"supervisor.add(Child('b', {STUBBORN!r}, patience=0.2))\n"
        "print('pids', *[child.process.pid for child in supervisor.children], flush=True)\n"
        "supervisor.run(lambda: None)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids: list[int] = []
        while len(pids) < 3:
            words = process.stdout.readline().split()
            assert words, "it ended too early"
            if "pids" in words or "child" in words:
                pids += [int(word) for word in words if word.isdigit()]
        assert all(exists(pid) for pid in pids)
        process.send_signal(how)
        process.wait(10)
        until(lambda: not any(exists(pid) for pid in pids))


def test_a_killed_guard_is_replaced_and_knows_every_child(supervisor: Supervisor) -> None:
    supervisor.add(Child("a", SLEEPER))
    guard = supervisor._guard
    assert guard is not None
    guard.kill()
    guard.wait()
    supervisor.add(Child("b", SLEEPER))
    assert supervisor._guard is not None
    assert supervisor._guard.poll() is None
    assert supervisor._guard.pid != guard.pid


def test_a_worker_that_finishes_nothing_is_replaced(
    supervisor: Supervisor, lines: list[str], transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = supervisor.add(Child("worker", SLEEPER))
    pulse = processes.Pulse(supervisor, worker)
    monkeypatch.setattr(processes, "WEDGED_SECONDS", 0.0)
    for heartbeat in (True, True, False):
        if heartbeat:
            health.worker_alive()
        pulse.asked = -60.0
        pulse.check()
        assert worker.running is heartbeat
    supervisor.look()
    assert worker.running
    assert any("it has finished no task" in line for line in lines)


def test_a_data_folder_has_one_supervisor(tmp_path: Path) -> None:
    with hold(tmp_path / "up.lock"), pytest.raises(AlreadyRunning, match=str(os.getpid())):
        hold(tmp_path / "up.lock")
    hold(tmp_path / "up.lock").close()
