"""What a run may cost, connection by connection: reserved before it starts, settled when it ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

from django.db.models import Q, QuerySet

from datasets.evaluate import setup
from datasets.evaluate.judges import Judge, judges_of
from datasets.evaluate.targets import Target, read
from datasets.models import Call, Evaluation, Grader, Run
from datasets.purse import NOTHING, Purse, rates_of
from portal import spending
from portal.models import Connection, Spending
from portal.prices import Rates
from portal.spending import Standing, state_of

SUBJECT = Run._meta.label_lower
AROUND = 250  # tokens of a judge's instructions
VERDICT = 80  # tokens of a reason with its result


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a connection will be asked to pay, and what it has left; None where no price is known."""

    connection: Connection
    amount: Decimal | None
    standing: Standing


@dataclass(frozen=True, slots=True)
class Payee:
    """A deployment that is asked for answers, or by a judge; `times` is how often for one item."""

    key: str
    connection: int
    model: str
    times: int
    judge: Judge | None = None

    def calls(self, run: Run) -> "QuerySet[Call]":
        """Its calls in a run."""
        mine = {"grader": self.key} if self.judge else {"grader": "", "target": self.key}
        found: QuerySet[Call] = Call.objects.filter(run=run, **mine)
        return found

    def cost(self, rates: Rates, expected: setup.Estimate | None) -> Decimal | None:
        """What one call will cost on average; None where that is not known."""
        each = self.tokens(expected)
        return rates.of(max(1, round(each[0])), round(each[1])) if each is not None else None

    def tokens(self, expected: setup.Estimate | None) -> tuple[float, float] | None:
        """What one call takes in and gives out on average; None where that is not known."""
        if expected is None or expected.prompt_each is None or expected.completion_each is None:
            return None
        prompt, completion = expected.prompt_each, expected.completion_each
        if self.judge is not None:
            if self.judge.part.kind == Grader.Kind.TEXT_SIMILARITY:
                prompt, completion = 2 * completion, 0
            else:
                prompt += completion * (2 if self.judge.compares else 1) + AROUND
                completion = VERDICT
        return prompt, completion

    def rates(self, connection: Connection) -> Rates:
        """Its prices. Embeddings give no tokens out, so that theirs is known with one price alone."""
        found = rates_of(connection, self.model)
        embeds = self.judge is not None and self.judge.part.kind == Grader.Kind.TEXT_SIMILARITY
        return Rates(found.input, found.output or found.input) if embeds else found


def payees(evaluation: Evaluation, targets: Sequence[Target], repetitions: int) -> list[Payee]:
    """Everybody who is asked in a run of these targets."""
    asked = [
        Payee(target.key, target.connection, target.model, repetitions)
        for target in targets
        if target.connection is not None
    ]
    judges = judges_of(evaluation.graders.all())
    return asked + [
        Payee(judge.key, judge.connection, judge.model, judge.times(targets, repetitions), judge)
        for judge in judges
    ]


def agreed(evaluation: Evaluation, targets: Sequence[Target], repetitions: int) -> str:
    """Who would be asked, and how often, in one word: whoever saw one price has not agreed to another.

    Empty where nobody is asked.
    """
    asked = sorted(
        (each.connection, each.model, each.times, each.judge is not None)
        for each in payees(evaluation, targets, repetitions)
    )
    return sha256(repr(asked).encode()).hexdigest()[:16] if asked else ""


def ahead(evaluation: Evaluation, targets: Sequence[Target], repetitions: int, user: Any) -> list[Ahead]:
    """What a run of these targets may cost, before there is one, on the connections that `user` may see."""
    asked = payees(evaluation, targets, repetitions)
    expected = setup.estimate(evaluation, tuple(targets), repetitions) if asked else None
    found = []
    seen = Connection.objects.readable_by(user).filter(pk__in={each.connection for each in asked})
    for connection in seen.defer("secret"):
        mine = [payee for payee in asked if payee.connection == connection.pk]
        each = [(payee, payee.cost(payee.rates(connection), expected)) for payee in mine]
        known = [
            cost * payee.times * expected.items
            for payee, cost in each
            if cost is not None and expected is not None
        ]
        amount = sum(known, NOTHING) if len(known) == len(each) else None
        found.append(Ahead(connection, amount, state_of(connection)))
    return found


