"""kill -9 of the worker, then of the supervisor, at five points of a sync.

The mirror must equal an undisturbed run's row by row, and what was asked for again is counted by the
provider's journal: at most what was in flight, about a page, for each kill.
"""

from typing import Any

from tests.bench.provider import KEY, Provider
from tests.bench.site import Site

ROWS = 2000
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
# Messages in flight or read ahead when the process dies; nothing else is asked for twice.
IN_FLIGHT = 102


def run(provider: Provider, who: str) -> tuple[dict[str, Any], int, int]:
    """(what the mirror holds, messages asked for, kills) of one sync in which `who` is killed."""
    before = provider.requests()[1]
    site = Site(provider, ["tests.bench.begin", provider.base_url, KEY])
    kills = 0
    try:
        for share in SHARES if who else ():
            enough = share * ROWS
            site.wait(lambda enough=enough: site.rows() >= enough)  # type: ignore[misc]  # bound now on purpose
            met = site.rows()
            site.kill(who)
            kills += 1
            print(f"  killed the {who} at {met:,} of {ROWS:,} rows", flush=True)
        site.wait(lambda: site.rows() >= ROWS and site.ended())
        return site.read("tests.bench.digest"), provider.requests()[1] - before, kills
    finally:
        site.stop()


def table() -> bool:
    """Print what came of both; true if nothing was lost and little was asked for again."""
    print(f"\nsync of {ROWS:,} rows, killed at any moment", flush=True)
    fine = True
    with Provider(rows=ROWS, latency_ms=10) as provider:
        calm, asked, _ = run(provider, "")
        print(f"undisturbed: {calm['rows']:,} rows, {asked:,} requests, digest {calm['digest'][:16]}")
        for who in ("worker", "supervisor"):
            found, asked, kills = run(provider, who)
            repeated = asked - ROWS
            same = found["digest"] == calm["digest"]
            within = repeated <= kills * IN_FLIGHT
            fine &= same and within
            print(
                f"{who} killed {kills} times: {found['rows']:,} rows, digest {found['digest'][:16]}"
                f" {'equal' if same else 'DIFFERENT'}; {repeated} messages requests repeated,"
                f" {repeated / kills:.0f} per kill, allowed {IN_FLIGHT}{'' if within else ': TOO MANY'}",
                flush=True,
            )
    return fine
