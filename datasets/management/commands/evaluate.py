"""`manage.py evaluate`: a run from a terminal or a CI job; the exit code says how it went."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from time import sleep
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from datasets.build import build
from datasets.evaluate import run as runs
from datasets.evaluate import setup, tally
from datasets.evaluate.report import Judged, Report
from datasets.models import Evaluation, Run
from portal import steps
from portal.models import Operation, User

PASSED, RED, NOT_RUN = 0, 1, 2
LOOK_EVERY = 0.2


class Command(BaseCommand):
    help = (
        "Run an evaluation with its usual targets and wait for its report. Ends with 0; with 1 if what is"
        " asked for does not hold; with 2 if it could not be run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("evaluation", type=int, help="its number, as in its address")
        parser.add_argument("--user", required=True, help="whose rights and name the run has")
        parser.add_argument("--grader", help="look at this grader, by its name; otherwise at all together")
        parser.add_argument(
            "--at-least", type=float, metavar="SHARE", help="each target passes on this share, 0 to 1"
        )
        parser.add_argument(
            "--no-worse", action="store_true", help="no target is clearly worse than the first one"
        )
        parser.add_argument("--json", action="store_true", help="print the numbers as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        share = options["at_least"]
        if share is not None and not 0 <= share <= 1:
            raise CommandError("--at-least takes a share from 0 to 1.", returncode=NOT_RUN)
        run = self._run(options["evaluation"], options["user"])
        found = tally.report_of(run)
        judged = self._judged(found, options["grader"])
        red = list(_red(judged, share, no_worse=options["no_worse"]))
        self._tell(run, found, judged, red, as_json=options["json"])
        if red:
            raise CommandError("\n".join(red), returncode=RED)

    def _run(self, number: int, name: str) -> Run:
        user: User | None = User.objects.filter(username=name).first()
        evaluation = Evaluation.objects.actionable_by(user).filter(pk=number).first() if user else None
        if user is None or evaluation is None:
            raise CommandError(
                f"There is no evaluation {number} that “{name}” may act on.", returncode=NOT_RUN
            )
        try:
            run = runs.start(evaluation, setup.targets_of(evaluation), user)
        except runs.Refused as refused:
            raise CommandError(str(refused), returncode=NOT_RUN) from refused
        while (live := self._live(run)) is not None:
            if not any(steps.work_on(operation.pk) for operation in live):
                sleep(LOOK_EVERY)  # a worker has it, or it waits for its time
        run.refresh_from_db()
        if run.state != Run.State.DONE:
            operation = run.operation
            why = operation.error_text if operation is not None else ""
            raise CommandError(f"{run}: {run.get_state_display()}. {why}".strip(), returncode=NOT_RUN)
        return run

    def _live(self, run: Run) -> list[Operation] | None:
        """What is still to be done for the run, its items first; None when nothing is."""
        run.refresh_from_db()
        operation = run.operation
        if operation is None or not operation.is_live:
            return None
        items = build.operation_of(run.evaluation.version)
        return [items, operation] if items is not None and items.is_live else [operation]

    def _judged(self, found: Report, name: str | None) -> Judged:
        judged = (
            found.chief if name is None else next((one for one in found.graders if one.name == name), None)
        )
        if judged is None:
            names = ", ".join(f"“{one.name}”" for one in found.graders if one.id)
            raise CommandError(f"There is no grader “{name}”; there are {names}.", returncode=NOT_RUN)
        return judged

    def _tell(self, run: Run, found: Report, judged: Judged, red: list[str], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(_numbers(run, found, judged, red), ensure_ascii=False))
            return
        self.stdout.write(f"{run}: {found.headline}")
        for one in found.graders:
            rates = ", ".join(
                f"{cell.label} {'none' if cell.rate is None else f'{cell.rate:.1%}'} of {cell.judged:,}"
                for cell in one.cells
            )
            self.stdout.write(f"  {one.name}: {rates}")


def _red(judged: Judged, share: float | None, *, no_worse: bool) -> Iterator[str]:
    """What does not hold, in words."""
    for cell in judged.cells if share is not None else ():
        assert share is not None
        if cell.rate is None:
            yield f"{cell.label}: nothing could be judged by “{judged.name}”."
        elif cell.rate < share:
            yield f"{cell.label} passes “{judged.name}” on {cell.rate:.1%}, asked for are {share:.1%}."
    for difference in judged.differences if no_worse else ():
        if difference.is_clear and difference.points < 0:
            yield f"{difference.second} is worse than {difference.first} by {difference.in_points}."


def _numbers(run: Run, found: Report, judged: Judged, red: list[str]) -> dict[str, Any]:
    return {
        "run": run.pk,
        "number": run.number,
        "headline": found.headline,
        "items": found.items,
        "grader": judged.name,
        "targets": [
            {"label": cell.label, "passed": cell.passed, "judged": cell.judged, "rate": cell.rate}
            for cell in judged.cells
        ],
        "red": red,
    }
