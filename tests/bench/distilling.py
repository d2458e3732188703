"""What an operator does on the pages of a distillation, as commands: `python -m tests.bench.distilling
begin URL | build | launch | deploy NAME | state`.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any

import django

BASE_MODEL = "gpt-4.1-mini-2025-04-14"
OPERATOR = "operator"


def begin(url: str) -> None:
    """An empty database, an operator, a connection that signs in by managed identity, and its first sync."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from completions import schedule
    from portal.accounts import make_operator
    from portal.models import Auth
    from portal.sandbox.management import RESOURCE_GROUP, SUBSCRIPTION
    from tests import factories

    operator = factories.user(OPERATOR)
    make_operator(operator)
    connection = factories.connection(
        base_url=f"{url}/azure-v1/openai/v1/",
        auth=Auth.ENTRA_MANAGED,
        secret="",
        secret_last4="",
        management_url=f"{url}/management",
        subscription_id=SUBSCRIPTION,
        resource_group=RESOURCE_GROUP,
        account_name="azure-v1",
    )
    schedule.sync_now(connection, operator)


def _operator() -> Any:
    from portal.models import User

    return User.objects.get(username=OPERATOR)


def build() -> None:
    """Select everything, choose the model, build the training file."""
    from completions import selection
    from datasets import distill
    from datasets.recipe import Recipe
    from portal.models import Connection

    user = _operator()
    frozen = selection.freeze(user, everything=True)
    version = distill.start(frozen, user, "Killed at any moment", Recipe())
    version, _ = distill.choose_model(version, user, Connection.objects.get(), BASE_MODEL)
    distill.build_now(version, user)


def launch() -> None:
    """Press the last button of the wizard."""
    from datasets.finetune import launch as launching
    from datasets.models import FineTune

    launching.begin(FineTune.objects.get(), _operator())


def deploy(name: str) -> None:
    """Give the trained model a name."""
    from datasets.finetune import deploy as deploying
    from datasets.models import FineTune

    tune = FineTune.objects.get()
    deploying.begin(
        tune, _operator(), model=tune.fine_tuned_model, name=name, sku="GlobalStandard", capacity=1
    )


def state() -> None:
    """Say what there is; the file's digest is taken from the file."""
    from datasets.build import files
    from datasets.models import DatasetVersion, Deployment, FineTune
    from portal.models import AuditEntry, Operation, RemoteAction

    version = DatasetVersion.objects.get()
    with files.open_file(version) as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    print(
        json.dumps(
            {
                "rows": version.rows,
                "sha256": digest,
                "sealed": version.sha256,
                "fine_tune": FineTune.objects.get().state,
                "deployment": Deployment.objects.get().state,
                "actions": sorted(RemoteAction.objects.values_list("kind", "state")),
                "adopted": AuditEntry.objects.filter(verb="remote_action.adopted").count(),
                "failed": Operation.objects.filter(state=Operation.State.FAILED).count(),
            }
        )
    )


COMMANDS: dict[str, Callable[..., None]] = {
    "begin": begin,
    "build": build,
    "launch": launch,
    "deploy": deploy,
    "state": state,
}

if __name__ == "__main__":
    django.setup()
    COMMANDS[sys.argv[1]](*sys.argv[2:])
