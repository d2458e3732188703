"""One upload per connection and content, found again by its random name and its size."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from datasets import remote
from datasets.build import files
from datasets.models import DatasetVersion, FineTune, UploadedFile
from datasets.remote import Found, Outcome
from portal import operations
from portal.models import RemoteAction
from portal.upstream import FileInfo, Upstream, UpstreamError

PURPOSE = "fine-tune"
# Azure makes a job only of a file it has processed; OpenAI checks the file in the job.
USABLE = frozenset({"processed", "uploaded", "succeeded"})
BROKEN = frozenset({"error", "deleted", "failed"})


class FileErrand:
    """https://platform.openai.com/docs/api-reference/files/create"""

    kind = "upload"

    def __init__(self, version: DatasetVersion) -> None:
        self.version = version

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        with files.open_file(self.version) as file:
            return _found(upstream.upload_file(action.params["name"], file, PURPOSE))

    def look(self, upstream: Upstream, action: RemoteAction, since: float) -> Sequence[Found]:
        # The name is a random number that only this version has, so it is as good as a mark.
        name, size = action.params["name"], action.params["bytes"]
        return [
            _found(info)
            for info in upstream.list_files(PURPOSE)
            if info.name == name and info.bytes in (size, None, 0) and info.status not in BROKEN
        ]


def _found(info: FileInfo) -> Found:
    answer = {"status": info.status, "error": info.error, "bytes": info.bytes}
    return Found(info.id, info.created, marked=True, answer=answer)


def ensure(tune: FineTune, upstream: Upstream, work: operations.Working) -> UploadedFile | operations.Wait:
    """The version's file upstream, uploaded now unless it is there already; Wait while that is not settled.

    Raises operations.Failed where only a person can go on.
    """
    file = _row(tune, work)
    action = file.action
    assert action is not None
    if action.state != RemoteAction.State.CONFIRMED:
        if action.state == RemoteAction.State.PLANNED:
            _verify(tune.trained_on)
        result = remote.carry_out(action, FileErrand(tune.trained_on), upstream, work)
        if result.outcome is Outcome.WAIT:
            return operations.Wait(result.wait, result.note)
        if result.outcome is Outcome.REFUSED:
            raise result.error or operations.Failed("refused", "The training file was refused.")
        if result.outcome is Outcome.ASK:
            raise operations.Failed(
                "upload_unknown",
                "Nobody knows whether the training file was uploaded, and it was not found upstream.",
            )
    if file.remote_id != action.remote_id:
        file.remote_id, file.status = action.remote_id, str(action.answer.get("status", ""))
        file.save(update_fields=["remote_id", "status"])
        work.log(f"The training file is upstream as {file.remote_id}.")
    return _usable(file, tune, upstream, work)


def _row(tune: FineTune, work: operations.Working) -> UploadedFile:
    version = tune.trained_on
    with transaction.atomic():
        file, _ = UploadedFile.objects.select_for_update().get_or_create(
            connection=tune.connection,
            sha256=version.sha256,
            purpose=PURPOSE,
            defaults={"file_name": version.file_name, "size": version.size},
        )
        done = (RemoteAction.State.ABANDONED, RemoteAction.State.REFUSED)
        if file.action is None or file.action.state in done:
            file.action = remote.plan(
                FileErrand.kind,
                connection=tune.connection,
                dedupe_key=f"{PURPOSE}:{version.sha256}",
                params={"name": file.file_name, "bytes": file.size, "purpose": PURPOSE},
                user=work.operation.requested_by,
                operation=work.operation,
            )
            file.remote_id = ""
            file.save(update_fields=["action", "remote_id"])
        if tune.file_id != file.pk:
            tune.file = file
            tune.save(update_fields=["file"])
    found: UploadedFile = file
    return found


def _verify(version: DatasetVersion) -> None:
    try:
        for _ in files.checked_bytes(version):
            pass
    except (files.FileDiffers, FileNotFoundError) as problem:
        raise operations.Failed(
            "file_differs",
            "The dataset's file is missing or not the one that was built. Build a new version.",
        ) from problem


def _usable(
    file: UploadedFile, tune: FineTune, upstream: Upstream, work: operations.Working
) -> UploadedFile | operations.Wait:
    try:
        info = upstream.get_file(file.remote_id)
    except UpstreamError as error:
        if error.kind != "not_found":
            raise
        return _vanished(file, work)
    file.status, file.error = info.status, info.error or ""
    file.save(update_fields=["status", "error"])
    if info.status == "deleted":
        return _vanished(file, work)
    if info.status in BROKEN:
        reason = file.error or "It gave no reason."
        _give_up(file, work, "broken")
        raise operations.Failed("file_refused", f"The provider could not use the training file: {reason}")
    if info.status in USABLE or not info.status:
        return file
    return operations.Wait(settings.FILE_POLL_SECONDS, "The provider is processing the training file.")


def _vanished(file: UploadedFile, work: operations.Working) -> operations.Wait:
    """Deleted upstream since: upload it anew. One that was only just uploaded may not be visible yet."""
    action: Any = file.action
    if timezone.now() - action.updated < timedelta(seconds=settings.RECONCILE_SECONDS):
        return operations.Wait(settings.FILE_POLL_SECONDS, "The uploaded file is not visible yet.")
    work.log("The training file was deleted upstream; uploading it again.", "warn")
    _give_up(file, work, "deleted upstream")
    return operations.Wait(0.1)


def _give_up(file: UploadedFile, work: operations.Working, why: str) -> None:
    with transaction.atomic():
        assert file.action is not None
        remote.abandon(file.action, work.operation.requested_by, why)
        file.action, file.remote_id = None, ""
        file.save(update_fields=["action", "remote_id"])
