"""The one HTTP client that asks us and the peers, and what it asks them."""

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median, quantiles
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

SLOW_SECONDS, WARM_RUNS, LEAST_RUNS, PATIENCE = 0.5, 30, 3, 120


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: how, and how many rows the answer shows."""

    name: str
    method: str
    path: str
    rows: Callable[[bytes], int]
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """Milliseconds of a warm run, the first run apart; `problem` where there is none."""

    rows: int = 0
    first: float = 0.0
    median: float = 0.0
    p95: float = 0.0
    runs: int = 0
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("rows", "first", "median", "p95", "runs", "problem")}


class Client:
    """Asks over one connection that stays open, and reads every answer to its end."""

    def __init__(self, base: str, patience: float = PATIENCE) -> None:
        parts = urlsplit(base)
        self.host, self.port, self.patience = parts.hostname or "127.0.0.1", parts.port, patience
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, question: Question) -> tuple[float, bytes]:
        """Milliseconds until the last byte, and the body."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self.host, self.port, timeout=self.patience)
        began = perf_counter()
        try:
            self._connection.request(question.method, question.path, question.body, question.headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self._connection.close()
            self._connection = None  # it was closed while idle
            return self.ask(question)
        except OSError:
            self._connection.close()
            self._connection = None
            raise
        took = (perf_counter() - began) * 1000
        if answer.status != 200:
            raise RuntimeError(f"HTTP {answer.status}: {body[:200]!r}")
        return took, body

    def measure(self, question: Question) -> Answer:
        """The first run, then warm ones: thirty, fewer where one takes more than half a second."""
        try:
            first, body = self.ask(question)
            rows = question.rows(body)
            runs = WARM_RUNS if first < SLOW_SECONDS * 1000 else max(LEAST_RUNS, int(15_000 / first))
            if first < SLOW_SECONDS * 20_000:
                self.ask(question)
            times = [self.ask(question)[0] for _ in range(min(WARM_RUNS, runs))]
        except (OSError, RuntimeError, ValueError, LookupError, TypeError) as error:
            return Answer(problem=f"{type(error).__name__}: {error}"[:200])
        p95 = quantiles(times, n=20, method="inclusive")[-1]
        return Answer(rows, first, median(times), p95, len(times))


def json_rows(*path: str) -> Callable[[bytes], int]:
    """How many entries stand at this place of a JSON answer."""

    def count(body: bytes) -> int:
        value: Any = json.loads(body)
        for name in path:
            value = value[name]
        return len(value)

    return count
