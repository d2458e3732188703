"""Follow a run at the provider, read what came of every item, and end it like a run here."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from datasets.evaluate import provider_items, provider_lines
from datasets.evaluate.items import Items
from datasets.evaluate.provider_errands import CANCELED
from datasets.evaluate.provider_paying import settle
from datasets.evaluate.run import conclude, outcome_of
from datasets.evaluate.tally import summarise
from datasets.evaluate.targets import Target
from datasets.models import Call, Example, Result, Run
from portal import operations
from portal.crashpoints import crashpoint
from portal.upstream import Upstream, UpstreamError

LOOKS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds between looks at a run, longer and longer
ROWS_AT_ONCE = 1000
FROM_THE_START = 3  # times that results are read anew, where the place up to which they were read is gone


def keep(work: operations.Working, run: Run, told: Mapping[str, Any], note: str | None = None) -> None:
    """Keep what the provider told of a run; under the fence of this step."""
    with transaction.atomic():
        work.advance(note=note)
        run.upstream = {**run.upstream, **told}
        Run.objects.filter(pk=run.pk).update(upstream=run.upstream)


def follow(work: operations.Working, run: Run, upstream: Upstream) -> operations.Wait | None:
    """None as soon as the run has ended well; what it says meanwhile is shown in its own words."""
    try:
        told = upstream.get_eval_run(run.upstream["eval"], run.upstream["run"])
    except UpstreamError as error:
        if error.kind != "not_found":
            raise
        keep(work, run, {"status": "deleted"})
        raise operations.Failed(
            "gone_there", "The run was deleted at the provider. “Go on” starts it anew."
        ) from error
    judged = sum(told.counts[name] for name in ("errored", "failed", "passed"))
    with transaction.atomic():
        work.advance(done=judged, total=told.counts["total"] or run.evaluation.version.rows)
        facts = {
            "status": told.status[:40],
            "report_url": told.report_url[:500],
            "counts": told.counts,
            "usage": provider_items.usage_of(told.usage),
        }
        keep(work, run, facts, f"The provider says: {told.status or 'nothing'}"[:200])
    if told.status == "completed":
        crashpoint("provider.completed")
        return None
    if told.status in CANCELED:
        raise operations.Failed(
            "cancelled_there", "The run was cancelled at the provider. “Go on” starts it anew."
        )
    if told.status == "failed":
        raise operations.Failed("failed_there", f"The run failed at the provider. {told.error[:600]}".strip())
    looks = int(work.operation.cursor.get("looks", 0))
    work.advance(cursor={**work.operation.cursor, "looks": looks + 1})
    return operations.Wait(LOOKS[min(looks, len(LOOKS) - 1)], f"The provider says: {told.status}"[:200])


def take_in(work: operations.Working, run: Run, target: Target, upstream: Upstream) -> bool:
    """Read what came of every item, page by page; False when the step's time is up first."""
    graders = list(run.evaluation.graders.all())
    cursor = dict(work.operation.cursor)
    pages = upstream.output_item_pages(
        run.upstream["eval"], run.upstream["run"], after=cursor.get("after", "")
    )
    try:
        for page in pages:
            found = provider_items.read(run, target, graders, page.items)
            ids = [item.id for item in page.items if item.id]
            cursor |= {
                "after": ids[-1] if ids else cursor.get("after", ""),
                "strange": cursor.get("strange", 0) + found.strange,
            }
            with transaction.atomic():
                work.advance(cursor=cursor, step="reading", note="Reading the results")
                Call.objects.bulk_create(found.calls, ignore_conflicts=True)
                Result.objects.bulk_create(found.results, ignore_conflicts=True)
            crashpoint("provider.imported")
            if work.cancelled():
                raise operations.Cancelled
            if not work.time_left():
                return False
    except UpstreamError as error:
        again = int(cursor.get("again", 0)) + 1
        if error.code == "cursor_gone" and again <= FROM_THE_START:
            # What was read is written once, however often it is read.
            work.advance(cursor={**cursor, "after": "", "again": again})
            return False
        if error.code not in ("too_large", "loop", "cursor_gone"):
            raise
        work.log(f"The rest of the results cannot be read. {error.message}", "warn")
    return True


def fill(work: operations.Working, run: Run, target: Target) -> None:
    """Items of which the provider said nothing are ungraded, with the reason where it is known."""
    graders = list(run.evaluation.graders.all())
    with Items(run.evaluation) as items:
        after = 0
        every = Example.objects.filter(version=run.evaluation.version, line__isnull=False).order_by("line")
        while batch := list(every.filter(line__gt=after)[:ROWS_AT_ONCE]):
            after = batch[-1].line or 0
            there = set(Result.objects.filter(run=run, example__in=batch).values_list("example", "grader"))
            missing = [each for each in batch if any((each.pk, grader.pk) not in there for grader in graders)]
            calls, results = [], []
            for example in missing:
                sent = provider_lines.row_of(target, items.of(example), example)
                why = sent if isinstance(sent, str) else provider_items.NO_VERDICT
                results += [provider_items.ungraded(run, target, grader, example, why) for grader in graders]
                if target.is_fresh:
                    answer = sent if isinstance(sent, str) else provider_items.NO_ANSWER
                    calls.append(provider_items.unanswered(run, target, example, answer))
            with transaction.atomic():
                work.advance(step="reading")
                Call.objects.bulk_create(calls, ignore_conflicts=True)
                Result.objects.bulk_create(results, ignore_conflicts=True)


def finish(work: operations.Working, run: Run) -> operations.Done:
    summary = summarise(run)
    strange = int(work.operation.cursor.get("strange", 0))
    with transaction.atomic():
        keep(work, run, {"strange": strange}, "")
        settle(run)
        conclude(run, summary, work.operation.requested_by)
    if strange:
        work.log(f"{strange:,} results belong to no item or grader of this run and were left out.", "warn")
    return outcome_of(run)
