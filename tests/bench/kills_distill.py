"""kill -9 of the worker, then of the supervisor, at six points of a distillation: build, upload, processing
of the file, creation of the job, following, deployment.

What was made is counted in the provider's journal, not in our tables: one file, one job, one deployment. The
training file must be byte for byte the one of an undisturbed run. Points are found by watching the database
and the journal, and the line is slow enough (LATENCY_MS) that answers are still on their way when it dies.
"""

from collections import Counter
from dataclasses import dataclass
from time import monotonic
from typing import Any

from tests.bench.provider import Provider
from tests.bench.site import Site

ROWS = 400
LATENCY_MS = 50
JOB_SECONDS = 40  # longer than the site needs to come back twice, so that there is something to follow
DOMAIN = "tests.bench.distilling"
TIMES = {
    "OPERATION_STEP_SECONDS": "10",
    "FOLLOW_SECONDS": "1",
    "FILE_POLL_SECONDS": "0.5",
    "DEPLOY_POLL_SECONDS": "0.5",
    "RECONCILE_EVERY_SECONDS": "2",
    "RECONCILE_SECONDS": "10",
}
# The provider takes its time to say how far the file is, so that this read is under way when the site dies.
SLOW_FILE = {"kind": "slow", "resource": "azure-v1", "method": "GET", "path": "/files/*", "seconds": 6}
SENDING = "portal_remoteaction WHERE state = 'sending' AND kind = "
MADE = {"file": "created:file", "job": "created:ftjob", "deployment": "created:deployment/"}
# What must be asked for once, never again after the sync, and as often as there is something to wait for.
KINDS = (
    "POST /files",
    "POST /fine_tuning/jobs",
    "PUT deployment",
    "GET, stored completions",
    "GET, files, jobs and deployments",
)


@dataclass(frozen=True)
class Point:
    """A moment of a distillation: the rows that exist only then, and what the provider has just made."""

    name: str
    under_way: str
    flying: str
    made: str = ""
    begin: str = ""
    once: str = ""


POINTS = (
    Point(
        "build",
        "portal_operation WHERE state = 'running' AND kind = 'dataset.build' AND done > 0 AND done < total",
        "a chunk of the file",
        begin="build",
    ),
    Point(
        "upload",
        SENDING + "'upload'",
        "the answer to POST /files",
        made="file",
        begin="launch",
        once="datasets_datasetversion WHERE state = 'ready'",
    ),
    Point(
        "file processing",
        "portal_operation WHERE state = 'running' AND kind = 'finetune.launch'"
        " AND EXISTS (SELECT 1 FROM datasets_uploadedfile WHERE remote_id <> '')"
        " AND NOT EXISTS (SELECT 1 FROM portal_remoteaction WHERE kind = 'fine_tune')",
        "GET /files/ID",
    ),
    Point("job create", SENDING + "'fine_tune'", "the answer to POST /fine_tuning/jobs", made="job"),
    Point(
        "follow",
        "portal_operation WHERE state = 'running' AND kind = 'finetune.follow'"
        " AND EXISTS (SELECT 1 FROM datasets_finetune WHERE state = 'running' AND polled IS NOT NULL)",
        "GETs of the job",
    ),
    Point(
        "deploy",
        SENDING + "'deploy'",
        "the answer to PUT deployments/NAME",
        made="deployment",
        begin="deploy",
        once="datasets_finetune WHERE state = 'succeeded'",
    ),
)


class Journal:
    """What the provider was asked for from now on."""

    def __init__(self, provider: Provider) -> None:
        self.provider, self.entries, self.next = provider, list[dict[str, Any]](), 0
        self.read()
        self.entries.clear()

    def read(self) -> "Journal":
        while True:
            found = self.provider.control("GET", f"/journal?after={self.next}")
            if found["next"] == self.next:
                return self
            self.entries += found["entries"]
            self.next = found["next"]

    def made(self, what: str) -> int:
        """How many of these were really made."""
        return sum(entry.get("effect", "").startswith(MADE[what]) for entry in self.entries)

    def requests(self) -> Counter[str]:
        """Requests that make something, and reads of what the mirror holds already."""
        return Counter(filter(None, map(_kind, self.entries)))


def _kind(entry: dict[str, Any]) -> str:
    method, path = entry["method"], entry["path"]
    if method == "PUT" and "/deployments/" in path:
        return "PUT deployment"
    if method == "POST" and path in ("/files", "/fine_tuning/jobs"):
        return f"POST {path}"
    if method == "GET" and path.startswith("/chat/completions"):
        return "GET, stored completions"
    return "GET, files, jobs and deployments" if method == "GET" and "token" not in path else ""


