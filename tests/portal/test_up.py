"""`manage.py up` and `manage.py demo` as a person starts them: real processes on an empty folder."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from http.cookies import SimpleCookie
from pathlib import Path
from shutil import copyfile, rmtree
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from django.conf import settings

from tests.portal.test_supervisor import exists, until
from tests.servers import free_port, start_valkey

pytestmark = pytest.mark.slow
QUIET = {
    "OPERATION_TICK_SECONDS": "1",
    "HEARTBEAT_SECONDS": "1",
    "SCHEDULE_SECONDS": "1",
    "FOLLOW_SECONDS": "5",
}


class Running:
    """One started command, its port and what it has written."""

    def __init__(self, command: str, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder, self.port = folder, free_port()
        self.log = folder.with_suffix(".log")
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, str(settings.BASE_DIR / "manage.py"), command),
                    *("--port", str(self.port), "--data-dir", str(folder), *arguments),
                ],
                env=kept | QUIET | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def get(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, str, Any]:
        with closing(HTTPConnection("localhost", self.port, timeout=10)) as http:
            http.request(
                method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
            )
            answer = http.getresponse()
            return answer.status, answer.read().decode(errors="replace"), answer.headers

    def wait_until_ready(self, seconds: float = 60) -> "Running":
        self.until(self.is_ready, seconds)
        return self

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except (OSError, HTTPException):  # also from a process whose parent was killed: it ends mid-answer
            return False

    def until(self, holds: Callable[[], bool], seconds: float = 60) -> None:
        deadline = monotonic() + seconds
        while not holds():
            assert monotonic() < deadline, f"not within {seconds} s:\n{self.text()[-3000:]}"
            assert self.process.poll() is None, f"it ended:\n{self.text()[-3000:]}"
            sleep(0.1)

    def children(self) -> dict[str, int]:
        """Process ids of its direct children, by what they are."""
        listed = subprocess.run(
            ["ps", "-e", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        )
        marks = {
            "web": "gunicorn",
            "worker": "celery -A portal --quiet --skip-checks worker",
            "beat": " beat ",
            "broker": "valkey-server",
            "sandbox": "manage.py sandbox",
            "guard": "guard.py",
        }
        found = {}
        for line in listed.stdout.splitlines():
            pid, parent, arguments = line.split(None, 2)
            if int(parent) == self.process.pid:
                found.update({name: int(pid) for name, mark in marks.items() if mark in arguments})
        return found

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(45)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with every table and nothing in it; making the tables takes longer than most tests here."""
    folder = tmp_path_factory.mktemp("migrated")
    subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), "migrate", "-v0"],
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(folder)},
        check=True,
    )
    return folder / "portal.sqlite3"


@pytest.fixture
def begin(migrated: Path) -> Iterator[Callable[..., Running]]:
    """Start a command on a folder that has its tables (none with `empty=True`), or on one of before."""
    started: list[Running] = []
    root = Path(tempfile.mkdtemp(prefix="portal-up-"))

    def start(
        command: str = "up", folder: str = "site", *arguments: str, empty: bool = False, **environment: str
    ) -> Running:
        if not (empty or (root / folder).exists()):
            (root / folder).mkdir(mode=0o700)
            copyfile(migrated, root / folder / "portal.sqlite3")
        running = Running(command, root / folder, *arguments, **environment)
        started.append(running)
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
    rmtree(root, ignore_errors=True)


def test_up_starts_restarts_refuses_and_stops(begin: Callable[..., Running]) -> None:
    site = begin(empty=True).wait_until_ready()
    site.until(lambda: "first-operator" in site.text())
    before = site.children()
    assert set(before) == {"web", "worker", "beat", "broker", "guard"}

    second = begin()
    assert second.process.wait(30) == 1
    assert f"already running (process {site.process.pid})" in second.text()

    # A worker dies with a lease in its hands: the lease is free at once, long before it would have run out.
    owner = f"{os.uname().nodename}:{before['worker']}:{before['worker']}:abc"
    with closing(sqlite3.connect(site.folder / "portal.sqlite3", timeout=20)) as database, database:
        database.execute(
            "INSERT INTO portal_operation (kind, queue, title, subject_type, subject_id, dedupe_key, state,"
            " step, cursor, lease_owner, lease_until, fence, attempts, cancel_requested, done, note, result,"
            " error_code, error_text, created) VALUES ('no.such', 'sync', 'Held', '', '', 'held', 'running',"
            " '', '{}', ?, datetime('now', '+1 hour'), 1, 1, 0, 0, '', '{}', '', '', datetime('now'))",
            (owner,),
        )
    os.kill(before["worker"], signal.SIGKILL)
    site.until(lambda: site.children().get("worker", before["worker"]) != before["worker"])

    def lease() -> tuple[str, int]:
        with closing(sqlite3.connect(site.folder / "portal.sqlite3", timeout=20)) as database:
            row = database.execute(
                "SELECT lease_owner, lease_until > datetime('now', '+10 minutes') FROM portal_operation"
            ).fetchone()
            return row[0], row[1]

    site.until(lambda: lease() != (owner, 1))

    for name in ("web", "beat", "broker"):
        os.kill(before[name], signal.SIGKILL)
    site.until(lambda: not set(before.values()) & {site.children().get(n) for n in ("web", "beat", "broker")})
    site.wait_until_ready()

    pids = list(site.children().values())
    assert len(pids) == 5
    assert site.stop() == 0
    until(lambda: not any(exists(pid) for pid in pids))


