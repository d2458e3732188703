"""Delete a deployment on Azure: asked for once, and gone when Azure no longer has it. The model stays."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from datasets import remote
from datasets.models import Deployment
from datasets.remote import Found, Outcome
from portal import audit, operations
from portal.models import Operation, RemoteAction
from portal.upstream import Upstream, UpstreamError, connect

KIND = "deployment.delete"
State = Deployment.State
MAY_BE_DELETED = (State.READY, State.WARMING, State.FAILED)
LONGEST = timedelta(minutes=15)  # that Azure may take after it agreed
LOOK_SECONDS = 15.0
GONE = "Azure no longer has it."


class DeletionErrand:
    """https://learn.microsoft.com/rest/api/aiservices/accountmanagement/deployments/delete"""

    kind = "undeploy"

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        try:
            upstream.delete_deployment(action.params["name"])
        except UpstreamError as error:
            if error.kind != "not_found":
                raise
        return _found(action)

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        there = _there(upstream, action.params["name"])
        return [_found(action)] if there is None or there == "deleting" else []


def _found(action: RemoteAction) -> Found:
    return Found(f"{action.params['name']}@{action.pk}"[:200], marked=True)


def _there(upstream: Upstream, name: str) -> str | None:
    """What Azure says of the deployment, in lower case; None if it has none of this name."""
    try:
        return upstream.get_deployment(name).state.lower()
    except UpstreamError as error:
        if error.kind == "not_found":
            return None
        raise


def request(deployment: Deployment, user: Any) -> bool:
    """Begin the deletion; False where it is on its way already or there is nothing to delete."""
    with transaction.atomic():
        found: Deployment = (
            Deployment.objects.select_for_update(of=("self",))
            .select_related("connection")
            .get(pk=deployment.pk)
        )
        if found.state not in MAY_BE_DELETED or not found.connection.is_azure:
            return False
        audit.record(
            user, "deployment.deletion_requested", found, connection=found.connection, model=found.model
        )
        found.operation = operations.begin(
            KIND,
            title=f"Delete the deployment {found.name}",
            dedupe_key=f"deployment:{found.pk}",
            connection=found.connection,
            requested_by=user,
            subject=found,
        )
        found.state, found.error = State.DELETING, {}
        found.save(update_fields=["state", "error", "operation"])
        return True


def _ended(operation: Operation) -> None:
    """However the operation ended: a deployment that is not gone stands as it stood."""
    deployment = Deployment.objects.filter(pk=operation.subject_id, state=State.DELETING).first()
    if deployment is not None:
        text = operation.error_text or "The deletion was cancelled."
        _restore(deployment, operation.error_code or "cancelled", text)


@operations.handler(KIND, queue="remote", ended=_ended)
def run(work: operations.Working) -> operations.Done | operations.Wait:
    """One step: see that it is ours, delete it, wait until it is gone."""
    deployment = Deployment.objects.select_related("connection").filter(pk=work.operation.subject_id).first()
    if deployment is None or deployment.state != State.DELETING:
        return operations.Done({})
    with connect(deployment.connection) as upstream:
        if not work.operation.cursor.get("looked") and not _is_ours(deployment, upstream, work):
            return _gone(deployment, work)
        action = _plan(deployment, work)
        result = remote.carry_out(action, DeletionErrand(), upstream, work)
        if result.outcome is Outcome.WAIT:
            return operations.Wait(result.wait, result.note)
        if result.outcome is Outcome.REFUSED:
            return _refused(action, result.error)
        if result.outcome is Outcome.ASK:
            remote.abandon(action, work.operation.requested_by, "it is still there")
            raise operations.Failed(
                "unknown",
                "The answer to the deletion was lost, and the deployment is still there. Nothing was sent a"
                " second time; delete it again if you want it gone.",
            )
        if _there(upstream, deployment.name) is None:
            return _gone(deployment, work)
    if timezone.now() - action.updated > LONGEST:
        remote.abandon(action, work.operation.requested_by, "it is still there")
        raise operations.Failed(
            "still_there", "Azure agreed to delete it, and still has it. Delete it again."
        )
    return operations.Wait(settings.DEPLOY_POLL_SECONDS, "Azure deletes it.")


def _is_ours(deployment: Deployment, upstream: Upstream, work: operations.Working) -> bool:
    """Whether Azure has it; a name that serves another model by now is not ours to delete."""
    try:
        there = upstream.get_deployment(deployment.name)
    except UpstreamError as error:
        if error.kind == "not_found":
            return False
        raise
    if there.model and there.model != deployment.model:
        raise operations.Failed(
            "name_taken", f"The deployment of this name serves {there.model} by now, so it was left alone."
        )
    work.advance(cursor={"looked": True})
    return True


def _plan(deployment: Deployment, work: operations.Working) -> RemoteAction:
    with transaction.atomic():
        work.advance(step="deleting")
        return remote.plan(
            DeletionErrand.kind,
            connection=deployment.connection,
            dedupe_key=f"deployment:{deployment.pk}",
            params={"name": deployment.name, "model": deployment.model},
            user=work.operation.requested_by,
            operation=work.operation,
        )


def _refused(action: RemoteAction, error: UpstreamError | None) -> operations.Wait:
    remote.abandon(action, action.requested_by, "refused")
    if error is not None and not error.permanent:
        return operations.Wait(error.retry_after or 15.0, error.message)
    said = error.as_dict() if error is not None else action.error
    text = " ".join(str(said.get(part) or "") for part in ("message", "hint")).strip()
    raise operations.Failed(str(said.get("kind") or "refused"), text or "The deletion was refused.")


def _gone(deployment: Deployment, work: operations.Working) -> operations.Done:
    with transaction.atomic():
        work.advance(step="gone", note=GONE)
        mark_gone(deployment, work.operation.requested_by)
    return operations.Done({"name": deployment.name})


def mark_gone(deployment: Deployment, user: Any) -> None:
    """Write down that Azure no longer has it; its name is free again."""
    with transaction.atomic():
        found = (
            Deployment.objects.select_for_update(of=("self",)).select_related("action").get(pk=deployment.pk)
        )
        if found.state == State.DELETED:
            return
        if found.action is not None:
            remote.abandon(found.action, user, "deleted")
            RemoteAction.objects.filter(pk=found.action.pk).update(remote_id="")
        found.state, found.deleted_at, found.error = State.DELETED, timezone.now(), {}
        found.save(update_fields=["state", "deleted_at", "error"])
        audit.record(user, "deployment.deleted", found, connection=found.connection, model=found.model)
    deployment.refresh_from_db()


def _restore(deployment: Deployment, kind: str, text: str) -> None:
    deployment.state = State.READY if deployment.ready_at is not None else State.FAILED
    deployment.error = {"kind": kind, "doing": "delete", "message": text}
    deployment.save(update_fields=["state", "error"])


def look(deployment: Deployment, user: Any) -> bool:
    """Ask Azure whether it still has it, while a person waits; False if it is gone. Raises UpstreamError."""
    with connect(deployment.connection, tries=1, seconds=LOOK_SECONDS) as upstream:
        try:
            info = upstream.get_deployment(deployment.name)
        except UpstreamError as error:
            if error.kind != "not_found":
                raise
            mark_gone(deployment, user)
            return False
    Deployment.objects.filter(pk=deployment.pk).update(status=info.state[:40])
    return True