def run(provider: Provider, who: str) -> tuple[dict[str, Any], Journal]:
    """One distillation in which `who` is killed at every point: what the site has, what was asked for."""
    identity = {
        "IDENTITY_ENDPOINT": f"{provider.url}/identity/token",
        "IDENTITY_HEADER": "sandbox-identity-header",
    }
    site = Site(provider, [DOMAIN, "begin", provider.url], TIMES | identity)
    try:
        site.wait(lambda: site.rows() >= ROWS and site.ended(), what="the sync")
        journal = Journal(provider)
        if who:
            provider.control("POST", "/faults", {"faults": [SLOW_FILE]})
        for point in POINTS:
            _pass(site, journal, point, who)
        site.wait(lambda: _settled(site), what="the deployment is settled")
        return site.read(DOMAIN, "state"), journal.read()
    finally:
        provider.control("DELETE", "/faults")
        site.stop()


def _settled(site: Site) -> bool:
    return site.ended() and site.count("datasets_deployment WHERE state IN ('creating', 'warming')") == 0


def _pass(site: Site, journal: Journal, point: Point, who: str) -> None:
    """Begin what the point belongs to and, in the middle of it, kill."""
    if point.once:
        site.wait(lambda: bool(site.count(point.once)), what=point.once)
    name = [f"student-{who or 'calm'}"] if point.begin == "deploy" else []
    begun = site.begin(DOMAIN, point.begin, *name) if point.begin else None
    if who:

        def met() -> bool:
            return bool(site.count(point.under_way)) and (
                not point.made or journal.read().made(point.made) > 0
            )

        site.wait(met, what=f"{point.name}: {point.under_way}", pause=0.002)
        began = monotonic()
        site.kill(who)
        gone = monotonic() - began
        after = ", ".join(f"{kind} {state}" for kind, state in site.ask(OPEN)) or "nothing open"
        print(
            f"  {point.name:<16} {who:<10} {point.flying:<36} {gone:>4.1f} s   {after}",
            flush=True,
        )
        if point.name == "file processing":
            journal.provider.control("DELETE", "/faults")
    if begun is not None and begun.wait():
        raise SystemExit(f"{point.begin} ended with status {begun.returncode}")


# What the dead left behind.
OPEN = (
    "SELECT kind, state FROM portal_operation WHERE state IN ('ready', 'running', 'waiting')"
    " UNION ALL SELECT kind, state FROM portal_remoteaction WHERE state NOT IN ('confirmed', 'planned')"
)


def table() -> bool:
    """Print every kill and what came of it; true if each thing was made exactly once."""
    print(f"\ndistillation of {ROWS} rows at {LATENCY_MS} ms, killed at any moment", flush=True)
    print(f"  {'point':<16} {'killed':<10} {'in flight':<36} {'gone in':>6}   left behind")
    fine = True
    runs: list[tuple[str, Journal]] = []
    sha256 = ""
    with Provider(rows=ROWS, latency_ms=LATENCY_MS, job_seconds=JOB_SECONDS) as provider:
        for who in ("", "worker", "supervisor"):
            found, journal = run(provider, who)
            runs.append((who or "nothing", journal))
            sha256 = sha256 or found["sha256"]
            fine &= _judge(who or "nothing", found, journal, sha256)
    print(f"\n  {'requests after the sync, killed:':<36}" + "".join(f" {who:>10}" for who, _ in runs))
    for kind in KINDS:
        print(f"  {kind:<36}" + "".join(f" {journal.requests()[kind]:>10}" for _, journal in runs))
    return fine


def _judge(who: str, found: dict[str, Any], journal: Journal, sha256: str) -> bool:
    made = {what: journal.made(what) for what in MADE}
    requests = journal.requests()
    fine = (
        all(count == 1 for count in made.values())
        and [requests[kind] for kind in KINDS[:-1]] == [1, 1, 1, 0]
        and found["sha256"] == found["sealed"] == sha256
        and (found["fine_tune"], found["deployment"], found["failed"]) == ("succeeded", "ready", 0)
        and all(state == "confirmed" for _, state in found["actions"])
    )
    same = "equal" if found["sha256"] == sha256 else "DIFFERENT"
    print(
        f"  {who} killed: journal created {', '.join(f'{count} {what}' for what, count in made.items())};"
        f" {found['rows']} rows, sha256 {found['sha256'][:16]} {same};"
        f" fine-tune {found['fine_tune']}, deployment {found['deployment']}, {found['adopted']} adopted:"
        f" {'OK' if fine else 'NOT OK'}",
        flush=True,
    )
    return fine
