"""The labels of a connection: what reviewers are asked about each of its completions."""

from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from completions.models import Label, Term
from completions.readings import term_of
from completions.reviewing import Refused
from portal import audit
from portal.models import Connection

MOST = 40  # that are asked at a time
MOST_ANSWERS, LONGEST_ANSWER = 50, 100
FARTHEST = 1_000  # a score goes from minus this to this


def of(connection: Connection) -> list[Label]:
    """Every label of a connection in the order in which they are asked, retired ones last."""
    found = list(Label.objects.filter(connection=connection))
    return sorted(found, key=lambda label: label.retired is not None)


def is_used(label: Label) -> bool:
    """Whether it was ever answered: then its name and its kind stand in filters and in what was said."""
    key, _ = term_of(label.name, "")
    held = Term.objects.filter(connection=label.connection_id, kind=Term.Kind.LABEL, key=key)
    return bool(held.exists())


def save(label: Label, actor: Any) -> Label:
    """Keep a new or a changed label; raises Refused where it cannot stand beside the others.

    Answers that are taken off the list stay where they were given.
    """
    with transaction.atomic():
        others = list(Label.objects.select_for_update().filter(connection=label.connection_id))
        if any(each.pk != label.pk and each.name.casefold() == label.name.casefold() for each in others):
            raise Refused("Another label of this connection has this name.")
        held = next((each for each in others if each.pk == label.pk), None)
        if held is None:
            if sum(each.retired is None for each in others) >= MOST:
                raise Refused(f"A connection can ask {MOST} labels. Retire one first.")
            last = Label.objects.filter(connection=label.connection_id).aggregate(last=Max("position"))
            label.position = (last["last"] or 0) + 1
        elif is_used(held) and (held.name, held.kind) != (label.name, label.kind):
            raise Refused("It was answered, so its name and its kind stay as they are.")
        label.save()
        verb = "label.changed" if held else "label.created"
        answers = len(label.options)
        audit.record(actor, verb, label, connection=label.connection, kind=label.kind, answers=answers)
    return label


def move(label: Label, step: int) -> None:
    """One place up (-1) or down (1) among those that are asked."""
    with transaction.atomic():
        asked = list(Label.objects.select_for_update().filter(connection=label.connection_id, retired=None))
        at = next((n for n, each in enumerate(asked) if each.pk == label.pk), None)
        if at is None or not 0 <= at + step < len(asked):
            return
        asked[at], asked[at + step] = asked[at + step], asked[at]
        for position, each in enumerate(asked, start=1):
            each.position = position
        Label.objects.bulk_update(asked, ["position"])


def retire(label: Label, actor: Any) -> None:
    """Ask it no more; what was answered stays, and can be filtered by."""
    with transaction.atomic():
        if Label.objects.filter(pk=label.pk, retired=None).update(retired=timezone.now()):
            audit.record(actor, "label.retired", label, connection=label.connection)


def restore(label: Label, actor: Any) -> None:
    """Ask it again, after the others; raises Refused if there are too many."""
    with transaction.atomic():
        asked = Label.objects.select_for_update().filter(connection=label.connection_id, retired=None)
        positions = [each.position for each in asked]
        if len(positions) >= MOST:
            raise Refused(f"A connection can ask {MOST} labels. Retire one first.")
        back = Label.objects.filter(pk=label.pk, retired__isnull=False)
        if back.update(retired=None, position=max(positions, default=0) + 1):
            audit.record(actor, "label.restored", label, connection=label.connection)
