"""`manage.py evaluate`: a run from a terminal or a CI job; the exit code says how it went."""

import json
from argparse import ArgumentParser
from time import monotonic, sleep
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from datasets import received
from datasets.evaluate import goals, setup, tally
from datasets.evaluate import run as runs
from datasets.evaluate.report import Judged, Report
from datasets.models import Evaluation, Run
from datasets.run_forms import MOST_REPETITIONS
from portal import steps
from portal.models import Operation, User
from portal.wording import percent

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
        parser.add_argument(
            "--repetitions",
            type=int,
            metavar="N",
            help=f"fresh answers to each item, 1 to {MOST_REPETITIONS}",
        )
        parser.add_argument(
            "--within",
            type=float,
            metavar="MINUTES",
            help="wait no longer; the run goes on where there is a worker. Otherwise as long as it takes",
        )
        parser.add_argument("--json", action="store_true", help="print the numbers as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        share, repetitions = options["at_least"], options["repetitions"]
        if share is not None and not 0 <= share <= 1:
            raise CommandError("--at-least takes a share from 0 to 1.", returncode=NOT_RUN)
        if repetitions is not None and not 1 <= repetitions <= MOST_REPETITIONS:
            raise CommandError(f"--repetitions takes 1 to {MOST_REPETITIONS}.", returncode=NOT_RUN)
        if options["within"] is not None and not options["within"] > 0:
            raise CommandError("--within takes minutes, more than 0.", returncode=NOT_RUN)
        goal = goals.Goal(options["grader"] or "", share, options["no_worse"])
        try:
            run = self._run(options["evaluation"], options["user"], goal, repetitions, options["within"])
            found = tally.report_of(run)
        except Error as error:  # without this it would end as if the goal were missed
            raise CommandError(f"The database does not answer. {error}", returncode=NOT_RUN) from error
        self._tell(run, found, self._judged(found, goal.grader), as_json=options["json"])
        if run.misses:
            raise CommandError("\n".join(run.misses), returncode=RED)

    def _run(
        self, number: int, name: str, goal: goals.Goal, repetitions: int | None, within: float | None
    ) -> Run:
        user: User | None = User.objects.filter(username=name).first()
        evaluation = Evaluation.objects.actionable_by(user).filter(pk=number).first() if user else None
        if user is None or evaluation is None:
            raise CommandError(
                f"There is no evaluation {number} that “{name}” may act on.", returncode=NOT_RUN
            )
        usual = evaluation.setup.get("run") or {}
        self._check_grader(evaluation, goal.grader)
        try:
            run = runs.start(
                evaluation,
                setup.targets_of(evaluation),
                user,
                repetitions=repetitions or usual.get("repetitions", 1),
                goal=goal.as_dict() or usual.get("goal"),
            )
        except runs.Refused as refused:
            raise CommandError(str(refused), returncode=NOT_RUN) from refused
        until = None if within is None else monotonic() + 60 * within
        while (live := self._live(run)) is not None:
            if run.state == Run.State.PAUSED:
                raise CommandError(f"{run} is paused. Go on with it on its page.", returncode=NOT_RUN)
            if until is not None and monotonic() > until:
                raise CommandError(f"{run} was not done within {within:g} minutes.", returncode=NOT_RUN)
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
        items = received.operation_of(run.evaluation.version)
        return [items, operation] if items is not None and items.is_live else [operation]

    def _check_grader(self, evaluation: Evaluation, name: str) -> None:
        names = [grader.name for grader in evaluation.graders.all()]
        if name and name not in names:
            there = ", ".join(f"“{each}”" for each in names)
            raise CommandError(f"There is no grader “{name}”; there are {there}.", returncode=NOT_RUN)

    def _judged(self, found: Report, name: str) -> Judged:
        judged = goals.judged_by(found, name)
        if judged is None:
            raise CommandError("Nothing was judged.", returncode=NOT_RUN)
        return judged

    def _tell(self, run: Run, found: Report, judged: Judged, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(_numbers(run, found, judged), ensure_ascii=False))
            return
        self.stdout.write(f"{run}: {found.headline}")
        for one in found.graders:
            rates = ", ".join(
                f"{cell.label} {'none' if cell.rate is None else percent(cell.rate, 1)} of {cell.judged:,}"
                for cell in one.cells
            )
            self.stdout.write(f"  {one.name}: {rates}")


def _numbers(run: Run, found: Report, judged: Judged) -> dict[str, Any]:
    return {
        "run": run.pk,
        "number": run.number,
        "headline": found.headline,
        "items": found.items,
        "repetitions": run.repetitions,
        "grader": judged.name,
        "targets": [
            {"label": cell.label, "passed": cell.passed, "judged": cell.judged, "rate": cell.rate}
            for cell in judged.cells
        ],
        "red": run.misses,
    }
