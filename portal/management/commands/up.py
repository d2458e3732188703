import os
import socket
import sys
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from portal import accounts, health, locations, processes
from portal.models import User
from portal.processes import Plan, Pulse
from portal.static_files import collect_if_changed
from portal.supervisor import AlreadyRunning, Supervisor, hold


class Command(BaseCommand):
    help = (
        "Run the whole site: web server, worker, scheduler and, unless BROKER_URL is set, a broker."
        " More machines run `up --no-web --no-beat` with the same DATABASE_URL and BROKER_URL."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
        )
        parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 takes a free one")
        parser.add_argument(
            "--data-dir", type=Path, help="where the site keeps its data (default: DATA_DIR or ./data)"
        )
        parser.add_argument(
            "--threads", type=int, default=8, help="requests that one web process answers at once"
        )
        parser.add_argument("--web-processes", type=int, default=1)
        parser.add_argument(
            "--concurrency", type=int, default=3, help="steps of work done at once on this machine"
        )
        for part, means in {
            "web": "no web server",
            "worker": "no worker",
            "beat": "no scheduler: exactly one machine has one",
            "broker": "no embedded broker, as when BROKER_URL is set",
            "migrate": "leave the database as it is",
        }.items():
            parser.add_argument(f"--no-{part}", action="store_false", dest=part, help=means)

    def handle(self, *args: Any, **options: Any) -> None:
        self.begin_again_in(options["data_dir"])
        self.lock_for_output = Lock()
        plan = self.plan(options)
        os.umask(0o077)  # whatever the site writes is for this account alone
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        locations.make_private(settings.RUN_DIR)
        try:
            lock = hold(settings.DATA_DIR / "up.lock")
        except AlreadyRunning as other:
            raise CommandError(
                f"The site in {settings.DATA_DIR} is already running (process {other})."
                " Stop that one, or choose another --data-dir."
            ) from other
        with lock:
            self.run(plan, migrate=options["migrate"])

    def begin_again_in(self, folder: Path | None) -> None:
        """Settings were read for another data folder: start over with the wanted one in the environment."""
        if folder is not None and folder.expanduser().resolve() != settings.DATA_DIR:
            environment = os.environ | {"DATA_DIR": str(folder.expanduser().resolve())}
            os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606  # this very command

    def plan(self, options: dict[str, Any]) -> Plan:
        names = ("host", "web", "worker", "beat", "threads", "web_processes", "concurrency")
        return Plan(
            port=options["port"] or free_port(options["host"]),
            broker=options["broker"] and settings.BROKER_URL == settings.EMBEDDED_BROKER_URL,
            **{name: options[name] for name in names},
        )

    def run(self, plan: Plan, *, migrate: bool) -> None:
        if plan.web:
            refuse_taken_port(plan.host, plan.port)
        self.site_url = os.environ.get("SITE_URL", "").rstrip("/") or f"http://localhost:{plan.port}"
        os.environ["SITE_URL"] = self.site_url
        supervisor = Supervisor(os.environ, self.say)
        try:
            self.prepare(plan, migrate=migrate)
            connections.close_all()
            pulse = self.start(supervisor, plan)
            supervisor.run(lambda: self.watch(pulse, plan))
        finally:
            supervisor.stop()
        self.say("stopped")

    def prepare(self, plan: Plan, *, migrate: bool) -> None:
        """Bring database and static files up to date."""
        if migrate:
            call_command("migrate", interactive=False, verbosity=0)
        if plan.web and collect_if_changed():
            self.say("static files collected")

    def start(self, supervisor: Supervisor, plan: Plan) -> Pulse | None:
        """Start what the plan names, the broker first; returns the watch on the worker."""
        if plan.broker and settings.BROKER_URL.startswith("redis+socket:"):
            program = processes.broker_program()
            if program is None:
                self.say(
                    "the embedded broker does not run on this machine; messages go through a folder instead"
                )
                supervisor.environment["BROKER_URL"] = "filesystem://"
            else:
                supervisor.add(processes.broker_child(program))
        pulse = None
        if plan.worker:
            pulse = Pulse(supervisor, supervisor.add(processes.worker_child(plan, processes.free_leases)))
        if plan.beat:
            supervisor.add(processes.beat_child())
        if plan.web:
            supervisor.add(processes.web_child(plan))
        self.ready = False
        self.started = monotonic()
        return pulse

    def watch(self, pulse: Pulse | None, plan: Plan) -> None:
        """What the supervisor does between two looks at its children."""
        if not self.ready and self.is_ready(plan):
            self.ready = True
            self.announce(plan)
        if pulse is not None:
            pulse.check()

    def is_ready(self, plan: Plan) -> bool:
        """Every part on this machine works: a page can be had, and a task has finished since the start."""
        if plan.web and not answers(plan.host, plan.port):
            return False
        try:
            began = monotonic() - self.started
            seen = health.last_seen("worker") if plan.worker and plan.beat else None
        finally:
            connections.close_all()
        if not (plan.worker and plan.beat):
            return True
        return seen is not None and (health.age(seen) < timedelta(seconds=began))

    def announce(self, plan: Plan) -> None:
        """Say where the site is, and how to get in if nobody can yet."""
        if not plan.web:
            self.say("working")
            return
        self.say(f"the site is at {self.site_url}/")
        try:
            nobody = not User.objects.exists()
        finally:
            connections.close_all()
        if nobody:
            self.say("nobody can sign in yet; this link makes you the operator (once, within a day):")
            self.say(self.site_url + accounts.first_operator_path())

    def say(self, line: str) -> None:
        with self.lock_for_output:
            self.stdout.write(line)
            self.stdout.flush()


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def refuse_taken_port(host: str, port: int) -> None:
    """Say at once, in words, what gunicorn would say five times."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} on {host} cannot be used ({error.strerror}). Try --port 0."
            ) from error


def answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1" if host in ("0.0.0.0", "") else host, port), timeout=1):  # noqa: S104  # asked, not bound
            return True
    except OSError:
        return False
