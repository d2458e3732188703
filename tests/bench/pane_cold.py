"""The first requests of a fresh web process: `python -m tests.bench.pane_cold`; prints JSON."""

import json
from time import perf_counter
from typing import Any

BEGAN = perf_counter()

import django  # noqa: E402  # what it costs to load belongs to the measure


def main() -> dict[str, Any]:
    from tests.bench import pane_clock
    from tests.bench.pane_screens import PAGE_MS, table

    pane_clock.client("sees-all")
    ready = perf_counter()
    took = {}
    for name, q in (("newest page", ""), ("one pair", "meta.env:prod"), ("a word", "halfrow")):
        began = perf_counter()
        pane_clock.ask(table("Cold", name, q, PAGE_MS))
        took[name] = round((perf_counter() - began) * 1000, 1)
    return {"start": round((ready - BEGAN) * 1000, 1), "first": took}


if __name__ == "__main__":
    django.setup()
    print(json.dumps(main()))
