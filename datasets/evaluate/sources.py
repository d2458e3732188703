"""What an evaluation is measured on where that is no selection: a dataset's version, a part of one, a file.

A version of items is used as it is, by as many evaluations as want it. Lines of a training file become items
in a version of their own, and so do the lines of a file that is uploaded; the operations of
datasets.receiving write them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import transaction

from completions.readings import clean
from datasets import received
from datasets.build import files
from datasets.evaluate.shape import INPUT, OUTPUT
from datasets.models import Dataset, DatasetVersion, Evaluation, Part, Purpose
from datasets.recipe import Recipe
from portal import audit
from portal.models import Connection

WHOLE: Final = ""
PREFERRED: Final = ("test", "validation")  # parts that a student has not learnt from
Origin, State = DatasetVersion.Origin, DatasetVersion.State


def parts_of(version: DatasetVersion) -> list[Part]:
    """The parts to choose among; none where there is only the whole."""
    parts = [part for part in version.parts if part.rows]
    return parts if len(parts) > 1 else []


def usual_part(version: DatasetVersion) -> str:
    """The part to begin with: what was held back for tests, else for validation, else everything."""
    names = {part.name for part in parts_of(version)}
    return next((name for name in PREFERRED if name in names), WHOLE)


def begin_version(version: DatasetVersion, part: str, name: str, user: Any, whose: str = "") -> Evaluation:
    """The evaluation of a version or a part of it that is being set up; asking twice makes one.

    `whose` tells evaluations of the same rows apart that are begun for different models.
    """
    if version.state != State.READY or (part != WHOLE and version.part(part) is None):
        raise ValueError("only a version that is built, and a part that it has, can be measured on")
    told = f"{version.pk}:{part}:{whose}"
    with transaction.atomic():
        DatasetVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
        found = _draft(told, user)
        if found is not None:
            return found
        shared = version.dataset.purpose == Purpose.EVALUATION and part == WHOLE
        items = version if shared else _taken(version, part, name, user)
        return _begin(items, name, user, {"from": told, "shared": shared})


def _draft(told: str, user: Any) -> Evaluation | None:
    """This person's evaluation of the same items that has not been run yet."""
    mine = Evaluation.objects.filter(owner=user, runs__isnull=True, deleting=False).order_by("-id")[:50]
    found = mine.select_related("version__dataset", "version__frozen_selection")
    return next((draft for draft in found if draft.setup.get("from") == told), None)


def _begin(version: DatasetVersion, name: str, user: Any, setup: dict[str, Any]) -> Evaluation:
    made: Evaluation = Evaluation.objects.create(
        name=name, version=version, owner=user, setup={"steps": [], **setup}
    )
    sources = list(version.connections.all())
    made.connections.set(sources)
    audit.record(
        user,
        "evaluation.created",
        made,
        connection=sources[0] if len(sources) == 1 else None,
        version=str(version),
    )
    return made


def _taken(version: DatasetVersion, part: str, name: str, user: Any) -> DatasetVersion:
    """A version whose items are taken from the lines of another one; it begins to be written."""
    words = f"{version}, {part} part" if part else str(version)
    made = _version(
        name,
        user,
        {"file_name": words[:200], "part_of": version.pk, "part": part, "read_as": version.dataset.purpose},
        list(version.connections.all()),
        parent=version,
        note=f"Items taken from {words}"[:200],
    )
    received.begin(made, user)
    return made


def begin_upload(
    path: str, size: int, file_name: str, connections: Sequence[Connection], name: str, user: Any
) -> Evaluation:
    """The evaluation of a file that was uploaded; nothing of it is taken before `take`."""
    file_name = clean(file_name)[:200] or "file"
    source = {"path": path, "size": size, "file_name": file_name, "mend": True}
    with transaction.atomic():
        version = _version(name, user, source, connections, note=f"From the file {file_name}"[:200])
        return _begin(version, name, user, {"from": "file"})


def _version(
    name: str,
    user: Any,
    source: dict[str, Any],
    connections: Sequence[Connection],
    *,
    parent: DatasetVersion | None = None,
    note: str,
) -> DatasetVersion:
    made: DatasetVersion = DatasetVersion.objects.create(
        dataset=Dataset.objects.create(name=name, purpose=Purpose.EVALUATION, owner=user),
        number=1,
        origin=Origin.UPLOAD,
        source=source,
        parent=parent,
        note=note,
        recipe=Recipe(purpose=Purpose.EVALUATION).as_data(),
        created_by=user,
    )
    made.connections.set(connections)
    return made


def take(evaluation: Evaluation, user: Any) -> None:
    """Begin to read the file that was uploaded, again if that failed."""
    version = evaluation.version
    if version.state in (State.DRAFT, State.FAILED):
        received.begin(version, user)
        audit.record(
            user,
            "dataset_version.uploaded",
            version,
            file_name=version.source.get("file_name", ""),
            bytes=version.source.get("size"),
        )


def name_columns(evaluation: Evaluation, columns: Mapping[str, str]) -> None:
    """Say which column is the input and which the output; what was counted by other names is forgotten."""
    told = {name: columns[name] for name in (INPUT, OUTPUT) if columns.get(name, name) != name}
    if told != (evaluation.setup.get("columns") or {}):
        kept = {key: value for key, value in evaluation.setup.items() if key != "coverage"}
        evaluation.setup = {**kept, "columns": told}
        evaluation.save(update_fields=["setup"])


def is_made_for(evaluation: Evaluation) -> bool:
    """Whether its items were made for it; others chose a version that was there before."""
    return not evaluation.setup.get("shared")


def in_words(evaluation: Evaluation) -> str:
    """What is measured on, in a few words."""
    version = evaluation.version
    frozen = version.frozen_selection
    if frozen is not None:
        return f"{frozen.count:,} stored completion{'s' * (frozen.count != 1)} chosen"
    if version.origin == Origin.SELECTION:
        return f"{version.rows:,} items; their selection is gone" if version.rows else "The selection is gone"
    rows = f"{version.rows:,} item{'s' * (version.rows != 1)} of " if version.state == State.READY else ""
    if evaluation.setup.get("shared"):
        return f"{rows}{version}"
    return f"{rows}{version.source.get('file_name', 'a file')}"


def forget(version: DatasetVersion) -> None:
    """Delete the uploaded file of a version that is deleted before it was read; in a transaction."""
    path = version.source.get("path", "")
    if path:
        transaction.on_commit(lambda: files.artifacts().delete(path), robust=True)
