"""One whole sync into an empty mirror, in this process, as a worker does it step by step."""

import json
import os
import resource
import sys
from pathlib import Path
from time import perf_counter, sleep


def run(base_url: str, key: str, database: str) -> dict[str, float]:
    """Mirror everything; seconds, rows and peak memory."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from completions import schedule
    from completions.models import StoredCompletion
    from portal import steps
    from portal.models import Operation
    from tests import factories

    connection = factories.connection(base_url=base_url, secret=key)
    begun = perf_counter()
    schedule.sync_now(connection, None)
    while (operation := Operation.objects.live().order_by("id").first()) is not None:
        if not steps.work_on(operation.pk):
            sleep(0.05)
    seconds = perf_counter() - begun
    bad = Operation.objects.exclude(state=Operation.State.DONE).values_list("kind", "error_text")
    if bad:
        raise SystemExit(f"not everything ended well: {list(bad)}")
    return {
        "seconds": seconds,
        "rows": StoredCompletion.objects.count(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "cpu": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
    }


if __name__ == "__main__":
    if profile := os.environ.get("BENCH_PROFILE"):
        import cProfile

        profiler = cProfile.Profile()
        profiler.enable()
    answer = run(*sys.argv[1:4])
    if profile:
        profiler.disable()
        profiler.dump_stats(profile)
    print(json.dumps(answer))
    sys.stdout.flush()
    assert Path(sys.argv[3]).name
