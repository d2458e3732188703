"""Go on from an evaluation with other graders: a new one that is set up like it, on the same items."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from datasets import library
from datasets.evaluate import setup
from datasets.evaluate.targets import Target, read
from datasets.models import DatasetVersion, Evaluation, Grader
from datasets.wizard import free_name
from portal import audit
from portal.models import Connection

_COPY = re.compile(r" \(copy\)( \d+)?$")
_BEFORE_GRADERS = ("data", "reference", "targets")


class Refused(Exception):
    """Nothing that can be copied; the text says why."""


@dataclass(frozen=True)
class Told:
    """What a person is told of a copy until its graders are chosen. `source` is None if it is gone, or not
    theirs to read.
    """

    source: Evaluation | None
    copied: str
    left_out: str
    closed: str


def why_not(evaluation: Evaluation) -> str:
    """Why an evaluation cannot be copied; empty if it can."""
    if evaluation.version.state == DatasetVersion.State.READY:
        return ""
    return "Its items are not there yet, and a copy would measure the same ones."


def copy(source: Evaluation, user: Any) -> tuple[Evaluation, bool]:
    """A new evaluation of the same items, with the reference, targets and graders of `source`, and whether it
    was made now: asked twice, it is the same one as long as nothing of it was changed. Raises Refused.
    """
    with transaction.atomic():
        held = Evaluation.objects.select_for_update().filter(pk=source.pk, deleting=False).first()
        if held is None:
            raise Refused("It is being deleted.")
        held.version = DatasetVersion.objects.select_for_update(of=("self",)).get(pk=held.version_id)
        if reason := why_not(held):
            raise Refused(reason)
        asked = Connection.objects.actionable_by(user).with_endpoint().values_list("pk", flat=True)
        usable = {None, *asked}
        targets = [target for target in setup.targets_of(held) if target.connection in usable]
        there = _untouched(held, targets, user)
        return there or _make(held, targets, user), there is None


def told(evaluation: Evaluation, user: Any) -> Told | None:
    """What was copied and what was not, to this person; None if it is no copy, or its graders are chosen."""
    copied = evaluation.setup.get("copied")
    if not copied or "graders" in setup.done_steps(evaluation):
        return None
    source = Evaluation.objects.readable_by(user).filter(pk=copied["from"]).first()
    graders = evaluation.graders.all()
    closed = [f"“{each.name}”" for each in graders if not library.may_ask(each.kind, each.params, user)]
    return Told(
        source,
        "The same items and reference,"
        f" {_some(copied['targets'], 'target')} and {_some(copied['graders'], 'grader')} were copied;"
        " its runs and its schedule stay there. Change the graders as you like.",
        _left_out(read(copied["left_out"]), user),
        f"You may not ask the connection that judges for {', '.join(closed)}. Choose another one."
        if closed
        else "",
    )


def _left_out(targets: Sequence[Target], user: Any) -> str:
    """Which targets were not copied; those whose connection this person may not read stay unnamed."""
    readable = set(Connection.objects.readable_by(user).values_list("pk", flat=True))
    named = [f"“{target.label}”" for target in targets if target.connection in readable]
    if unnamed := len(targets) - len(named):
        named.append(_some(unnamed, f"{'further ' * bool(named)}target"))
    if not named:
        return ""
    return f"Left out: {', '.join(named)}, on a connection that you may not ask or that is gone."


def _untouched(source: Evaluation, targets: Sequence[Target], user: Any) -> Evaluation | None:
    """This person's copy that is still as it was made."""
    mine = Evaluation.objects.filter(owner=user, runs__isnull=True, deleting=False, version=source.version_id)
    wanted, mark = [target.as_dict() for target in targets], setup.mark_of(source)
    for draft in mine.order_by("-id")[:50]:
        copied = draft.setup.get("copied") or {}
        if copied.get("from") != source.pk or "graders" in setup.done_steps(draft):
            continue
        same = draft.reference == source.reference and draft.setup["targets"] == wanted
        if same and setup.mark_of(draft) == mark:
            found: Evaluation = draft
            return found
    return None


def _make(source: Evaluation, targets: Sequence[Target], user: Any) -> Evaluation:
    graders = list(source.graders.all())
    left_out = [target.as_dict() for target in setup.targets_of(source) if target not in targets]
    taken = set(Evaluation.objects.filter(owner=user).values_list("name", flat=True))
    known = {(target.connection, target.model) for target in targets}
    done = setup.done_steps(source)
    kept = {
        "steps": [step for step in _BEFORE_GRADERS if step in done and (step != "targets" or targets)],
        # Its items are not made for it: they stay when it is deleted.
        "shared": True,
        "copied": {
            "from": source.pk,
            "targets": len(targets),
            "graders": len(graders),
            "left_out": left_out,
        },
        "targets": [target.as_dict() for target in targets],
        "doubts": [
            doubt for doubt in source.setup.get("doubts", ()) if (doubt["connection"], doubt["name"]) in known
        ],
    }
    if "columns" in source.setup:
        kept["columns"] = source.setup["columns"]
    made: Evaluation = Evaluation.objects.create(
        name=free_name(f"{_COPY.sub('', source.name)[:110]} (copy)", taken),
        version=source.version,
        reference=source.reference,
        owner=user,
        setup=kept,
    )
    sources = list(source.connections.all())
    made.connections.set(sources)
    Grader.objects.bulk_create(
        Grader(
            evaluation=made,
            position=each.position,
            name=each.name,
            kind=each.kind,
            params=each.params,
            taken_from_id=each.taken_from_id,
        )
        for each in graders
    )
    asked = sources[0] if len(sources) == 1 else None
    audit.record(
        user, "evaluation.created", made, connection=asked, version=str(source.version), copied=source.pk
    )
    return made


def _some(count: int, word: str) -> str:
    return f"{count or 'no'} {word}{'s' * (count != 1)}"
