import json
import os
import secrets
import sys
from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from portal import accounts
from portal.celery import app
from portal.management.commands import up
from portal.models import Auth, Connection, Grant, Kind, Role, User
from portal.processes import MANAGE, Plan, Pulse
from portal.sandbox.access import IDENTITY_HEADER
from portal.sandbox.management import RESOURCE_GROUP, SUBSCRIPTION
from portal.sandbox.personality import PERSONALITIES
from portal.supervisor import Child, Supervisor

HOST = "127.0.0.1"
NOTE = "demo.json"
# slug: name, kind, personality, how it signs in. Only Entra ID reaches the plane that deploys models.
CONNECTIONS = {
    "sandbox": ("Sandbox (Azure v1)", Kind.AZURE_V1, "azure-v1", Auth.ENTRA_MANAGED),
    "sandbox-dated": ("Sandbox (Azure dated)", Kind.AZURE_DATED, "azure-dated", Auth.KEY),
    "sandbox-openai": ("Sandbox (OpenAI)", Kind.OPENAI, "openai", Auth.KEY),
}


class Command(up.Command):
    help = "Run the whole site with a stand-in provider, its connections and a user for each role."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(data_dir=settings.BASE_DIR / "data" / "demo")
        parser.add_argument(
            "--rows", type=int, default=5000, help="stored completions of the main connection"
        )
        parser.add_argument("--job-seconds", type=float, default=60, help="how long a fine-tuning job takes")
        parser.add_argument(
            "--latency-ms", type=float, default=0, help="added to every answer of the stand-in"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.rows, self.job_seconds, self.latency_ms = (
            options["rows"],
            options["job_seconds"],
            options["latency_ms"],
        )
        super().handle(*args, **options)

    def run(self, plan: Plan, *, migrate: bool) -> None:
        self.note = read_note(settings.DATA_DIR / NOTE)
        self.sandbox_port = usable_port(self.note.get("sandbox_port"))
        self.sandbox_url = f"http://{HOST}:{self.sandbox_port}"
        allowed = [*settings.UPSTREAM_ALLOW, f"{HOST}:{self.sandbox_port}"]
        os.environ |= {
            "UPSTREAM_ALLOW": ",".join(dict.fromkeys(allowed)),
            "IDENTITY_ENDPOINT": f"{self.sandbox_url}/identity/token",
            "IDENTITY_HEADER": IDENTITY_HEADER,
        }
        super().run(plan, migrate=migrate)

    def prepare(self, plan: Plan, *, migrate: bool) -> None:
        super().prepare(plan, migrate=migrate)
        if not self.note and User.objects.exists():
            raise CommandError(
                f"{settings.DATA_DIR} holds a site of its own, which the demo would mix with."
                " Choose another --data-dir."
            )
        users = self.note.get("users", {})
        passwords = {
            role.value: str(users[role.value]["password"])
            if role.value in users
            else secrets.token_urlsafe(12)
            for role in Role
        }
        seeded = bool(self.note.get("seeded"))
        self.note = {
            "url": f"{self.site_url}/",
            "user": Role.OPERATOR.value,
            "password": passwords[Role.OPERATOR.value],
            "users": {name: {"user": name, "password": password} for name, password in passwords.items()},
            "sandbox_url": self.sandbox_url,
            "sandbox_port": self.sandbox_port,
            "seeded": seeded,
        }
        write_note(settings.DATA_DIR / NOTE, self.note)  # first, so that no password is ever lost
        with transaction.atomic():
            people(passwords)
            endpoints(self.sandbox_url, first=not seeded)
        write_note(settings.DATA_DIR / NOTE, self.note | {"seeded": True})

    def start(self, supervisor: Supervisor, plan: Plan) -> Pulse | None:
        supervisor.add(self.sandbox_child())
        return super().start(supervisor, plan)

    def sandbox_child(self) -> Child:
        return Child(
            "sandbox",
            [
                *(sys.executable, str(MANAGE), "sandbox", "--host", HOST, "--port", str(self.sandbox_port)),
                *("--data-dir", str(settings.DATA_DIR / "sandbox"), "--rows", str(self.rows)),
                *("--job-seconds", str(self.job_seconds), "--latency-ms", str(self.latency_ms)),
            ],
            patience=5,
        )

    def is_ready(self, plan: Plan) -> bool:
        return up.answers(HOST, self.sandbox_port) and super().is_ready(plan)

    def announce(self, plan: Plan) -> None:
        """Address, user, password, and then `ready` on a line of its own for scripts."""
        with suppress(OperationalError):  # the first sync need not wait for the schedule's next round
            app.send_task("completions.tasks.schedule", queue="house", retry=False)
        connections.close_all()
        self.say("")
        self.say(f"address   {self.note['url']}")
        self.say(f"user      {self.note['user']}")
        self.say(f"password  {self.note['password']}")
        self.say(f"(reader, reviewer, builder and manager too: {settings.DATA_DIR / NOTE})")
        self.say("ready")


def usable_port(wanted: int | None) -> int:
    """The port of last time if it is still free, so that addresses stay; else another."""
    if wanted:
        with suppress(CommandError):
            up.refuse_taken_port(HOST, wanted)
            return wanted
    return up.free_port(HOST)


def read_note(path: Path) -> dict[str, Any]:
    """What an earlier start wrote down; nothing when this is the first."""
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return note


def write_note(path: Path, note: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def people(passwords: dict[str, str]) -> None:
    """One user for each role, named after it."""
    for role in Role:
        user, made = User.objects.get_or_create(
            username=role.value, defaults={"email": f"{role.value}@example.org"}
        )
        if made:
            user.set_password(passwords[role.value])
            user.save()
            Grant.objects.get_or_create(user=user, connection=None, defaults={"role": role})
            if role == Role.OPERATOR:
                accounts.make_operator(user)


def endpoints(sandbox_url: str, *, first: bool) -> None:
    """The connections: made once; later starts only follow the stand-in to its new address."""
    for slug, (name, kind, personality, auth) in CONNECTIONS.items():
        addresses = {
            "base_url": sandbox_url + PERSONALITIES[personality].prefix,
            "management_url": f"{sandbox_url}/management" if kind != Kind.OPENAI else "",
        }
        if not first:
            Connection.objects.filter(slug=slug).update(**addresses)
            continue
        values: dict[str, Any] = {"name": name, "kind": kind, "auth": auth, **addresses}
        if kind != Kind.OPENAI:
            values |= {
                "subscription_id": SUBSCRIPTION,
                "resource_group": RESOURCE_GROUP,
                "account_name": personality,
            }
        if auth == Auth.KEY:
            key = f"sandbox-{personality}-key"
            values |= {"secret": key, "secret_last4": key[-4:], "secret_set_at": timezone.now()}
        Connection.objects.get_or_create(slug=slug, defaults=values)
