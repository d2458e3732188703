"""The stand-in provider in a process of its own, and what its journal says."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

from tests.servers import die_with_parent

KEY = "sandbox-azure-v1-key"


class Provider:
    """`with Provider(rows=5000, latency_ms=50) as provider: provider.base_url`."""

    def __init__(
        self, *, rows: int, latency_ms: float = 0, job_seconds: float = 60, folder: Path | None = None
    ) -> None:
        self.rows, self.latency_ms, self.job_seconds = rows, latency_ms, job_seconds
        self.folder = folder or Path(tempfile.mkdtemp(prefix="bench-sandbox-"))
        self.url = ""

    def __enter__(self) -> Self:
        command = [
            sys.executable,
            "-m",
            "portal.sandbox",
            "--data-dir",
            str(self.folder),
            "--rows",
            str(self.rows),
        ]
        self._process = subprocess.Popen(
            [*command, "--latency-ms", str(self.latency_ms), "--job-seconds", str(self.job_seconds)],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().rsplit(" ", 1)[-1].strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def base_url(self) -> str:
        return f"{self.url}/azure-v1/openai/v1/"

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def control(self, method: str, path: str, body: Any = None) -> Any:
        request = Request(f"{self.url}/_sandbox{path}", method=method)  # noqa: S310  # our own loopback server
        data = None if body is None else json.dumps(body).encode()
        with urlopen(request, data) as answer:  # noqa: S310  # as above
            return json.load(answer)

    def requests(self) -> tuple[int, int]:
        """How many list and messages requests the journal holds."""
        lists = messages = 0
        for entry in self.control("GET", "/journal/counts")["counts"]:
            if entry["method"] == "GET" and entry["route"].endswith("/messages"):
                messages += entry["count"]
            elif entry["method"] == "GET" and entry["route"].endswith("/chat/completions"):
                lists += entry["count"]
        return lists, messages
