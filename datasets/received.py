"""Files that become versions as they are: one's own JSONL, or a file that lies at the provider.

This is what happens while a person waits: the file is kept, the version and its operation are begun. The
lines are read by datasets.receiving.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any, BinaryIO, Final, cast
from uuid import uuid4

from django.core.files import File
from django.db import transaction
from django.db.models import Max

from completions.importing import taking
from completions.importing.lines import lines
from completions.readings import clean
from datasets.build import build, files
from datasets.models import Dataset, DatasetVersion
from datasets.recipe import Recipe
from portal import audit
from portal.models import Connection, Operation

KIND = "dataset.receive"
RENEW = "dataset.renew"
LONGEST_LINE: Final = 64 * 1024 * 1024  # bytes; pictures stand inside lines
LOOKED_AT = 20
# What says in `source` that the lines stand in another version's file.
KEPT_HERE: Final = frozenset({"from_version", "part_of"})
Origin = DatasetVersion.Origin


class Refused(ValueError):
    """The file cannot become a version; the text says why and what to do."""


def may_upload(user: Any) -> bool:
    """Whether the person is builder of a connection, to which the rows can belong."""
    return bool(Connection.objects.actionable_by(user).exists())


def keep(uploaded: BinaryIO) -> tuple[str, int]:
    """Keep a file as plain lines, unpacked if it is gzip; its name and its bytes. Raises Refused."""
    with ExitStack() as stack:
        try:
            plain, size = taking.plain_of(uploaded, stack)
        except taking.Refused as why:
            raise Refused(str(why)) from why
        _check_lines(plain)
        plain.seek(0)
        name = f"datasets/received/{uuid4()}.lines"
        return str(files.artifacts().save(name, File(plain, name=name))), size


def _check_lines(plain: BinaryIO) -> None:
    """Refuse what is no JSONL at all; single bad lines are told later, each by itself."""
    plain.seek(0)
    held = (line for line in lines(plain, most=LONGEST_LINE) if line.data is None or line.data.strip())
    some = list(islice(held, LOOKED_AT))
    if not some:
        raise Refused("The file is empty.")
    if not any(line.data is None or line.data.lstrip().startswith(b"{") for line in some):
        raise Refused(
            "This is not JSONL: none of its first lines is a JSON object. Write one object on each line, for "
            "example with: jq -c '.[]' file.json"
        )


def start(
    user: Any,
    *,
    into: Dataset | None,
    name: str,
    purpose: str,
    connections: Sequence[Connection],
    source: dict[str, Any],
    origin: str = Origin.UPLOAD,
    mend: bool = False,
) -> DatasetVersion:
    """Make the version that a file becomes, the first of a new dataset or the next of one, and begin to read.

    `source` has the file's `path` in the artifacts, or the `connection` and `file` to get it from.
    """
    told = {**source, "file_name": clean(str(source.get("file_name", "")))[:200] or "file", "mend": mend}
    with transaction.atomic():
        dataset = into or Dataset.objects.create(name=name, purpose=purpose, owner=user)
        dataset = Dataset.objects.select_for_update().get(pk=dataset.pk)  # one number at a time
        newest = dataset.versions.order_by("-number").first()
        number = (dataset.versions.aggregate(last=Max("number"))["last"] or 0) + 1
        version: DatasetVersion = DatasetVersion.objects.create(
            dataset=dataset,
            number=number,
            origin=origin,
            source=told,
            parent=newest,
            note=f"From the file {told['file_name']}"[:200],
            recipe=Recipe(purpose=dataset.purpose).as_data(),
            created_by=user,
        )
        version.connections.set(connections)
        audit.record(
            user,
            "dataset_version.uploaded",
            version,
            connection=connections[0] if len(connections) == 1 else None,
            file_name=told["file_name"],
            bytes=told.get("size"),
        )
        begin(version, user)
        return version


def begin(version: DatasetVersion, user: Any) -> Operation:
    """Begin to make the file of a version, wherever its rows come from, or return what does it already."""
    if version.origin == Origin.SELECTION:
        return build.begin(version, user)
    return build.begin_making(version, user, KIND, f"Read the rows of {version}", operation_of)


def operation_of(version: DatasetVersion) -> Operation | None:
    """The newest operation that makes (or made) the version."""
    found = Operation.objects.filter(
        kind__in=(build.KIND, KIND, RENEW),
        subject_type=version._meta.label_lower,
        subject_id=str(version.pk),
    )
    return cast("Operation | None", found.order_by("-id").first())


def is_read_from(version: DatasetVersion) -> bool:
    """Whether other versions are read from this one, so that it has to stay: later ones of an uploaded file,
    or items that are just being taken from it.
    """
    making = DatasetVersion.objects.filter(source__part_of=version.pk, state=DatasetVersion.State.BUILDING)
    if making.exists():
        return True
    later = version.dataset.versions.filter(number__gt=version.number)
    return version.origin != Origin.SELECTION and later.filter(source__from_version=version.pk).exists()
