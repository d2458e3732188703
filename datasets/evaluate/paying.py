"""What a run may cost, connection by connection: reserved before it starts, settled when it ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from datasets.evaluate import setup
from datasets.evaluate.targets import Target, read
from datasets.models import Call, Evaluation, Run
from datasets.purse import NOTHING, Purse, rates_of
from portal.models import Connection
from portal.prices import Rates
from portal.spending import Standing, state_of

SUBJECT = Run._meta.label_lower


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a connection will be asked to pay, and what it has left; None where no price is known."""

    connection: Connection
    amount: Decimal | None
    standing: Standing


def ahead(evaluation: Evaluation, targets: Sequence[Target]) -> list[Ahead]:
    """What a run of these targets may cost, before there is one."""
    fresh = tuple(target for target in targets if target.is_fresh)
    expected = setup.estimate(evaluation, fresh) if fresh else None
    found = []
    for connection in Connection.objects.filter(pk__in={each.connection for each in fresh}).defer("secret"):
        asked = [target for target in fresh if target.connection == connection.pk]
        each = [_of_one(rates_of(connection, target.model), expected) for target in asked]
        known = [amount * expected.items for amount in each if amount is not None and expected is not None]
        amount = sum(known, NOTHING) if len(known) == len(each) else None
        found.append(Ahead(connection, amount, state_of(connection)))
    return found


def purses(run: Run, user: Any, *, ahead: bool = True) -> dict[int, Purse]:
    """One for each connection that the run asks, knowing what its answers so far did cost.

    Not `ahead`: without an estimate of what is still to come, which takes a look at many rows.
    """
    fresh = [target for target in read(run.targets) if target.is_fresh]
    asked = Connection.objects.filter(pk__in={target.connection for target in fresh}).defer("secret")
    expected = setup.estimate(run.evaluation, tuple(fresh)) if fresh and ahead else None
    made = {}
    for connection in asked:
        mine = [target for target in fresh if target.connection == connection.pk]
        rates = {target.key: rates_of(connection, target.model) for target in mine}
        made[connection.pk] = Purse(
            connection=connection,
            subject_type=SUBJECT,
            subject_id=f"{run.pk}/{connection.pk}",
            what=f"Run {run.number} of {run.evaluation}",
            user=user,
            rates=rates,
            each={key: _of_one(each, expected) for key, each in rates.items()},
        )
        for place, target in enumerate(mine):
            _remember(made[connection.pk], run, target, run.repeated_calls if not place else 0)
    return made


def _of_one(rates: Rates, expected: setup.Estimate | None) -> Decimal | None:
    """What one call will cost on average."""
    if expected is None or not expected.calls:
        return None
    whole = rates.of(expected.prompt_tokens, expected.completion_tokens)
    return None if whole is None else whole / expected.calls


def _remember(purse: Purse, run: Run, target: Target, repeated: int) -> None:
    done = Call.objects.filter(run=run, target=target.key, grader="", state=Call.State.DONE)
    purse.remember(target.key, done.values_list("answer__usage", flat=True).iterator(), repeated)


def reserve(run: Run, user: Any) -> None:
    """Keep what the calls that are still to be made may cost. Raises spending.OverBudget."""
    for purse in purses(run, user).values():
        purse.keep(purse.cost_of(_still_to_make(run, purse)))


def _still_to_make(run: Run, purse: Purse) -> dict[str, int]:
    """How many calls are left by target; before there are rows for them, as many as there are items."""
    calls = Call.objects.filter(run=run, grader="")
    if not calls.exists():
        items = setup.estimate(run.evaluation, ()).items
        return dict.fromkeys(purse.rates, items)
    left = calls.exclude(state__in=(Call.State.DONE, Call.State.FAILED))
    return {key: left.filter(target=key).count() for key in purse.rates}


def settle(run: Run) -> None:
    """Write down what the answers did cost; what was reserved beyond that is free again."""
    for purse in purses(run, None, ahead=False).values():
        purse.settle()
