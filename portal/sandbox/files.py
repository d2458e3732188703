"""Files: upload, list, get, content, delete."""

from dataclasses import asdict
from pathlib import Path

from portal.sandbox.call import Call, Reply, Slow
from portal.sandbox.draw import digest
from portal.sandbox.formats import read
from portal.sandbox.kinds import Json
from portal.sandbox.multipart import Form, MalformedForm
from portal.sandbox.personality import FILES_READ, FILES_WRITE, ApiError
from portal.sandbox.state import File
from portal.sandbox.training import Lesson, examine

LARGEST = 512 * 1024 * 1024
EXAMINE_APART = 256 * 1024  # larger files are read off the server's thread
_PURPOSES = {
    "azure": {"assistants", "batch", "fine-tune", "evals"},
    "openai": {"assistants", "batch", "fine-tune", "vision", "user_data", "evals"},
}


def upload(call: Call) -> Reply | Slow:
    """https://platform.openai.com/docs/api-reference/files/create"""
    call.need(FILES_WRITE)
    azure = call.personality.azure
    file_id = f"file-{digest('file', call.state.personality.name, call.now, len(call.state.files)):016x}"
    path = call.state.folder / file_id
    try:
        with Form(call.request) as form:
            purpose, part = form.text("purpose"), form.parts.get("file")
            if part is None or not part.filename:
                raise ApiError(
                    400, "missing_required_parameter", "'file' is a required property", param="file"
                )
            if purpose not in _PURPOSES["azure" if azure else "openai"]:
                raise ApiError(400, "invalidPayload", f"'{purpose}' is not a valid purpose.", param="purpose")
            size = part.end - part.start
            if size > LARGEST:
                raise ApiError(413, "invalidPayload", "The file is larger than 512 MB.", param="file")
            if size == 0:
                raise ApiError(400, "invalidPayload", "The file is empty.", param="file")
            jsonl = purpose in ("fine-tune", "batch", "evals")
            if jsonl and not part.filename.lower().endswith((".jsonl", ".json")) and not azure:
                raise ApiError(
                    400, "", "Invalid extension: the purpose asks for a .jsonl file.", param="file"
                )
            seconds = form.text("expires_after[seconds]") or form.text("expires_after.seconds")
            form.save("file", path)
            filename = part.filename
    except MalformedForm as error:
        raise ApiError(400, "invalidPayload", str(error)) from error
    record = File(
        file_id, filename, purpose, size, call.now, min(2.0, call.job_seconds / 20) if azure else 0.0
    )
    if seconds and seconds.isdigit():
        record.expires_at = int(call.now) + int(seconds)

    def finish(result: object) -> Reply:
        if isinstance(result, Exception):
            path.unlink(missing_ok=True)
            raise result
        if isinstance(result, Lesson):
            record.lesson = result.to_json()
            if result.unreadable:
                record.error = f"jsonlValidationFailed: {result.problems[0]}"
        elif isinstance(result, str):
            record.error = result
        if call.faults.active("file_error"):
            record.error = "fileImportFailed: The file could not be imported."
        if record.error and not azure and record.purpose != "fine-tune":
            path.unlink(missing_ok=True)
            raise ApiError(400, "invalid_file_format", record.error, param="file")
        call.commit({"change": "file.add", "file": asdict(record)})
        reply = Reply(view(call, record), effect=f"created:{file_id}")
        if call.personality.dated:
            reply.status = 201
            reply.headers.append(("Location", f"{call.request.path}/{file_id}"))
        return reply

    def work() -> object:
        if purpose == "fine-tune":
            return examine(path)
        return first_fault(path) if jsonl else None

    return Slow(work, finish) if size > EXAMINE_APART else finish(work())


def first_fault(path: Path) -> str | None:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            problem, example = read(line.removeprefix(b"\xef\xbb\xbf"))
            if line.strip() and example is None:
                return f"Line {number}: {problem}."
    return None


def view(call: Call, file: File) -> Json:
    status = file.status(call.now)  # on OpenAI its seconds are none
    shown: Json = {
        "object": "file",
        "id": file.id,
        "purpose": file.purpose,
        "filename": file.filename,
        "bytes": None if status == "pending" else file.bytes,
        "created_at": int(file.created_at),
        "status": status,
        "status_details": file.error if status == "error" else None,
    }
    if file.expires_at is not None:
        shown["expires_at"] = file.expires_at
    return shown


def every_file(call: Call) -> list[File]:
    """Uploaded files and the results of jobs, oldest first."""
    files = list(call.state.files.values())
    for job in call.state.jobs.values():
        if job.succeeded(call.now) and f"result:{job.id}" not in call.state.gone_models:
            size = len(job.results_csv())
            files.append(
                File(
                    job.result_file,
                    "results.csv",
                    "fine-tune-results",
                    size,
                    job.finished_at(call.now) or 0.0,
                    0.0,
                )
            )
    return sorted(files, key=lambda file: (file.created_at, file.id))


def listing(call: Call) -> Reply:
    call.need(FILES_READ)
    files = every_file(call)
    lag = call.faults.seconds("lag")
    if lag:
        files = [file for file in files if file.created_at <= call.now - lag]
    if call.query.get("purpose"):
        files = [file for file in files if file.purpose == call.query["purpose"]]
    if not call.ascending("desc"):
        files.reverse()
    page: Json = {"object": "list", "data": []}
    if not call.personality.azure or call.personality.dated:
        limit, after = call.limit(10000, 10000), call.query.get("after")
        if after is not None and not call.faults.active("ignore_after"):
            places = [i for i, file in enumerate(files) if file.id == after]
            if not places:
                raise ApiError(404, "notFound", f"No such File object: {after}", param="after")
            files = files[places[0] + 1 :]
        more = len(files) > limit
        files = files[:limit]
        if not call.personality.azure:
            page |= {
                "first_id": files[0].id if files else None,
                "last_id": files[-1].id if files else None,
                "has_more": more,
            }
    page["data"] = [view(call, file) for file in files]
    return Reply(page)


def _find(call: Call) -> File:
    file = call.state.files.get(call.parts[1]) or next(
        (file for file in every_file(call) if file.id == call.parts[1]), None
    )
    if file is None:
        if call.personality.azure:
            raise call.personality.not_found("File", call.parts[1])
        raise ApiError(404, "", f"No such File object: {call.parts[1]}", param="id")
    return file


def get(call: Call) -> Reply:
    call.need(FILES_READ)
    return Reply(view(call, _find(call)))


def content(call: Call) -> Reply:
    call.need(FILES_READ)
    file = _find(call)
    if file.purpose == "fine-tune-results":
        job = next(job for job in call.state.jobs.values() if job.result_file == file.id)
        return Reply(job.results_csv().encode(), content_type="application/octet-stream")
    return Reply((call.state.folder / file.id).read_bytes(), content_type="application/octet-stream")


def delete(call: Call) -> Reply:
    call.need(FILES_WRITE)
    file = _find(call)
    if file.purpose == "fine-tune-results":
        job = next(job for job in call.state.jobs.values() if job.result_file == file.id)
        call.commit({"change": "model.delete", "id": f"result:{job.id}"})
    else:
        call.commit({"change": "file.delete", "id": file.id})
    return Reply({"object": "file", "id": file.id, "deleted": True}, effect=f"deleted:{file.id}")
