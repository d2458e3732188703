"""Fine-tuning jobs over HTTP: create, list, get, events, checkpoints, pause, resume, cancel."""

import re

from portal.sandbox import methods, refusals
from portal.sandbox.call import Call, Reply, check_metadata
from portal.sandbox.chat import KNOWN_MODELS
from portal.sandbox.draw import digest
from portal.sandbox.formats import DPO
from portal.sandbox.jobs import Job
from portal.sandbox.kinds import Json
from portal.sandbox.personality import FILES_READ, TUNE, ApiError
from portal.sandbox.state import TUNABLE, File
from portal.sandbox.training import Lesson, examine

_TERMINAL = {"succeeded", "failed", "cancelled"}
LONGEST, LONGEST_NANO = 65_536, 32_768  # tokens of one example on Azure


def create(call: Call) -> Reply:
    """https://platform.openai.com/docs/api-reference/fine-tuning/create"""
    call.need(TUNE)
    refusals.check(call)
    body, azure = call.json(), call.personality.azure
    model = body.get("model")
    tuned = call.state.tuned(call.now)
    if not azure and isinstance(model, str):
        model = KNOWN_MODELS.get(model, model)
    if not isinstance(model, str) or (model not in TUNABLE and model not in tuned):
        raise ApiError(
            400,
            "invalidPayload" if azure else "model_not_available",
            f"The specified base model '{model}' does not support fine-tuning."
            if azure
            else f"Model {model} is not available for fine-tuning or does not exist.",
            param="model",
        )
    training = _file(call, body, "training_file")
    if training is None:
        raise ApiError(
            400,
            "missing_required_parameter",
            "Missing required parameter: 'training_file'.",
            param="training_file",
        )
    validation = _file(call, body, "validation_file")
    suffix = body.get("suffix")
    longest = 40 if azure else 64
    if suffix is not None and not (
        isinstance(suffix, str) and re.fullmatch(rf"[A-Za-z0-9_-]{{1,{longest}}}", suffix)
    ):
        raise ApiError(
            400,
            "invalidPayload",
            f"Invalid 'suffix': up to {longest} letters, digits, - and _.",
            param="suffix",
        )
    seed = body.get("seed")
    if seed is not None and not (isinstance(seed, int) and 0 <= seed <= 2147483647):
        raise ApiError(400, "invalidPayload", "Invalid 'seed': expected 0 to 2147483647.", param="seed")
    method = methods.read(body, model)
    number = len(call.state.jobs) + 1
    job_id = f"ftjob-{digest('job', call.personality.name, call.now, number):016x}"
    job = Job(
        id=job_id,
        created_at=call.now,
        seconds=call.job_seconds,
        model=model,
        training_file=training.id,
        validation_file=validation.id if validation else None,
        seed=seed if seed is not None else digest(job_id) % 2147483647,
        suffix=suffix,
        metadata=check_metadata(body.get("metadata")) or None,
        method=method,
        training_type=body.get("trainingType", "Standard") if azure else None,
        lesson=_lesson_of_job(call, model, method, training, validation),
    )
    call.commit({"change": "job.add", "job": job.to_json()})
    status = 201 if call.personality.dated else 200
    return Reply(view(call, call.state.jobs[job_id]), status, effect=f"created:{job_id}")


def _file(call: Call, body: Json, name: str) -> File | None:
    file_id = body.get(name)
    if file_id is None:
        return None
    file = call.state.files.get(str(file_id))
    azure = call.personality.azure
    if file is None:
        raise ApiError(
            400,
            "invalidPayload" if azure else "invalid_file",
            f"invalid {name}: {file_id} was not found.",
            param=name,
        )
    if file.purpose != "fine-tune":
        raise ApiError(
            400,
            "invalidPayload" if azure else "invalid_file",
            f"The file {file_id} has the purpose '{file.purpose}', expected 'fine-tune'.",
            param=name,
        )
    if azure and file.status(call.now) != "processed":
        state = (
            "was not imported successfully"
            if file.status(call.now) == "error"
            else "has not finished importing"
        )
        raise ApiError(400, "invalidPayload", f"The specified file '{file_id}' {state}.", param=name)
    return file


