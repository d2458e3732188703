"""Loss and accuracy by step, from the result file, the events or the checkpoints of a job."""

import base64
import binascii
import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from portal.upstream import Upstream, UpstreamError

MOST_BYTES = 20_000_000
# The result file and the checkpoints name the same thing differently.
SAME = {
    "validation_mean_token_accuracy": "valid_mean_token_accuracy",
    "train_accuracy": "train_mean_token_accuracy",
}
NAMES = (
    "train_loss",
    "valid_loss",
    "full_valid_loss",
    "train_mean_token_accuracy",
    "valid_mean_token_accuracy",
    "full_valid_mean_token_accuracy",
    "train_reward_mean",
    "valid_reward_mean",
)


def of_result_files(upstream: Upstream, files: Sequence[str]) -> list[dict[str, float]]:
    """Rows of the first result file; empty where it cannot be read, as the job is no worse for it."""
    for name in files[:1]:
        try:
            return of_csv(upstream.file_content(name)[:MOST_BYTES])
        except UpstreamError:
            return []
    return []


def of_csv(content: bytes) -> list[dict[str, float]]:
    """Rows of a result file; some downloads have come as base64."""
    text = as_csv(content).decode("utf-8-sig", errors="replace")
    return _rows(csv.DictReader(io.StringIO(text)))


def as_csv(content: bytes) -> bytes:
    """A result file as it is; where it came as base64, what that stands for."""
    if b"," in content[:200]:
        return content
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        return content


def of_events(events: Iterable[Any]) -> list[dict[str, float]]:
    """What a running job has told so far, in the data of its metrics events."""
    return _rows(event.data for event in events if event.kind == "metrics")


def of_checkpoints(checkpoints: Iterable[Any]) -> list[dict[str, float]]:
    return _rows({"step": checkpoint.step, **checkpoint.metrics} for checkpoint in checkpoints)


def _rows(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, float]]:
    rows: dict[float, dict[str, float]] = {}
    for entry in entries:
        step = _number(entry.get("step"))
        if step is None:
            continue
        row = rows.setdefault(step, {"step": step})
        for name, value in entry.items():
            kept = SAME.get(str(name), str(name))
            number = _number(value)
            if kept in NAMES and number is not None and number != -1:  # -1 stands for "not computed"
                row[kept] = number
    return [rows[step] for step in sorted(rows)]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
