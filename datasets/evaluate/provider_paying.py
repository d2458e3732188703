"""What a run at the provider may cost, reserved as for a run here; and what it did cost by its models."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from datasets.evaluate import paying
from datasets.evaluate.provider_errands import ENDED, RunErrand
from datasets.evaluate.run import Refused
from datasets.evaluate.targets import read
from datasets.models import Run
from datasets.purse import NOTHING, rates_of
from portal import spending
from portal.models import Connection, RemoteAction

_OPEN = (RemoteAction.State.SENDING, RemoteAction.State.UNKNOWN, RemoteAction.State.NOT_FOUND)


def reserve(run: Run, user: Any) -> None:
    """Keep what it may cost, beside what was made there for it before and given up; of no connection but the
    one that does it, whatever its graders name. Raises run.Refused where the budget does not allow it.
    """
    place = Connection.objects.get(pk=run.upstream["connection"])
    earlier = _sum(run, place, run.upstream.get("earlier", ()))
    try:
        paying.reserve(run, user, only=place.pk, spent=earlier or NOTHING)
    except spending.OverBudget as over:
        raise Refused(str(over)) from over


def settle(run: Run) -> None:
    """Write down what it did cost; where nothing was made there, everything is free again."""
    place = Connection.objects.filter(pk=run.upstream.get("connection")).first()
    if place is None:
        return
    subject = (paying.SUBJECT, f"{run.pk}/{place.pk}")
    if (
        _goes_on(run.upstream)
        or RemoteAction.objects.filter(
            connection=place, kind=RunErrand.kind, dedupe_key=f"run:{run.pk}", state__in=_OPEN
        ).exists()
    ):
        return  # it may be going on there: what it may cost stays reserved until that is known
    if not run.upstream.get("run"):
        spending.release(*subject)
    else:
        spending.settle(*subject, cost_of(run, place))


def left_behind(run: Run) -> dict[str, Any]:
    """What stays known of a run there that is given up and made anew: it is paid for all the same."""
    told = run.upstream
    if not told.get("run"):
        return {name: told[name] for name in ("earlier", "untold") if name in told}
    return {
        "earlier": [*told.get("earlier", ()), *(told.get("usage") or ())],
        "untold": bool(told.get("untold")) or not _is_told(told),
    }


def total_of(run: Run) -> Decimal | None:
    """What everything that the provider did for a run comes to at the prices of today; None if unknown."""
    place = Connection.objects.filter(pk=run.upstream.get("connection")).first()
    return cost_of(run, place) if place is not None else None


def cost_of(run: Run, place: Connection) -> Decimal | None:
    """What the models used, at the prices of the connection, in all that was made there for this run.

    None where a price or the usage is not known, as of a run that was deleted there.
    """
    if run.upstream.get("untold") or not _is_told(run.upstream):
        return None
    return _sum(run, place, [*run.upstream.get("earlier", ()), *run.upstream["usage"]])


def _sum(run: Run, place: Connection, usage: Iterable[Mapping[str, Any]]) -> Decimal | None:
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


def _goes_on(upstream: Mapping[str, Any]) -> bool:
    """Whether the run had not ended there when it was last looked at."""
    return bool(upstream.get("run")) and upstream.get("status") not in ENDED | {"deleted"}


def _is_told(upstream: Mapping[str, Any]) -> bool:
    """Whether the run there has ended, so that what it says to have used is all of it."""
    return upstream.get("status") in ENDED and isinstance(upstream.get("usage"), list)
