"""What a run at the provider may cost, reserved as for a run here; and what it did cost by its models."""

from decimal import Decimal
from typing import Any

from datasets.evaluate import paying
from datasets.evaluate.provider_errands import RunErrand
from datasets.evaluate.run import Refused
from datasets.evaluate.targets import read
from datasets.models import Run
from datasets.purse import NOTHING, rates_of
from portal import spending
from portal.models import Connection, RemoteAction

_OPEN = (RemoteAction.State.SENDING, RemoteAction.State.UNKNOWN, RemoteAction.State.NOT_FOUND)


def reserve(run: Run, user: Any) -> None:
    """Keep what it may cost. Raises run.Refused where the budget does not allow it."""
    try:
        paying.reserve(run, user)
    except spending.OverBudget as over:
        raise Refused(str(over)) from over


def settle(run: Run) -> None:
    """Write down what it did cost; where nothing was made there, everything is free again."""
    place = Connection.objects.filter(pk=run.upstream.get("connection")).first()
    if place is None:
        return
    subject = (paying.SUBJECT, f"{run.pk}/{place.pk}")
    if RemoteAction.objects.filter(
        connection=place, kind=RunErrand.kind, dedupe_key=f"run:{run.pk}", state__in=_OPEN
    ).exists():
        return  # it may be going on there: what it may cost stays reserved until that is known
    if not run.upstream.get("run"):
        spending.release(*subject)
    else:
        spending.settle(*subject, cost_of(run, place))


def cost_of(run: Run, place: Connection) -> Decimal | None:
    """What the models used, at the prices of the connection; None where a price or the usage is not known."""
    usage = run.upstream.get("usage")
    if not isinstance(usage, list):
        return None
    asked = {payee.model for payee in paying.payees(run.evaluation, read(run.targets), 1)}
    total = NOTHING
    for entry in usage:
        rates = rates_of(place, str(entry.get("model", "")))
        if not rates.known and len(asked) == 1:
            # The service names the model where it was asked for the deployment.
            rates = rates_of(place, next(iter(asked)))
        cost = rates.of(entry.get("prompt_tokens", 0), entry.get("completion_tokens", 0))
        if cost is None:
            return None
        total += cost
    return total
