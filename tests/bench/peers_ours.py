"""Ourselves as the peers are asked: gunicorn on loopback, over HTTP, signed in by a session's cookie."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlencode

from tests import servers
from tests.bench.pane_places import ROOT, Place
from tests.bench.peers_http import Client, Question
from tests.bench.peers_servers import Wanted

READY = Question("ready", "GET", "/healthz", len)


class Ours:
    """A web process as `manage.py up` starts it, on the mirror of a place."""

    title = "Completions Portal"

    def __init__(self, place: Place) -> None:
        self.place = place
        self.port = servers.free_port()
        self.cookie = place.read("tests.bench.peers_session")["cookie"]
        self.log = place.folder / "web.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "portal.wsgi", "--bind", f"127.0.0.1:{self.port}"),
                    *("--worker-class", "gthread", "--workers", "1", "--threads", "8", "--timeout", "120"),
                    *("--keep-alive", "10", "--no-control-socket", "--log-level", "warning"),
                ],
                cwd=ROOT,
                env=place.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=servers.die_with_parent,
            )
        self._wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _wait(self) -> None:
        deadline = monotonic() + 60
        while monotonic() < deadline and self.process.poll() is None:
            try:
                Client(self.url).ask(self._with_host(READY))
            except (OSError, RuntimeError):
                sleep(0.2)
            else:
                return
        raise SystemExit(f"our own site did not start: {self.log.read_text()[-1000:]}")

    @staticmethod
    def _with_host(question: Question) -> Question:
        return Question(
            question.name, question.method, question.path, question.rows, headers={"Host": "localhost"}
        )

    def question(self, wanted: Wanted) -> Question:
        """The fragment that a click in the pane asks for: rows, count and all around them."""
        q = ""
        if wanted.pair:
            q = "meta.{}:{}".format(*wanted.pair)
        elif wanted.word:
            q = wanted.word
        headers = {
            "Host": "localhost",
            "Cookie": self.cookie,
            "HX-Request": "true",
            "HX-Target": "panes",
            "HX-Current-URL": "http://localhost/completions/",
        }
        return Question(
            wanted.name, "GET", f"/completions/?{urlencode({'q': q})}",
            lambda body: body.count(b'<tr id="row-'), headers=headers,
        )  # fmt: skip

    def memory(self) -> int:
        total = 0
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                if os.getsid(int(status.parent.name)) == self.process.pid:
                    total += int(status.read_text().split("VmRSS:")[1].split()[0]) * 1024
            except (OSError, IndexError):
                continue
        return total

    def stop(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(15)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
