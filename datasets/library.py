"""The grader library of a connection: append-only versions, and what evaluations take from it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery

from datasets.evaluate import graders as grading
from datasets.evaluate import python_graders
from datasets.evaluate.carry import told_apart
from datasets.evaluate.judges import parts_of
from datasets.models import Evaluation, Grader, LibraryGrader, LibraryGraderVersion
from portal import audit
from portal.models import Connection

Kind = Grader.Kind


class Refused(Exception):
    """Not done; says why, to the person who asked."""


def listed(connection: Connection, *, archived: bool = False) -> QuerySet[Any]:
    """The graders of a connection: their newest version (`newest`), its kind, in how many evaluations."""
    versions = LibraryGraderVersion.objects.filter(grader=OuterRef("pk")).order_by("-number")
    rows: QuerySet[Any] = LibraryGrader.objects.filter(connection=connection, archived=archived)
    counted: QuerySet[Any] = rows.annotate(
        newest=Subquery(versions.values("pk")[:1]),
        kind=Subquery(versions.values("kind")[:1]),
        used=Count("versions__used_as__evaluation", distinct=True),
    )
    return counted


def newest_of(grader: LibraryGrader) -> LibraryGraderVersion:
    version: LibraryGraderVersion = grader.versions.order_by("-number")[:1].get()
    return version


def newest_by_id(grader_ids: Iterable[int]) -> dict[int, LibraryGraderVersion]:
    """The newest version of each of these graders."""
    versions = LibraryGraderVersion.objects.filter(grader=OuterRef("pk")).order_by("-number")
    newest = LibraryGrader.objects.filter(pk__in=set(grader_ids)).annotate(
        newest=Subquery(versions.values("pk")[:1])
    )
    found = LibraryGraderVersion.objects.filter(pk__in=newest.values("newest"))
    return {version.grader_id: version for version in found}


def problems_of(kind: str, params: Mapping[str, Any], user: Any) -> list[str]:
    """What keeps a grader out of the library, in words: it cannot grade, or asks whom this person may not."""
    found = [
        f"{field.replace('_', ' ')}: {problem}" if field else problem
        for field, problem in _wrong(kind, params).items()
    ]
    if not found and not may_ask(kind, params, user):
        found.append("Choose a connection that you may ask for its judge.")
    return found


def lacks_judge(kind: str, params: Mapping[str, Any]) -> bool:
    """Whether nothing is wrong with a grader except that nobody is named to be asked."""
    if not asks(kind, params):
        return False
    named = asking(kind, params, 1, "model", "model")
    return bool(_wrong(kind, params)) and not _wrong(kind, named)


def may_ask(kind: str, params: Mapping[str, Any], user: Any) -> bool:
    """Whether this person may ask everybody whom a grader asks."""
    asked = {part.params.get("connection") for part in parts_of(kind, params) if part.asks}
    if not all(type(pk) is int for pk in asked):  # True is none
        return False
    mine = Connection.objects.actionable_by(user).with_endpoint().filter(pk__in=asked)
    return mine.count() == len(asked)


def asks(kind: str, params: Mapping[str, Any]) -> bool:
    """Whether a grader asks a model at all."""
    return any(part.asks for part in parts_of(kind, params))


def asking(
    kind: str, params: Mapping[str, Any], connection: int | None, model: str = "", embeddings: str = ""
) -> dict[str, Any]:
    """The grader with its judges on another connection; their models stay where none is named here."""
    if kind == Kind.MULTI:
        inner = {
            name: {**part, "params": asking(part["kind"], part["params"], connection, model, embeddings)}
            for name, part in params["graders"].items()
        }
        return {**params, "graders": inner}
    if not asks(kind, params):
        return dict(params)
    chosen = embeddings if kind == Kind.TEXT_SIMILARITY else model
    asked = {"connection": connection} if connection is not None else {}
    return {**params, **asked, "model": chosen or params.get("model", "")}


def names_in(connection: Connection) -> set[str]:
    return set(LibraryGrader.objects.filter(connection=connection).values_list("name", flat=True))


def add(
    connection: Connection, name: str, kind: str, params: Mapping[str, Any], user: Any, note: str = ""
) -> LibraryGraderVersion:
    """A new grader in the library, as its version 1. Raises Refused if its name is taken."""
    try:
        with transaction.atomic():
            grader = LibraryGrader.objects.create(connection=connection, name=name, created_by=user)
            version = _version(grader, 1, kind, params, user, note)
            audit.record(user, "library_grader.added", grader, connection=connection, kind=str(kind))
    except IntegrityError:
        raise Refused(f"The library has a grader called “{name}” already.") from None
    return version


def change(
    grader: LibraryGrader, params: Mapping[str, Any], note: str, user: Any, *, since: int
) -> LibraryGraderVersion:
    """A further version with other parameters; `since` is the number of the version that was changed."""
    with transaction.atomic():
        locked = LibraryGrader.objects.select_for_update().get(pk=grader.pk)
        newest = newest_of(locked)
        if newest.number != since:
            raise Refused(f"Somebody made v{newest.number} meanwhile. Look at it and change that.")
        if newest.params == dict(params):
            raise Refused("Nothing was changed.")
        version = _version(locked, since + 1, newest.kind, params, user, note)
        audit.record(
            user, "library_grader.changed", locked, connection=locked.connection, version=version.number
        )
    return version


def rename(grader: LibraryGrader, name: str, user: Any) -> None:
    """Another name; evaluations keep the name that they took. Raises Refused if it is taken."""
    try:
        with transaction.atomic():
            audit.record(user, "library_grader.renamed", grader, connection=grader.connection, to=name)
            LibraryGrader.objects.filter(pk=grader.pk).update(name=name)
    except IntegrityError:
        raise Refused(f"The library has a grader called “{name}” already.") from None


def archive(grader: LibraryGrader, user: Any, *, archived: bool) -> None:
    """Take a grader out of what is offered, or put it back; nothing that was taken changes."""
    with transaction.atomic():
        if LibraryGrader.objects.filter(pk=grader.pk, archived=not archived).update(archived=archived):
            verb = "library_grader.archived" if archived else "library_grader.restored"
            audit.record(user, verb, grader, connection=grader.connection)


def delete(grader: LibraryGrader, user: Any) -> None:
    """Remove a grader with its versions. Raises Refused while an evaluation has taken one of them."""
    with transaction.atomic():
        LibraryGrader.objects.select_for_update().get(pk=grader.pk)
        if Grader.objects.filter(taken_from__grader=grader).exists():
            raise Refused("Evaluations use it. Archive it: then it is no longer offered.")
        audit.record(user, "library_grader.deleted", grader, connection=grader.connection)
        grader.delete()


def take(
    evaluation: Evaluation, versions: Sequence[LibraryGraderVersion], user: Any, *, most: int
) -> list[Grader]:
    """Copies of these in an evaluation that has not run yet. Raises Refused, and then takes none."""
    with transaction.atomic():
        Evaluation.objects.select_for_update().get(pk=evaluation.pk)
        if evaluation.runs.exists():
            raise Refused("It has run already: its graders stay as they are.")
        there = list(evaluation.graders.all())
        if len(there) + len(versions) > most:
            room = most - len(there)
            raise Refused(
                f"{len(versions)} are chosen. An evaluation has at most {most} graders, and this one has"
                f" {len(there) or 'none'}: {room or 'no'} more {'fits' if room == 1 else 'fit'}."
            )
        for version in versions:
            if reason := why_not(version, evaluation, user):
                raise Refused(f"“{version.grader.name}”: {reason}")
        taken = [grader.name for grader in there]
        names = told_apart([version.grader.name for version in versions], taken)
        first = max((grader.position for grader in there), default=-1) + 1
        made: list[Grader] = Grader.objects.bulk_create(
            Grader(
                evaluation=evaluation,
                position=first + place,
                name=name,
                kind=version.kind,
                params=version.params,
                taken_from=version,
            )
            for place, (version, name) in enumerate(zip(versions, names, strict=True))
        )
    return made


def renew(grader: Grader, user: Any) -> LibraryGraderVersion:
    """The newest version in place of the one that an evaluation took. Raises Refused."""
    with transaction.atomic():
        evaluation = Evaluation.objects.select_for_update().get(pk=grader.evaluation_id)
        if evaluation.runs.exists():
            raise Refused("It has run already: its graders stay as they are.")
        if grader.taken_from is None:
            raise Refused("It was not taken from a library.")
        newest = newest_of(grader.taken_from.grader)
        if reason := why_not(newest, evaluation, user):
            raise Refused(reason)
        changed = {"kind": newest.kind, "params": newest.params, "taken_from": newest}
        Grader.objects.filter(pk=grader.pk).update(**changed)
    return newest


def why_not(version: LibraryGraderVersion, evaluation: Evaluation, user: Any) -> str:
    """Why an evaluation cannot take this, in words; empty if it can."""
    if not may_ask(version.kind, version.params, user):
        return "Its judge is on a connection that you may not ask. Copy it and choose another one."
    if problems := grading.validate(version.kind, version.params):
        return next(iter(problems.values()))
    if off := off_for(version.kind, version.params):
        return off
    if not evaluation.reference and grading.needs_reference(version.kind, version.params):
        return "It needs a reference, which this evaluation does not have."
    return ""


def off_for(kind: str, params: Mapping[str, Any]) -> str:
    """Why such a grader cannot judge on this site, whatever it judges; empty if it can."""
    python = any(part.kind == Kind.PYTHON for part in parts_of(kind, params))
    return python_graders.off_because() if python else ""


def _wrong(kind: str, params: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with a grader, by field, whatever stands in its fields."""
    try:
        return grading.validate(kind, params)
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        # Graders are made by forms; here anybody's JSON stands in their place.
        return {"": "Its fields are not of the form that a grader of this kind has."}


def _version(
    grader: LibraryGrader, number: int, kind: str, params: Mapping[str, Any], user: Any, note: str
) -> LibraryGraderVersion:
    version: LibraryGraderVersion = LibraryGraderVersion.objects.create(
        grader=grader, number=number, kind=kind, params=dict(params), created_by=user, note=note
    )
    return version
