"""The peers: how each is installed, started, filled and asked. Both take OTLP, both keep their rows in
SQLite.

Their opt-outs of telemetry are set, and they listen on loopback alone.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, ClassVar
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests import servers
from tests.bench.peers_http import Question, json_rows

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"DO_NOT_TRACK": "true", "NO_PROXY": "127.0.0.1", "PYTHONUNBUFFERED": "1"}


class Missing(Exception):
    """A peer that cannot be had here; the text says how to get it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One question to everybody: a page of everything, of one pair of metadata, or of one word."""

    name: str
    pair: tuple[str, str] | None = None
    word: str = ""


@dataclass
class Peer:
    """One other product: its data in `home`, its program in an environment of its own under `shared`."""

    home: Path
    shared: Path
    title: ClassVar[str] = ""
    package: ClassVar[str] = ""
    headers: ClassVar[tuple[str, ...]] = ()
    port: int = field(default_factory=servers.free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def python(self) -> Path:
        return self.shared / "venv" / "bin" / "python"

    @property
    def version(self) -> str:
        done = subprocess.run(
            [self.python, "-c", f"import importlib.metadata as m; print(m.version({self.package!r}))"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip()

    def install(self) -> None:
        """The newest release from the package index, unless one is here already."""
        self.home.mkdir(parents=True, exist_ok=True)
        if self.python.exists() and self.version:
            return
        print(f"installing {self.package} into {self.python.parents[1]} ...", flush=True)
        place = self.python.parents[1]
        uv = shutil.which("uv") or (str(ROOT / ".tools/bin/uv") if (ROOT / ".tools/bin/uv").exists() else "")
        ways = [
            [[uv, "venv", "-q", "--python", sys.executable, str(place)],
             [uv, "pip", "install", "-q", "--python", str(self.python), self.package]],
            [[sys.executable, "-m", "venv", str(place)],
             [str(self.python), "-m", "pip", "install", "-q", self.package]],
        ]  # fmt: skip
        for way in ways if uv else ways[1:]:
            shutil.rmtree(place, ignore_errors=True)
            if all(subprocess.run(words, check=False).returncode == 0 for words in way) and self.version:
                return
        raise Missing(f"`pip install {self.package}` into {place} failed; is the package index reachable?")

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        raise NotImplementedError

    def count(self) -> int:
        """How many completions it has stored."""
        raise NotImplementedError

    def question(self, wanted: Wanted) -> Question:
        raise NotImplementedError

    def start(self) -> None:
        log = (self.home / "server.log").open("wb")
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.home,
            env=os.environ | QUIET | self.environment(),
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=servers.die_with_parent,
        )
        deadline = monotonic() + 180
        while monotonic() < deadline and self.process.poll() is None:
            try:
                self.count()
            except (URLError, OSError, ValueError, LookupError, TypeError):
                sleep(0.5)
            else:
                return
        self.stop()
        raise Missing(f"its server did not start, see {self.home / 'server.log'}")

    def stop(self) -> None:
        """End it with every process that it started; an abandoned search would go on for minutes."""
        if self.process is None:
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, how)
                self.process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self.process = None

    def fill(self, rows: Path, total: int) -> dict[str, Any]:
        """Send what it has not taken yet, and wait until all of it is stored."""
        already = self.count()
        progress = self.home / "taken"
        if already == 0:
            progress.unlink(missing_ok=True)
        began = monotonic()
        if already < total:
            subprocess.run(
                [
                    *map(str, (self.python, ROOT / "tests/bench/peers_send.py", f"{self.url}/v1/traces")),
                    *map(str, (rows, progress)),
                    *self.headers,
                ],
                check=True,
            )
        while (stored := self.count()) < total:
            if monotonic() - began > 4 * 3600:
                raise Missing(f"only {stored:,} of {total:,} rows arrived")
            sleep(1)
        seconds = monotonic() - began
        new = total - already
        return {"rows": new, "seconds": seconds, "fresh": new > 0}

    def bytes_on_disk(self) -> int:
        return sum(file.stat().st_size for file in self.home.glob("data/**/*.db*"))

    def memory(self) -> int:
        """Resident bytes of all its processes."""
        assert self.process is not None
        total = 0
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                if os.getsid(int(status.parent.name)) == self.process.pid:
                    text = status.read_text()
                    total += int(text.split("VmRSS:")[1].split()[0]) * 1024
            except (OSError, IndexError):
                continue
        return total

    def _post(self, path: str, body: Any) -> Any:
        content = {"Content-Type": "application/json"}
        request = Request(f"{self.url}{path}", json.dumps(body).encode(), content)  # noqa: S310  # loopback
        with urlopen(request, timeout=300) as answer:  # noqa: S310  # as above
            return json.load(answer)


class Phoenix(Peer):
    """Asked through GraphQL, as its own pages ask: the newest spans with the columns that its table shows."""

    title = "Arize Phoenix"
    package = "arize-phoenix"
    _SPANS = """query ($id: ID!, $filter: String) { node(id: $id) { ... on Project {
      spans(first: 50, sort: {col: startTime, dir: desc}, filterCondition: $filter) {
        edges { node { id spanId name spanKind statusCode startTime latencyMs tokenCountTotal metadata
          input { truncatedValue } output { truncatedValue } } }
        pageInfo { hasNextPage endCursor } } } } }"""

    def command(self) -> list[str]:
        return [str(self.python.with_name("phoenix")), "serve"]

    def environment(self) -> dict[str, str]:
        data = self.home / "data"
        data.mkdir(exist_ok=True)
        return {
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
            "PHOENIX_WORKING_DIR": str(data),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(self.port),
            "PHOENIX_GRPC_PORT": str(servers.free_port()),
        }

    def _project(self) -> dict[str, Any]:
        found = self._post("/graphql", {"query": "{ projects { edges { node { id recordCount } } } }"})
        project: dict[str, Any] = found["data"]["projects"]["edges"][0]["node"]
        return project

    def count(self) -> int:
        return int(self._project()["recordCount"])

    def question(self, wanted: Wanted) -> Question:
        condition = None
        if wanted.pair:
            condition = "metadata[{!r}] == {!r}".format(*wanted.pair)
        elif wanted.word:
            condition = f"{wanted.word!r} in input.value or {wanted.word!r} in output.value"
        body = {
            "query": self._SPANS,
            "variables": {"id": self._project()["id"], "filter": condition},
        }
        return Question(
            wanted.name, "POST", "/graphql", json_rows("data", "node", "spans", "edges"),
            json.dumps(body).encode(), {"Content-Type": "application/json"},
        )  # fmt: skip


class MLflow(Peer):
    """Asked by its search of traces, as its own pages do; the metadata are tags."""

    title = "MLflow"
    package = "mlflow"
    headers = ("x-mlflow-experiment-id=0",)
    _SEARCH = "/api/3.0/mlflow/traces/search"

    def command(self) -> list[str]:
        data = self.home / "data"
        data.mkdir(exist_ok=True)
        return [
            *(str(self.python.with_name("mlflow")), "server", "--host", "127.0.0.1", "--workers", "1"),
            *("--port", str(self.port), "--backend-store-uri", f"sqlite:///{data / 'mlflow.db'}"),
            *("--artifacts-destination", str(data / "artifacts")),
        ]

    def environment(self) -> dict[str, str]:
        programs = str(self.python.parent)  # it starts its web server by name
        return {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{programs}:{os.environ['PATH']}"}

    def _body(self, **more: Any) -> dict[str, Any]:
        place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
        return {"locations": [place], "order_by": ["timestamp_ms DESC"], **more}

    def count(self) -> int:
        self._post(self._SEARCH, self._body(max_results=1))  # that it answers at all
        taken = self.home / "taken"  # what it has confirmed is committed
        return int(taken.read_text()) if taken.exists() else 0

    def question(self, wanted: Wanted) -> Question:
        body = self._body(max_results=50)
        if wanted.pair:
            body["filter"] = "tags.{} = '{}'".format(*wanted.pair)
        elif wanted.word:
            body["filter"] = f"trace.text ILIKE '%{wanted.word}%'"
        return Question(
            wanted.name, "POST", self._SEARCH, _traces,
            json.dumps(body).encode(), {"Content-Type": "application/json"},
        )  # fmt: skip


def _traces(body: bytes) -> int:
    return len(json.loads(body).get("traces", []))  # without a match the list is not there