def test_a_killed_supervisor_takes_everything_with_it(begin: Callable[..., Running]) -> None:
    site = begin().wait_until_ready()
    group = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in group.splitlines())}
    ours = {pid for pid, parent in parents.items() if site.process.pid in (parent, parents.get(parent))}
    assert len(ours) >= 8  # the children, and the processes of gunicorn and of the worker's pool
    site.process.kill()
    site.process.wait()
    until(lambda: not any(exists(pid) for pid in ours), 20)
    begin().wait_until_ready()  # the same folder, straight away


def test_the_link_in_the_terminal_makes_the_first_operator(begin: Callable[..., Running]) -> None:
    site = begin().wait_until_ready()
    site.until(lambda: "first-operator" in site.text())
    link = re.search(r"http://localhost:\d+(/accounts/first-operator/\S+)", site.text())
    assert link is not None
    status, page, headers = site.get(link[1])
    assert status == 200
    cookie = SimpleCookie(headers["Set-Cookie"])
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token is not None
    password = "a phrase for this test"
    form = {"username": "ada", "email": "ada@example.org", "password1": password, "password2": password}
    status, _, headers = site.get(
        link[1],
        "POST",
        urlencode(form | {"csrfmiddlewaretoken": token[1]}),
        Content_Type="application/x-www-form-urlencoded",
        Cookie="; ".join(f"{name}={morsel.value}" for name, morsel in cookie.items()),
    )
    assert (status, headers["Location"]) == (302, "/")
    assert site.get(link[1])[0] == 410


def test_up_works_where_the_embedded_broker_has_no_build(begin: Callable[..., Running]) -> None:
    site = begin("up", "site", BROKER_URL="filesystem://").wait_until_ready()
    assert set(site.children()) == {"web", "worker", "beat", "guard"}
    assert site.stop() == 0


def test_a_long_path_of_the_data_folder_is_no_obstacle(begin: Callable[..., Running]) -> None:
    site = begin("up", "a-very-long-name-" * 9).wait_until_ready()
    assert site.stop() == 0


def test_the_demo_prints_how_to_get_in_and_starts_again_on_its_folder(begin: Callable[..., Running]) -> None:
    def notes(site: Running) -> dict[str, Any]:
        noted: dict[str, Any] = json.loads((site.folder / "demo.json").read_text())
        return noted

    site = begin("demo", "demo", "--rows", "100", empty=True)
    site.until(lambda: "\nready\n" in site.text())
    first = notes(site)
    assert set(first["users"]) == {"reader", "reviewer", "builder", "manager", "operator"}
    assert first["password"] in site.text()
    assert first["url"] == f"http://localhost:{site.port}/"
    assert (site.folder / "demo.json").stat().st_mode & 0o077 == 0
    assert site.stop() == 0

    site.log.unlink()
    again = begin("demo", "demo", "--rows", "100")
    again.until(lambda: "\nready\n" in again.text())
    second = notes(again)
    assert second["users"] == first["users"]
    assert second["url"] == f"http://localhost:{again.port}/"
    assert again.stop() == 0


def test_the_demo_does_not_mix_with_a_real_site(begin: Callable[..., Running]) -> None:
    site = begin().wait_until_ready()
    with closing(sqlite3.connect(site.folder / "portal.sqlite3", timeout=20)) as database, database:
        database.execute(
            "INSERT INTO portal_user (password, is_superuser, username, first_name, last_name, email,"
            " is_staff, is_active, date_joined) VALUES ('', 0, 'ada', '', '', '', 0, 1, datetime('now'))"
        )
    assert site.stop() == 0
    mixed = begin("demo", "site")
    assert mixed.process.wait(30) == 1
    assert "holds a site of its own" in mixed.text()


@pytest.fixture
def team(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What machines of one team share: keys, an empty database and a broker, each as this run has it."""
    url = os.environ["DATABASE_URL"]
    server = start_valkey()
    shared = {"SECRET_KEY": "s" * 60, "FIELD_KEYS": os.environ["FIELD_KEYS"], "BROKER_URL": server.url}
    if url.startswith("postgres"):
        name = f"team_{os.getpid()}"
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
        yield shared | {"DATABASE_URL": url.rpartition("/")[0] + f"/{name}"}
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    else:
        yield shared | {"DATABASE_URL": f"sqlite:///{tmp_path / 'team.sqlite3'}"}
    server.stop()


@pytest.mark.engines
def test_machines_of_a_team_share_database_and_broker(
    begin: Callable[..., Running], team: dict[str, str]
) -> None:
    front = begin("up", "front", "--no-worker", **team)
    front.until(lambda: "the site is at" in front.text())
    status, text, _ = front.get("/readyz")
    assert (status, json.loads(text)["checks"]["worker"]) == (503, False)
    back = begin("up", "back", "--no-web", "--no-beat", "--no-migrate", **team)
    front.wait_until_ready()
    assert set(front.children()) == {"web", "beat", "guard"}
    assert set(back.children()) == {"worker", "guard"}
    assert back.stop() == front.stop() == 0


def test_a_proxy_that_is_vouched_for_may_say_https(begin: Callable[..., Running]) -> None:
    site = begin(
        "up", "site", SITE_URL="https://portal.example.com", TRUSTED_PROXY_COUNT="1"
    ).wait_until_ready()
    status, _, headers = site.get("/accounts/login/", Host="portal.example.com")
    assert (status, headers["Location"]) == (301, "https://portal.example.com/accounts/login/")
    status, _, headers = site.get("/accounts/login/", Host="portal.example.com", X_Forwarded_Proto="https")
    assert status == 200
    assert "max-age=31536000" in headers["Strict-Transport-Security"]
    assert site.get("/accounts/login/", Host="elsewhere.example")[0] == 400


def test_a_taken_port_is_said_in_words(begin: Callable[..., Running], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = begin("up", "site", "--port", str(port))
        assert refused.process.wait(30) == 1
        assert f"Port {port} on 127.0.0.1 cannot be used" in refused.text()
