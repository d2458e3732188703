"""Measure every screen of a mirror, in one process that is warm as a web process is.

`python -m tests.bench.pane_measure [GROUP ...]`, in the environment of a place. Tells what it finds line by
line; the last line is JSON.
"""

import json
import platform
import resource
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any
from unittest.mock import patch

import django

CLEAR = 200  # milliseconds that are no noise of others, so that one look is enough
SEARCHES = ("Worst", "Worst with words")
GROUPS = (
    "Pages", "One filter", "Two old connections", "Several", "Words", "Scans", "Around", "Drawer",
    "Selection", "Counts", "Template", *SEARCHES, "Sizes",
)  # fmt: skip


def main(groups: tuple[str, ...]) -> dict[str, Any]:
    from django.db import connection

    from completions.models import FrozenSelection
    from portal.models import Connection
    from tests.bench import pane_screens, pane_sizes

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    connections = list(Connection.objects.order_by("pk").values_list("pk", flat=True))
    facts = pane_screens.look({"first": connections[0]})
    found: dict[str, Any] = {"rows": facts.rows, "versions": versions(), "screens": []}
    for screen in pane_screens.everything(facts, places()):
        if screen.group in groups:
            found["screens"].append(tell(measure(screen, connections, facts)))
    FrozenSelection.objects.all().delete()
    if "Counts" in groups:
        found["screens"] += [tell(each) for each in counts()]
    if "Template" in groups:
        found["screens"].append(tell(template()))
    if "Worst" in groups:
        found["worst"] = searched(facts, ())
    if "Worst with words" in groups:
        found["worst_words"] = searched(
            facts, ("everyrow", "halfrow", "tenthrow", "hundredthrow", "rarestrow", "longagorow", "-halfrow")
        )
    if "Sizes" in groups:
        found["sizes"] = pane_sizes.measure()
    found["memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return found


def versions() -> dict[str, str]:
    """What was measured with what."""
    from django.db import connection

    if connection.vendor == "sqlite":
        engine = f"SQLite {sqlite3.sqlite_version}"
    else:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            engine = f"PostgreSQL {cursor.fetchone()[0].split()[0]}"
    import numpy as np

    return {
        "engine": engine,
        "python": platform.python_version(),
        "django": django.get_version(),
        "numpy": np.__version__,
    }


def places() -> dict[str, tuple[str, str]]:
    """Where the page asks for its facets, one facet and its timeline, and the elements that they fill."""
    from django.urls import reverse

    return {
        "facets": (reverse("completions:facets"), "counts"),
        "facet": (reverse("completions:facet"), "found-1"),
        "timeline": (reverse("completions:timeline"), "timeline"),
    }


def measure(screen: Any, connections: list[int], facts: Any) -> dict[str, Any]:
    """One line of the tables. A screen that fails is a line too."""
    from django.db import connection

    from tests.bench import pane_bare, pane_clock

    line: dict[str, Any] = {"group": screen.group, "name": screen.name, "aim": screen.aim, "q": screen.q}
    try:
        answer = pane_clock.ask(screen)
        line["shown"] = answer.content.count(b'<tr id="row-')
        line |= pane_clock.timed(lambda: pane_clock.ask(screen)).as_dict()
        spent = pane_clock.sql_of(screen, 5 if line["median"] < pane_clock.SLOW_MS else 1)
        line |= {"queries": spent.queries, "sql": round(spent.ms, 2), "bytes": len(answer.content)}
        if screen.q is not None:
            line["matched"] = matched(screen)
    except Exception as error:  # whatever it is, the others are measured
        return line | {"problem": f"{type(error).__name__}: {error}"[:200]}
    bare = pane_bare.statement(screen.bare, connection.vendor, connections, facts.deep)
    if bare is not None:
        with connection.cursor() as cursor:
            line["bare"] = pane_clock.timed(lambda: bare(cursor)).as_dict()["median"]
            line["bare_shown"] = len(bare(cursor))
    return line


def matched(screen: Any) -> str:
    """How many rows the filter holds, as far as that is counted."""
    from completions.filters import Filter
    from completions.listing import Listing
    from portal.models import User

    count = Listing(User.objects.get(username=screen.user), Filter.parse(screen.q)).count()
    return f"{count.n:,}" + ("" if count.exact else "+")


def counts() -> Iterator[dict[str, Any]]:
    """Counting by itself."""
    from completions.filters import Filter
    from completions.listing import COUNT_LIMIT, Listing
    from portal.models import User
    from tests.bench import pane_clock
    from tests.bench.pane_screens import ABOUT, ALL

    person = User.objects.get(username=ALL)
    asked = [(about, q, COUNT_LIMIT) for about, q in (*ABOUT, ("a word in 50 %", "halfrow"))]
    asked += [(f"{about}, on demand", q, 10**12) for about, q in ABOUT[-2:]]
    for about, q, limit in asked:
        line: dict[str, Any] = {
            "group": "Counts",
            "name": about,
            "aim": 50 if limit == COUNT_LIMIT else 0,
            "q": q,
        }
        try:
            counted = Listing(person, Filter.parse(q)).count(limit)
            line["matched"] = f"{counted.n:,}" + ("" if counted.exact else "+")
            again = partial(_count, person, q, limit)
            line |= pane_clock.timed(again).as_dict()
            with pane_clock.sql() as spent:
                again()
            line |= {"queries": spent.queries, "sql": round(spent.ms, 2)}
        except Exception as error:  # as above
            line["problem"] = f"{type(error).__name__}: {error}"[:200]
        yield line


def _count(person: Any, q: str, limit: int) -> None:
    from completions.filters import Filter
    from completions.listing import Listing

    Listing(person, Filter.parse(q)).count(limit)


def template() -> dict[str, Any]:
    """The fragment of fifty rows rendered again from data that is ready."""
    from completions.views import pane
    from tests.bench import pane_clock
    from tests.bench.pane_screens import table

    screen = table("Template", "the fragment of 50 rows, its data ready", "", 3)
    kept: list[Callable[[], Any]] = []
    plain: Any = getattr(pane, "render")  # noqa: B009  # which it imports, and does not offer

    def render(*arguments: Any, **named: Any) -> Any:
        kept.append(lambda: plain(*arguments, **named))
        return plain(*arguments, **named)

    line: dict[str, Any] = {"group": "Template", "name": screen.name, "aim": 3, "q": None}
    try:
        with patch.object(pane, "render", render):
            pane_clock.ask(screen)
        again = kept[-1]
        again()
        with pane_clock.sql() as spent:
            again()
        line |= {"queries": spent.queries, "sql": round(spent.ms, 2)}
        return line | pane_clock.timed(again, 100).as_dict()
    except Exception as error:  # as above
        return line | {"problem": f"{type(error).__name__}: {error}"[:200]}


def searched(facts: Any, words: tuple[str, ...]) -> dict[str, Any]:
    """The worst combination, measured again as every screen is."""
    from tests.bench import pane_clock, pane_worst
    from tests.bench.pane_screens import MANY_MS, table

    broken: list[str] = []

    def cost(q: str) -> float:
        screen = table("Worst", q, q, MANY_MS)
        try:
            first = _once(lambda: pane_clock.ask(screen))
            if first > CLEAR:
                return first
            return min(first, *(_once(lambda: pane_clock.ask(screen)) for _ in range(2)))
        except Exception as error:  # named in the result
            broken.append(f"{q}: {type(error).__name__}: {error}"[:200])
            return 0.0

    found = pane_worst.search(facts, cost, words)
    found["broken"] = broken[:5]
    for each in found["worst"]:
        screen = table("Worst", each["q"], each["q"], MANY_MS)
        with noted(broken):
            each |= pane_clock.timed(lambda screen=screen: pane_clock.ask(screen)).as_dict()  # type: ignore[misc]
            each["matched"] = matched(screen)
        print(f"    worst: {each}", flush=True)
    return found


@contextmanager
def noted(broken: list[str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # named in the result
        broken.append(f"{type(error).__name__}: {error}"[:200])


def _once(run: Callable[[], Any]) -> float:
    began = perf_counter()
    run()
    return (perf_counter() - began) * 1000


def tell(line: dict[str, Any]) -> dict[str, Any]:
    if "problem" in line:
        print(f"    {line['group']}: {line['name']}: {line['problem']}", flush=True)
        return line
    bare = f"  bare {line['bare']:.2f}" if "bare" in line else ""
    mark = "  MISSED" if line["aim"] and line["p95"] > line["aim"] else ""
    print(
        f"    {line['group'][:20]:<20} {line['name'][:44]:<44} median {line['median']:>8.2f}"
        f"  p95 {line['p95']:>8.2f}  sql {line.get('sql', 0.0):>7.2f} in {line.get('queries', 0):>2}"
        f"  {line.get('matched', ''):>9}{bare}{mark}",
        flush=True,
    )
    return line


if __name__ == "__main__":
    django.setup()
    print(json.dumps(main(tuple(sys.argv[1:]) or GROUPS)))
