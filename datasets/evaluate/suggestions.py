"""Names under which models answer, to pick from: deployments, fine-tuned models, and models seen."""

from dataclasses import dataclass
from typing import Any

from completions.models import Term
from datasets.models import Deployment, FineTune
from portal.models import Connection

SHOWN = 60


@dataclass(frozen=True)
class Suggestion:
    """`why` says where the name comes from and on which connection it answers."""

    name: str
    why: str


def models_for(user: Any) -> list[Suggestion]:
    """Every name that this person's connections are known to answer to; others can be typed."""
    connections = Connection.objects.actionable_by(user).with_endpoint()
    found: dict[tuple[str, str], Suggestion] = {}
    deployments = Deployment.objects.filter(
        connection__in=connections, state=Deployment.State.READY
    ).select_related("connection")
    for deployment in deployments.order_by("-id")[:SHOWN]:
        where = str(deployment.connection)
        found[where, deployment.name] = Suggestion(
            deployment.name, f"deployment of {deployment.model} on {where}"
        )
    tunes = FineTune.objects.filter(connection__in=connections, state=FineTune.State.SUCCEEDED)
    for tune in tunes.exclude(fine_tuned_model="").select_related("connection").order_by("-id")[:SHOWN]:
        if not tune.connection.is_azure:
            where = str(tune.connection)
            found.setdefault(
                (where, tune.fine_tuned_model), Suggestion(tune.fine_tuned_model, f"fine-tuned on {where}")
            )
    seen = Term.objects.filter(connection__in=connections, kind=Term.Kind.MODEL, n__gt=0)
    for term in seen.select_related("connection").order_by("-n")[:SHOWN]:
        where = str(term.connection)
        # What Azure stores is the model behind a deployment, and only the deployment's name can be called.
        why = (
            f"model seen on {where}; its deployment may be called otherwise"
            if term.connection.is_azure
            else ""
        )
        found.setdefault((where, term.value), Suggestion(term.value, why or f"seen on {where}"))
    return list(found.values())[: 2 * SHOWN]
