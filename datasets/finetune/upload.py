"""One upload per connection and content, found again by its random name and its size."""

import hashlib
import io
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from datasets import remote
from datasets.build import files
from datasets.models import DatasetVersion, FineTune, Part, UploadedFile
from datasets.remote import Found, Outcome
from portal import audit, operations
from portal.models import Connection, RemoteAction
from portal.upstream import FileInfo, Upstream, UpstreamError, connect

PURPOSE = "fine-tune"
# Azure makes a job only of a file it has processed; OpenAI checks the file in the job.
USABLE = frozenset({"processed", "uploaded", "succeeded"})
BROKEN = frozenset({"error", "deleted", "failed"})
MOST_LEFTOVERS = 50
WORDS = {"train": "training"}  # of parts, where the word for the file is another
# Nobody knows what came of these until somebody looks.
OPEN = (RemoteAction.State.SENDING, RemoteAction.State.UNKNOWN, RemoteAction.State.NOT_FOUND)


class Stretch(io.RawIOBase):
    """The bytes of one part of a version's file, read as if they were a file of their own."""

    def __init__(self, file: Any, part: Part) -> None:
        super().__init__()
        self._file, self._start, self._size = file, part.offset, part.size
        self._at = 0
        file.seek(part.offset)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = min(max(base + offset, 0), self._size)
        self._file.seek(self._start + self._at)
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        read: bytes = self._file.read(wanted) if wanted > 0 else b""
        buffer[: len(read)] = read
        self._at += len(read)
        return len(read)


class FileErrand:
    """https://platform.openai.com/docs/api-reference/files/create"""

    kind = "upload"

    def __init__(self, version: DatasetVersion, part: Part) -> None:
        self.version, self.part = version, part

    def post(self, upstream: Upstream, action: RemoteAction) -> Found:
        with files.open_file(self.version) as file:
            content = io.BufferedReader(Stretch(file, self.part), files.READ_BYTES)
            return _found(upstream.upload_file(action.params["name"], content, PURPOSE))

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


def ensure(
    tune: FineTune, part: Part, upstream: Upstream, work: operations.Working
) -> UploadedFile | operations.Wait:
    """The part's file upstream, uploaded now unless it is there already; Wait while that is not settled.

    Raises operations.Failed where only a person can go on.
    """
    file, name = _row(tune, part, work), WORDS.get(part.name, part.name)
    action = file.action
    assert action is not None
    if action.state != RemoteAction.State.CONFIRMED:
        straight = action.state == RemoteAction.State.PLANNED
        if straight:
            _verify(tune.trained_on, part)
        result = remote.carry_out(action, FileErrand(tune.trained_on, part), upstream, work)
        if result.outcome is Outcome.WAIT:
            return operations.Wait(result.wait, result.note)
        if result.outcome is Outcome.REFUSED:
            raise result.error or operations.Failed("refused", f"The {name} file was refused.")
        if result.outcome is Outcome.ASK:
            raise operations.Failed(
                "upload_unknown",
                f"Nobody knows whether the {name} file was uploaded, and it was not found upstream.",
            )
        if not straight:
            note_leftovers([file], upstream.list_files(PURPOSE))
    if file.remote_id != action.remote_id:
        file.remote_id, file.status = action.remote_id, str(action.answer.get("status", ""))
        file.save(update_fields=["remote_id", "status"])
        work.log(f"The {name} file is upstream as {file.remote_id}.")
    return _usable(file, name, upstream, work)


def _row(tune: FineTune, part: Part, work: operations.Working) -> UploadedFile:
    with transaction.atomic():
        file, _ = UploadedFile.objects.select_for_update().get_or_create(
            connection=tune.connection,
            sha256=part.sha256,
            purpose=PURPOSE,
            defaults={"file_name": part.file_name, "size": part.size},
        )
        done = (RemoteAction.State.ABANDONED, RemoteAction.State.REFUSED)
        if file.action is None or file.action.state in done:
            file.action = remote.plan(
                FileErrand.kind,
                connection=tune.connection,
                dedupe_key=f"{PURPOSE}:{part.sha256}",
                params={"name": file.file_name, "bytes": file.size, "purpose": PURPOSE},
                user=work.operation.requested_by,
                operation=work.operation,
            )
            file.remote_id = ""
            file.save(update_fields=["action", "remote_id"])
        field = "validation_file" if part.name == "validation" else "file"
        if getattr(tune, f"{field}_id") != file.pk:
            setattr(tune, field, file)
            tune.save(update_fields=[field])
    found: UploadedFile = file
    return found