def _lesson(call: Call, file: File, method: Json) -> Lesson:
    """What the file is worth for the method; read anew where it seemed to be for another."""
    azure, kind, fields = call.personality.azure, method["type"], methods.fields(method)
    lesson = Lesson(**file.lesson) if file.lesson else Lesson()
    if lesson.method != kind or fields or (kind == DPO and not azure):
        path = call.state.folder / file.id
        lesson = examine(path, kind, fields=fields, pictures_in_pairs=azure)
    return lesson


def _lesson_of_job(call: Call, model: str, method: Json, training: File, validation: File | None) -> Lesson:
    """What the training file is worth, with the problems of the validation file where it has none itself."""
    lesson = _lesson(call, training, method)
    longest = LONGEST_NANO if "nano" in model else LONGEST
    if call.personality.azure and lesson.longest > longest:
        words = f"Line {lesson.longest_line}: has {lesson.longest} tokens, more than {longest}."
        lesson.problems = [*lesson.problems, words]
    if validation is not None and lesson.error() is None:
        checked = _lesson(call, validation, method)
        if checked.problems:
            lesson.problems, lesson.file = checked.problems, "validation"
    return lesson


def view(call: Call, job: Job) -> Json:
    return job.view(call.now, call.personality, hide_marks=call.faults.active("drop_marks"))


def listing(call: Call) -> Reply:
    call.need(FILES_READ)
    jobs = sorted(call.state.jobs.values(), key=lambda job: job.created_at, reverse=True)
    lag = call.faults.seconds("lag")
    if lag:
        jobs = [job for job in jobs if job.created_at <= call.now - lag]
    wanted = call.metadata_filter()
    if call.query.get("metadata") == "null":
        jobs = [job for job in jobs if not job.metadata]
    jobs = [job for job in jobs if all((job.metadata or {}).get(k) == v for k, v in wanted.items())]
    data, more = _page(call, [view(call, job) for job in jobs], 20)
    return Reply({"object": "list", "data": data, "has_more": more})


def _page(call: Call, items: list[Json], default: int) -> tuple[list[Json], bool]:
    after = None if call.faults.active("ignore_after") else call.query.get("after")
    if after is not None:
        places = [i for i, item in enumerate(items) if item["id"] == after]
        if not places:
            raise ApiError(404, "notFound", f"Could not find '{after}'.", param="after")
        items = items[places[0] + 1 :]
    limit = call.limit(default)
    return items[:limit], len(items) > limit


def _find(call: Call) -> Job:
    job = call.state.jobs.get(call.parts[2])
    if job is None:
        if call.personality.azure:
            raise call.personality.not_found("Job", call.parts[2])
        raise ApiError(
            404,
            "fine_tune_not_found",
            f"Could not find fine tune: {call.parts[2]}",
            param="fine_tuning_job_id",
        )
    return job


def get(call: Call) -> Reply:
    call.need(FILES_READ)
    return Reply(view(call, _find(call)))


def events(call: Call) -> Reply:
    call.need(FILES_READ)
    data, more = _page(call, _find(call).events(call.now, call.personality), 20)
    return Reply({"object": "list", "data": data, "has_more": more})


def checkpoints(call: Call) -> Reply:
    call.need(FILES_READ)
    data, more = _page(call, _find(call).checkpoints(call.now, call.personality), 10)
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return Reply({"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more})


def control(call: Call) -> Reply:
    """Pause, resume or cancel."""
    call.need(TUNE)
    job, what = _find(call), call.parts[3]
    status = job.status(call.now, azure=call.personality.azure)
    allowed = {
        "cancel": status not in _TERMINAL,
        "pause": status == "running" and job.steps_done(call.now) >= 1,
        "resume": status == "paused",
    }[what]
    if not allowed:
        raise ApiError(
            409 if call.personality.azure else 400,
            "unexpectedEntityState" if call.personality.azure else "invalid_state",
            f"Job {job.id} is {status} and cannot be {what}{'d' if what.endswith('e') else 'led'}.",
        )
    call.commit({"change": "job.control", "id": job.id, "control": what, "at": call.now})
    return Reply(view(call, call.state.jobs[job.id]), effect=f"{what}:{job.id}")


def delete(call: Call) -> Reply:
    """Azure's dated surface only."""
    call.need(TUNE)
    job = _find(call)
    call.commit({"change": "job.delete", "id": job.id})
    return Reply(None, 204, effect=f"deleted:{job.id}")
