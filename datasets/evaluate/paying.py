"""What a run may cost, connection by connection: reserved before it starts, settled when it ends."""

from typing import Any

from datasets.evaluate import setup
from datasets.evaluate.targets import Target, read
from datasets.models import Call, Run
from datasets.purse import Purse, rates_of
from portal.models import Connection

SUBJECT = Run._meta.label_lower


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
            each={
                key: each.of(expected.prompt_tokens, expected.completion_tokens) / expected.calls
                if expected and expected.calls and each.known
                else None
                for key, each in rates.items()
            },
        )
        for place, target in enumerate(mine):
            _remember(made[connection.pk], run, target, run.repeated_calls if not place else 0)
    return made


def _remember(purse: Purse, run: Run, target: Target, repeated: int) -> None:
    done = Call.objects.filter(run=run, target=target.key, grader="", state=Call.State.DONE)
    purse.remember(target.key, done.values_list("answer__usage", flat=True).iterator(), repeated)


def reserve(run: Run, user: Any) -> None:
    """Keep what the calls that are still to be made may cost. Raises spending.OverBudget."""
    for purse in purses(run, user).values():
        still = _still_to_make(run, purse)
        amounts = [
            None if purse.each[key] is None else purse.each[key] * calls for key, calls in still.items()
        ]
        known = [amount for amount in amounts if amount is not None]
        purse.keep(None if len(known) < len(amounts) else sum(known, purse.spent))


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