def _verify(version: DatasetVersion, part: Part) -> None:
    """What goes out is what was built, byte by byte."""
    digest = hashlib.sha256()
    try:
        with files.open_file(version) as file:
            content = io.BufferedReader(Stretch(file, part), files.READ_BYTES)
            while piece := content.read(files.READ_BYTES):
                digest.update(piece)
    except FileNotFoundError:
        pass  # told below: the digest of nothing is not the part's
    if digest.hexdigest() != part.sha256:
        raise operations.Failed(
            "file_differs",
            "The dataset's file is missing or not the one that was built. Build a new version.",
        )


def _usable(
    file: UploadedFile, name: str, upstream: Upstream, work: operations.Working
) -> UploadedFile | operations.Wait:
    try:
        info = upstream.get_file(file.remote_id)
    except UpstreamError as error:
        if error.kind != "not_found":
            raise
        return _vanished(file, name, work)
    file.status, file.error = info.status, info.error or ""
    file.save(update_fields=["status", "error"])
    if info.status == "deleted":
        return _vanished(file, name, work)
    if info.status in BROKEN:
        reason = file.error or "It gave no reason."
        _give_up(file, work, "broken", left=file.remote_id)
        raise operations.Failed("file_refused", f"The provider could not use the {name} file: {reason}")
    if info.status in USABLE or not info.status:
        return file
    return operations.Wait(settings.FILE_POLL_SECONDS, f"The provider is processing the {name} file.")


def _vanished(file: UploadedFile, name: str, work: operations.Working) -> operations.Wait:
    """Deleted upstream since: upload it anew. One that was only just uploaded may not be visible yet."""
    action: Any = file.action
    if timezone.now() - action.updated < timedelta(seconds=settings.RECONCILE_SECONDS):
        return operations.Wait(settings.FILE_POLL_SECONDS, "The uploaded file is not visible yet.")
    work.log(f"The {name} file was deleted upstream; uploading it again.", "warn")
    _give_up(file, work, "deleted upstream")
    return operations.Wait(0.1)


def _give_up(file: UploadedFile, work: operations.Working, why: str, left: str = "") -> None:
    with transaction.atomic():
        assert file.action is not None
        remote.abandon(file.action, work.operation.requested_by, why)
        file.action, file.remote_id = None, ""
        if left:
            file.leftovers = [*file.leftovers, left]
        file.save(update_fields=["action", "remote_id", "leftovers"])


def listed(connection: Connection, upstream: Upstream) -> list[FileInfo]:
    """The connection's files upstream; none are asked for where nothing was ever uploaded."""
    if not UploadedFile.objects.filter(connection=connection).exists():
        return []
    return upstream.list_files(PURPOSE)


def note_leftovers(uploads: Iterable[UploadedFile], listed: Sequence[FileInfo]) -> None:
    """Keep in mind which files upstream carry an upload's random name without being the one in use.

    They come of uploads that were cut, sent twice by something in between, or found broken.
    """
    for file in uploads:
        action = file.action
        if action is not None and action.state in OPEN:
            continue  # one of them may turn out to be the one
        in_use = action.remote_id if action is not None else file.remote_id
        left = [info.id for info in listed if info.name == file.file_name and info.id != in_use]
        if left != file.leftovers:
            file.leftovers = left[:MOST_LEFTOVERS]
            UploadedFile.objects.filter(pk=file.pk).update(leftovers=file.leftovers)


def remove_leftover(file: UploadedFile, remote_id: str, user: Any) -> bool:
    """Delete one of the files that an upload left behind upstream; False if it is none of them."""
    file.refresh_from_db()
    if remote_id not in file.leftovers or remote_id == file.remote_id:
        return False
    with connect(file.connection, tries=1, seconds=15) as upstream:
        upstream.delete_file(remote_id)
    with transaction.atomic():
        held = UploadedFile.objects.select_for_update(of=("self",)).get(pk=file.pk)
        held.leftovers = [each for each in held.leftovers if each != remote_id]
        held.save(update_fields=["leftovers"])
        audit.record(user, "file.removed_upstream", file, connection=file.connection, remote_id=remote_id)
    return True
