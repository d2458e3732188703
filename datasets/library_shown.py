"""A grader of the library for people: its fields as texts, what a version changed, where it is used."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from completions.diff import STEPS
from completions.diff_html import changes
from datasets.evaluate import graders as grading
from datasets.models import Evaluation, Grader, LibraryGrader, LibraryGraderVersion
from portal.models import Connection

UNSEEN = "a connection that you cannot see"
USES_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Changed:
    """One field of a grader before and after, marked where it is another."""

    label: str
    html: SafeString


@dataclass(frozen=True, slots=True)
class Uses:
    """The evaluations that took a grader and may be seen, with the number they took; how many are unseen."""

    shown: tuple[tuple[Evaluation, int], ...]
    unseen: int
    total: int


def fields_of(kind: str, params: Mapping[str, Any], user: Any) -> dict[str, str]:
    """What a grader says, by field, as texts; connections by their names."""
    found: dict[str, str] = {}
    if kind == Grader.Kind.MULTI:
        for name, part in params.get("graders", {}).items():
            found[f"{name}: kind"] = str(part["kind"])
            for label, text in fields_of(part["kind"], part["params"], user).items():
                found[f"{name}: {label}"] = text
    for field, value in params.items():
        label = field.replace("_", " ")
        if field == "graders":
            continue
        if field == "connection":
            found[label] = _connection(value, user)
        elif field == "input" and isinstance(value, list):
            for place, message in enumerate(value, 1):
                found[f"message {place}, {message.get('role')}"] = _text(message.get("content"))
        else:
            found[label] = _text(value)
    return found


def compare(before: LibraryGraderVersion, after: LibraryGraderVersion, user: Any) -> list[Changed]:
    """The fields that are not the same in both, in the order of the later one."""
    was, now = (fields_of(version.kind, version.params, user) for version in (before, after))
    labels = [*now, *(label for label in was if label not in now)]
    room = [STEPS]
    return [
        Changed(label, changes(was.get(label, ""), now.get(label, ""), room))
        for label in labels
        if was.get(label) != now.get(label)
    ]


def described(version: LibraryGraderVersion) -> str:
    return grading.describe(version.kind, version.params)


def uses_of(grader: LibraryGrader, user: Any) -> Uses:
    """Where a grader is used, as far as this person may see it."""
    rows = Grader.objects.filter(taken_from__grader=grader)
    total = rows.values("evaluation").distinct().count()
    readable = Evaluation.objects.readable_by(user).values("pk")
    visible = rows.filter(evaluation__in=readable)
    shown = visible.select_related("evaluation", "taken_from").order_by("-evaluation")[:USES_SHOWN]
    unseen = total - visible.values("evaluation").distinct().count()
    return Uses(tuple((each.evaluation, each.taken_from.number) for each in shown), unseen, total)


def _connection(value: Any, user: Any) -> str:
    if not isinstance(value, int):
        return ""
    found = Connection.objects.readable_by(user).filter(pk__in=[value]).first()
    return str(found) if found is not None else UNSEEN


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False, indent=2)
