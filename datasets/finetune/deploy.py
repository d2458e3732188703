"""Give a fine-tuned model a name under which it answers: on Azure, make a deployment once and wait for it."""

import re
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from datasets import remote
from datasets.models import Checkpoint, Deployment, FineTune
from datasets.remote import Found, Outcome
from portal import audit, operations
from portal.models import Connection, Operation, RemoteAction
from portal.upstream import DeploymentInfo, Upstream, UpstreamError, connect

KIND = "deployment.create"
State = Deployment.State
SKUS = ("Standard", "GlobalStandard", "DataZoneStandard", "DeveloperTier")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,63}")
_BAD = frozenset({"failed", "canceled", "cancelled", "disabled", "deleting"})


class DeploymentErrand:
    """https://learn.microsoft.com/rest/api/aiservices/accountmanagement/deployments/create-or-update"""

    kind = "deploy"

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        return _found(upstream.put_deployment(action.params["name"], body_of(action)))

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        try:
            there = upstream.get_deployment(action.params["name"])
        except UpstreamError as error:
            if error.kind == "not_found":
                return []
            raise
        return [_found(there)] if there.model == action.params["model"] else []


def _found(info: DeploymentInfo) -> Found:
    return Found(info.name, marked=True, answer={"state": info.state, "model": info.model})


def body_of(action: RemoteAction) -> dict[str, Any]:
    """The body of the management plane's PUT."""
    params = action.params
    return {
        "sku": {"name": params["sku"], "capacity": params["capacity"]},
        "properties": {"model": {"format": "OpenAI", "name": params["model"], "version": "1"}},
    }


def offer_at_once(tune: FineTune) -> None:
    """On everything but Azure a fine-tuned model answers under its own name as soon as it exists."""
    if tune.connection.is_azure or not tune.fine_tuned_model:
        return
    _offer(tune, tune.fine_tuned_model, tune.created_by)


def offer_checkpoint(tune: FineTune, checkpoint: Checkpoint, user: Any) -> Deployment:
    """A checkpoint's model as something that answers; not on Azure, where it has to be deployed."""
    if tune.connection.is_azure or not checkpoint.model:
        raise ValueError("only where models answer under their own names")
    return _offer(tune, checkpoint.model, user)


def _offer(tune: FineTune, model: str, user: Any) -> Deployment:
    found: Deployment
    found, _ = Deployment.objects.exclude(state=State.DELETED).get_or_create(
        connection=tune.connection,
        name=model,
        defaults={
            "fine_tune": tune,
            "model": model,
            "state": State.READY,
            "ready_at": timezone.now(),
            "created_by": user,
        },
    )
    return found


class Taken(Exception):
    """There is a deployment of this name already."""


def begin(tune: FineTune, user: Any, *, model: str, name: str, sku: str, capacity: int) -> Deployment:
    """Deploy a model of this fine-tune as `name`; the same request twice is one deployment. Raises Taken."""
    with transaction.atomic():
        deployment: Deployment
        there = Deployment.objects.exclude(state=State.DELETED)  # those names are free again
        deployment, made = there.select_for_update().get_or_create(
            connection=tune.connection,
            name=name,
            defaults={
                "fine_tune": tune,
                "model": model,
                "sku": sku,
                "capacity": capacity,
                "created_by": user,
            },
        )
        if not made:
            same = deployment.model == model and deployment.fine_tune_id == tune.pk
            if not same and deployment.state != State.FAILED:
                raise Taken(name)
            if deployment.state != State.FAILED:
                return deployment
            _reset(deployment, tune, model, sku, capacity, user)
        audit.record(
            user,
            "deployment.requested",
            deployment,
            connection=tune.connection,
            model=model,
            sku=sku,
            capacity=capacity,
        )
        return _operate(deployment, user)


