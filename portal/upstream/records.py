"""What comes back from upstream, reduced to what the product uses; `raw` keeps the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from portal.upstream.errors import UpstreamError

FINISHED_JOBS = frozenset(("succeeded", "failed", "cancelled"))


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a list: its bytes as they came, and its value if it could be read."""

    raw: bytes
    value: dict[str, Any] | None
    problem: str = ""

    @property
    def id(self) -> str:
        """The item's id; empty if it has none."""
        found = self.value.get("id") if self.value is not None else None
        return found if isinstance(found, str) else ""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a list."""

    items: tuple[Item, ...]
    has_more: bool | None
    first_id: str | None
    last_id: str | None
    total: int | None


@dataclass(frozen=True, slots=True)
class Messages:
    """The input messages of one stored completion: the answers byte by byte, and their items in order.

    `problem` is not empty when an answer came but could not be read; asking again is no use then.
    """

    pages: tuple[bytes, ...]
    items: tuple[dict[str, Any], ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    text: str
    message: dict[str, Any]
    finish_reason: str
    model: str
    usage: dict[str, Any]
    id: str
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors in the order of the texts."""

    vectors: tuple[tuple[float, ...], ...]
    usage: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    id: str
    created: int | None
    fine_tunable: bool | None  # None: the service does not say
    lifecycle: str
    shutdown_date: str
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileInfo:
    id: str
    name: str
    bytes: int | None
    purpose: str
    status: str
    error: str
    created: int | None
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobInfo:
    id: str
    status: str
    model: str
    fine_tuned_model: str
    training_file: str
    created: int | None
    finished: int | None
    trained_tokens: int | None
    result_files: tuple[str, ...]
    error: dict[str, Any]
    suffix: str
    metadata: dict[str, Any]
    hyperparameters: dict[str, Any]
    seed: int | None
    raw: dict[str, Any]

    @property
    def is_finished(self) -> bool:
        """Whether the job has come to an end; an unknown status counts as still going."""
        return self.status in FINISHED_JOBS


@dataclass(frozen=True, slots=True)
class EventInfo:
    id: str
    created: int | None
    level: str
    message: str
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    id: str
    created: int | None
    step: int | None
    model: str
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeploymentInfo:
    name: str
    model: str
    state: str
    raw: dict[str, Any] = field(default_factory=dict)


def look(value: Mapping[str, Any], name: str) -> Any:
    """`value[name]`, or its camelCase spelling, which the dated API may use; None if neither is there."""
    found = value.get(name)
    if found is None and "_" in name:
        head, *tail = name.split("_")
        found = value.get(head + "".join(part.capitalize() for part in tail))
    return found


def words(value: Mapping[str, Any], name: str) -> str:
    found = look(value, name)
    return found if isinstance(found, str) else ""


def number(value: Mapping[str, Any], name: str) -> int | None:
    found = look(value, name)
    if isinstance(found, bool) or not isinstance(found, int | float) or found != found or abs(found) > 2**62:
        return None
    return int(found)


def mapping(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = look(value, name)
    return found if isinstance(found, dict) else {}


def chat_answer(raw: dict[str, Any]) -> ChatAnswer:
    choices = raw.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = mapping(choice, "message")
    return ChatAnswer(
        text=words(message, "content") or words(message, "refusal"),
        message=message,
        finish_reason=words(choice, "finish_reason"),
        model=words(raw, "model"),
        usage=mapping(raw, "usage"),
        id=words(raw, "id"),
        raw=raw,
    )


def embeddings(raw: dict[str, Any], texts: int) -> Embeddings:
    """Raises UpstreamError unless each text has one vector of numbers."""
    data = raw.get("data")
    rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
    rows.sort(key=lambda row: number(row, "index") or 0)
    try:
        found = tuple(tuple(float(value) for value in row.get("embedding") or ()) for row in rows)
    except (TypeError, ValueError, OverflowError):
        raise UpstreamError("unreadable", "A vector that came holds something else than numbers.") from None
    if len(found) != texts:
        raise UpstreamError("unreadable", f"{texts} texts were sent, {len(found)} vectors came.")
    return Embeddings(found, mapping(raw, "usage"))


def model_info(raw: dict[str, Any]) -> ModelInfo:
    fine_tune = mapping(raw, "capabilities").get("fine_tune")
    created = number(raw, "created")
    retired = number(mapping(raw, "deprecation"), "inference")
    shutdown = words(raw, "shutdown_date")
    if not shutdown and retired is not None and 0 < retired < 10**10:
        shutdown = datetime.fromtimestamp(retired, UTC).date().isoformat()
    return ModelInfo(
        id=words(raw, "id"),
        created=created if created is not None else number(raw, "created_at"),
        fine_tunable=fine_tune if isinstance(fine_tune, bool) else None,
        lifecycle=words(raw, "lifecycle_status"),
        shutdown_date=shutdown,
        raw=raw,
    )


def file_info(raw: dict[str, Any]) -> FileInfo:
    details = look(raw, "status_details")
    error = look(raw, "error")
    said = details if isinstance(details, str) else words(error, "message") if isinstance(error, dict) else ""
    return FileInfo(
        id=words(raw, "id"),
        name=words(raw, "filename"),
        bytes=number(raw, "bytes"),
        purpose=words(raw, "purpose"),
        status=words(raw, "status"),
        error=said,
        created=number(raw, "created_at"),
        raw=raw,
    )


def job_info(raw: dict[str, Any]) -> JobInfo:
    files = look(raw, "result_files")
    method = mapping(raw, "method")
    parameters = mapping(raw, "hyperparameters")
    if not parameters and (kind := words(method, "type")):
        parameters = mapping(mapping(method, kind), "hyperparameters")
    error = mapping(raw, "error")
    return JobInfo(
        id=words(raw, "id"),
        status=words(raw, "status").lower(),
        model=words(raw, "model"),
        fine_tuned_model=words(raw, "fine_tuned_model"),
        training_file=words(raw, "training_file"),
        created=number(raw, "created_at"),
        finished=number(raw, "finished_at"),
        trained_tokens=number(raw, "trained_tokens"),
        result_files=tuple(name for name in files if isinstance(name, str))
        if isinstance(files, list)
        else (),
        error=error if error.get("message") or error.get("code") else {},
        suffix=words(raw, "user_provided_suffix") or words(raw, "suffix"),
        metadata=mapping(raw, "metadata"),
        hyperparameters=parameters,
        seed=number(raw, "seed"),
        raw=raw,
    )


def event_info(raw: dict[str, Any]) -> EventInfo:
    level = words(raw, "level").lower()
    return EventInfo(
        id=words(raw, "id"),
        created=number(raw, "created_at"),
        level={"warning": "warn", "information": "info"}.get(level, level or "info"),
        message=words(raw, "message"),
        kind=words(raw, "type") or "message",
        data=mapping(raw, "data"),
    )


def checkpoint_info(raw: dict[str, Any]) -> CheckpointInfo:
    return CheckpointInfo(
        id=words(raw, "id"),
        created=number(raw, "created_at"),
        step=number(raw, "step_number"),
        model=words(raw, "fine_tuned_model_checkpoint"),
        metrics=mapping(raw, "metrics"),
    )


def deployment_info(raw: dict[str, Any]) -> DeploymentInfo:
    properties = mapping(raw, "properties")
    return DeploymentInfo(
        name=words(raw, "name"),
        model=words(mapping(properties, "model"), "name"),
        state=words(properties, "provisioning_state") or words(properties, "provisioningState"),
        raw=raw,
    )