def tokens_ahead(
    evaluation: Evaluation, targets: Sequence[Target], repetitions: int, expected: setup.Estimate
) -> tuple[int, int]:
    """About how many tokens a run takes in and gives out, its judges among them."""
    each = [
        (payee.times * expected.items, payee.tokens(expected) or (0.0, 0.0))
        for payee in payees(evaluation, targets, repetitions)
    ]
    return round(sum(n * prompt for n, (prompt, _) in each)), round(sum(n * out for n, (_, out) in each))


def purses(run: Run, user: Any, *, ahead: bool = True) -> dict[int, Purse]:
    """One for each connection that the run asks, knowing what its answers so far did cost.

    Not `ahead`: without an estimate of what is still to come, which takes a look at many rows.
    """
    targets = read(run.targets)
    asked = payees(run.evaluation, targets, run.repetitions)
    expected = setup.estimate(run.evaluation, targets, run.repetitions) if asked and ahead else None
    made = {}
    for connection in Connection.objects.filter(pk__in={each.connection for each in asked}).defer("secret"):
        mine = [payee for payee in asked if payee.connection == connection.pk]
        rates = {payee.key: payee.rates(connection) for payee in mine}
        made[connection.pk] = purse = Purse(
            connection=connection,
            subject_type=SUBJECT,
            subject_id=f"{run.pk}/{connection.pk}",
            what=f"Run {run.number} of {run.evaluation}",
            user=user,
            rates=rates,
            each={payee.key: payee.cost(rates[payee.key], expected) for payee in mine},
        )
        for place, payee in enumerate(mine):
            # A call that is asked again was answered before, if not well.
            done = payee.calls(run).filter(Q(state=Call.State.DONE) | Q(answer__has_key="usage"))
            usages = done.values_list("answer__usage", flat=True).iterator()
            purse.remember(payee.key, usages, run.repeated_calls if not place else 0)
    return made


def reserve(run: Run, user: Any, *, only: int | None = None, spent: Decimal = NOTHING) -> None:
    """Keep what the calls that are still to be made may cost, on one connection or on all that are asked.

    `spent` is what it did cost already beside the calls that have rows. Raises spending.OverBudget.
    """
    asked = payees(run.evaluation, read(run.targets), run.repetitions)
    for pk, purse in purses(run, user).items():
        if only not in (None, pk):
            continue
        purse.spent += spent
        mine = [payee for payee in asked if payee.connection == pk]
        purse.keep(purse.cost_of({payee.key: _still_to_make(run, payee) for payee in mine}))


def _still_to_make(run: Run, payee: Payee) -> int:
    """How many of its calls are left; before there are rows for them, as many as the items take."""
    calls = payee.calls(run)
    if not calls.exists():
        return setup.estimate(run.evaluation, ()).items * payee.times
    return calls.exclude(state__in=(Call.State.DONE, Call.State.FAILED)).count()


def give_up(evaluation: Evaluation) -> None:
    """Keep nothing any more for runs that are deleted. Of one that may still go on at a provider the cost is
    unknown from then on: nobody will come back to say it.
    """
    ids = {str(pk) for pk in evaluation.runs.values_list("pk", flat=True)}
    kept = Spending.objects.filter(subject_type=SUBJECT, state=Spending.State.RESERVED)
    for subject in kept.values_list("subject_id", flat=True):
        if subject.partition("/")[0] in ids:
            spending.settle(SUBJECT, subject, None)


def settle(run: Run) -> None:
    """Write down what the answers did cost; what was reserved beyond that is free again.

    Answers of which upstream did not say what they used count as it was estimated, as while they were made.
    """
    found = purses(run, None, ahead=False)
    if any(purse.untold for purse in found.values()):
        found = purses(run, None)
    for purse in found.values():
        purse.settle()