def _reset(deployment: Deployment, tune: FineTune, model: str, sku: str, capacity: int, user: Any) -> None:
    """Try a failed one again, perhaps with other numbers."""
    deployment.fine_tune, deployment.model, deployment.sku, deployment.capacity = tune, model, sku, capacity
    deployment.created_by, deployment.state = user, State.CREATING
    deployment.status, deployment.error = "", {}
    if deployment.action is not None and deployment.action.state == RemoteAction.State.CONFIRMED:
        remote.abandon(deployment.action, user, "made again")
        RemoteAction.objects.filter(pk=deployment.action.pk).update(remote_id="")
    deployment.action = None
    deployment.save()


def _operate(deployment: Deployment, user: Any) -> Deployment:
    deployment.operation = operations.begin(
        KIND,
        title=f"Deploy {deployment.model} as {deployment.name}",
        dedupe_key=f"deployment:{deployment.pk}",
        connection=deployment.connection,
        requested_by=user,
        subject=deployment,
    )
    deployment.save(update_fields=["operation"])
    return deployment


def _ended(operation: Operation) -> None:
    """Let the deployment end with its operation; where the request may have gone out, a person decides."""
    deployment = Deployment.objects.select_related("action").filter(pk=operation.subject_id).first()
    if deployment is None or deployment.state not in (State.CREATING, State.WARMING):
        return
    action = deployment.action
    open_states = (RemoteAction.State.SENDING, RemoteAction.State.UNKNOWN, RemoteAction.State.NOT_FOUND)
    deployment.state = State.ASKING if action is not None and action.state in open_states else State.FAILED
    if not deployment.error:
        deployment.error = {
            "kind": operation.error_code or "cancelled",
            "message": operation.error_text or "It was cancelled.",
        }
    deployment.save(update_fields=["state", "error"])


@operations.handler(KIND, queue="remote", ended=_ended)
def run(work: operations.Working) -> operations.Done | operations.Wait:
    """One step: make it, wait until it is made, ask it until it answers."""
    deployment = (
        Deployment.objects.select_related("connection", "action").filter(pk=work.operation.subject_id).first()
    )
    if deployment is None:
        raise operations.Failed("gone", "The deployment's row was deleted.")
    with connect(deployment.connection) as upstream:
        if deployment.state == State.CREATING:
            return _create(deployment, upstream, work)
        if deployment.state == State.WARMING:
            return _warm(deployment, upstream, work)
    return operations.Done({"state": deployment.state})


def _create(
    deployment: Deployment, upstream: Upstream, work: operations.Working
) -> operations.Done | operations.Wait:
    if deployment.action is None:
        _may_create(deployment, upstream, work)
        _plan(deployment, work)
    action = deployment.action
    assert action is not None
    if action.state != RemoteAction.State.CONFIRMED:
        result = remote.carry_out(action, DeploymentErrand(), upstream, work)
        if result.outcome is Outcome.WAIT:
            return operations.Wait(result.wait, result.note)
        if result.outcome is Outcome.REFUSED:
            return _refused(deployment, result.error)
        if result.outcome is Outcome.ASK:
            with transaction.atomic():
                work.advance(note=result.note, step="asking")
                Deployment.objects.filter(pk=deployment.pk).update(state=State.ASKING)
            return operations.Done({"asking": result.note})
    return _provisioned(deployment, upstream, work)


def _may_create(deployment: Deployment, upstream: Upstream, work: operations.Working) -> None:
    """A PUT to a name that is in use would replace what answers there."""
    user = work.operation.requested_by
    if not Connection.objects.actionable_by(user).filter(pk=deployment.connection_id).exists():
        raise operations.Failed("forbidden", "Whoever asked for this may no longer act on the connection.")
    try:
        there = upstream.get_deployment(deployment.name)
    except UpstreamError as error:
        if error.kind == "not_found":
            return
        raise
    if there.model != deployment.model:
        raise operations.Failed(
            "name_taken",
            f"A deployment of this name serves {there.model or 'another model'}. Choose another name.",
        )


