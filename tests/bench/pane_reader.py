"""A reader who asks for the newest page five times a second, from a process of his own.

`python -m tests.bench.pane_reader SECONDS [FILE]`: for so long, or until FILE is there; prints JSON.
"""

import json
import sys
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep

import django

EVERY_SECONDS = 0.2


def main(seconds: float, stop: Path | None) -> dict[str, float]:
    from tests.bench import pane_clock
    from tests.bench.pane_screens import PAGE_MS, table

    screen = table("Reader", "newest page", "", PAGE_MS)
    for _ in range(3):
        pane_clock.ask(screen)
    times: list[float] = []
    began = perf_counter()
    while perf_counter() - began < seconds and not (stop and stop.exists()):
        asked = perf_counter()
        pane_clock.ask(screen)
        took = perf_counter() - asked
        times.append(took * 1000)
        sleep(max(0.0, EVERY_SECONDS - took))
    p95 = quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else 0.0
    return {
        "requests": len(times),
        "median": round(median(times), 2),
        "p95": round(p95, 2),
        "most": round(max(times), 2),
    }


if __name__ == "__main__":
    django.setup()
    print(json.dumps(main(float(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)))
