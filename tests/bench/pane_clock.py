"""A signed-in client in this process, and a clock for what it asks: the whole of a request, and its SQL
alone.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test import Client

from tests.bench.pane_screens import Screen

RUNS, FEWEST, SLOW_MS, BUDGET_MS = int(os.environ.get("BENCH_RUNS", "30")), 3, 500.0, 5_000.0


@dataclass
class Times:
    """Milliseconds of the warm runs, and of the first, which came before them."""

    first: float
    warm: list[float]

    @property
    def median(self) -> float:
        return median(self.warm)

    @property
    def p95(self) -> float:
        return quantiles(self.warm, n=20, method="inclusive")[-1] if len(self.warm) > 1 else self.warm[0]

    def as_dict(self) -> dict[str, Any]:
        return {
            "first": round(self.first, 2),
            "median": round(self.median, 2),
            "p95": round(self.p95, 2),
            "runs": len(self.warm),
        }


def timed(run: Callable[[], Any], runs: int = RUNS) -> Times:
    """One run, a second to warm up, and then as many as are asked for; fewer where one takes over half a
    second.
    """
    first = _once(run)
    again = _once(run)
    if again > SLOW_MS:
        runs = max(FEWEST, min(runs, int(BUDGET_MS / again)))
    return Times(first, [_once(run) for _ in range(runs)])


def _once(run: Callable[[], Any]) -> float:
    began = perf_counter()
    run()
    return (perf_counter() - began) * 1000


@cache
def client(name: str) -> Client:
    """The same session for every request of a person."""
    from portal.models import User

    made = Client(SERVER_NAME="localhost")
    made.force_login(User.objects.get(username=name))
    return made


def ask(screen: Screen) -> Any:
    """The answer to a screen's request, through every middleware."""
    person = client(screen.user)
    if screen.post:
        answer = person.post(screen.path, screen.post, headers=screen.headers)
    else:
        answer = person.get(screen.path, headers=screen.headers)
    if answer.status_code != 200:
        raise LookupError(f"HTTP {answer.status_code}")
    return answer


@dataclass
class Sql:
    """How many statements, and how long they and the fetching of their rows took."""

    queries: int = 0
    ms: float = 0.0


@contextmanager
def sql() -> Iterator[Sql]:
    """Count and time the database's share of what is done meanwhile; SQLite computes while it fetches."""
    spent = Sql()
    plain = CursorWrapper.__getattr__

    def clocked(self: Any, name: str) -> Any:
        found = plain(self, name)
        if name not in ("fetchmany", "fetchone", "fetchall"):
            return found

        def fetch(*arguments: Any) -> Any:
            began = perf_counter()
            try:
                return found(*arguments)
            finally:
                spent.ms += (perf_counter() - began) * 1000

        return fetch

    def execute(run: Any, statement: Any, parameters: Any, many: Any, context: Any) -> Any:
        began = perf_counter()
        try:
            return run(statement, parameters, many, context)
        finally:
            spent.queries += 1
            spent.ms += (perf_counter() - began) * 1000

    CursorWrapper.__getattr__ = clocked  # type: ignore[method-assign]  # while this lasts
    try:
        with connection.execute_wrapper(execute):
            yield spent
    finally:
        CursorWrapper.__getattr__ = plain  # type: ignore[method-assign]  # back


def sql_of(screen: Screen, runs: int = 5) -> Sql:
    """The database's share of a screen, median of some runs."""
    found = []
    for _ in range(runs):
        with sql() as spent:
            ask(screen)
        found.append(spent)
    return Sql(found[-1].queries, median(each.ms for each in found))