def _plan(deployment: Deployment, work: operations.Working) -> None:
    with transaction.atomic():
        work.advance(step="creating")
        deployment.action = remote.plan(
            DeploymentErrand.kind,
            connection=deployment.connection,
            dedupe_key=f"deployment:{deployment.name}",
            params={
                "name": deployment.name,
                "model": deployment.model,
                "sku": deployment.sku,
                "capacity": deployment.capacity or 1,
            },
            user=work.operation.requested_by,
            operation=work.operation,
        )
        deployment.save(update_fields=["action"])


def _refused(deployment: Deployment, error: UpstreamError | None) -> operations.Wait:
    if error is not None and not error.permanent:
        # Nothing was made: the next step plans it anew.
        Deployment.objects.filter(pk=deployment.pk).update(action=None)
        return operations.Wait(error.retry_after or 15.0, error.message)
    action = deployment.action
    assert action is not None
    said = error.as_dict() if error is not None else action.error
    Deployment.objects.filter(pk=deployment.pk).update(error=said)
    text = " ".join(str(said.get(part) or "") for part in ("message", "hint")).strip()
    raise operations.Failed(str(said.get("kind") or "refused"), text or "The deployment was refused.")


def _provisioned(
    deployment: Deployment, upstream: Upstream, work: operations.Working
) -> operations.Done | operations.Wait:
    info = upstream.get_deployment(deployment.name)
    state = info.state.lower()
    with transaction.atomic():
        work.advance(step="provisioning", note=f"Azure says: {info.state or 'nothing yet'}")
        deployment.status = info.state[:40]
        if state == "succeeded":
            deployment.state = State.WARMING
        deployment.save(update_fields=["status", "state"])
    if state in _BAD:
        raise operations.Failed("provisioning", f"Azure could not create the deployment: {info.state}.")
    if state == "succeeded":
        return _warm(deployment, upstream, work)
    return operations.Wait(settings.DEPLOY_POLL_SECONDS, f"Azure says: {info.state or 'nothing yet'}")


def _warm(
    deployment: Deployment, upstream: Upstream, work: operations.Working
) -> operations.Done | operations.Wait:
    """A new deployment answers 404 for minutes; ask until it does not."""
    try:
        upstream.chat(deployment.name, [{"role": "user", "content": "Say yes."}], store=False, max_tokens=5)
    except UpstreamError as error:
        if error.kind == "not_found":
            return operations.Wait(settings.DEPLOY_POLL_SECONDS, "It is made, but does not answer yet.")
        if error.kind not in ("bad_request", "throttled"):  # these two come from the model itself
            raise
    with transaction.atomic():
        work.advance(step="ready", note="It answers.")
        deployment.state, deployment.ready_at, deployment.error = State.READY, timezone.now(), {}
        deployment.save(update_fields=["state", "ready_at", "error"])
        audit.record(
            work.operation.requested_by, "deployment.ready", deployment, connection=deployment.connection
        )
    return operations.Done({"name": deployment.name})


def decide(deployment: Deployment, choice: str, user: Any) -> bool:
    """What a person says where nobody knows whether it was made: look, again or stop. False if too late."""
    with transaction.atomic():
        deployment = (
            Deployment.objects.select_for_update(of=("self",))
            .select_related("action", "connection")
            .get(pk=deployment.pk)
        )
        action = deployment.action
        if deployment.state != State.ASKING or action is None:
            return False
        audit.record(user, f"deployment.decided_{choice}", deployment, connection=deployment.connection)
        if choice == "look":
            remote.look_again(action)
        elif choice == "again":
            # Making it again is harmless if it was made: the name is its identity.
            if not remote.abandon(action, user, "made again"):
                return False
            deployment.action = None
        elif choice == "stop":
            remote.abandon(action, user, "stopped")
            deployment.state = State.FAILED
            deployment.save(update_fields=["state"])
            return True
        else:
            return False
        deployment.state, deployment.error = State.CREATING, {}
        deployment.save(update_fields=["state", "error", "action"])
        _operate(deployment, user)
        return True
