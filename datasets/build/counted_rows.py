"""Rows that upstream has counted, to learn from how many tokens a text takes."""

from collections import defaultdict

from django.db.models import Q

from completions import raw, selection
from completions.conversation import parse
from completions.models import MessagesState, StoredCompletion
from datasets.build import fit, tokens
from datasets.build.fit import Counts, Fit
from datasets.models import DatasetVersion

ROWS = 500
ENOUGH = 40  # rows of one model, for a fit of its own


def learn(version: DatasetVersion) -> dict[str, Fit]:
    """A fit for each model with enough rows, and one for all others; nothing where there are too few."""
    rows: dict[str, list[tuple[Counts, int]]] = defaultdict(list)
    for model, row in _rows(version):
        rows[model].append(row)
    every = Fit.of([row for some in rows.values() for row in some])
    if every is None:
        return {}
    found = {tokens.EVERY: every}
    for model, some in rows.items():
        if len(some) >= ENOUGH and len(rows) > 1:
            own = Fit.of(some)
            if own is not None:
                found[model] = own
    return found


def _rows(version: DatasetVersion) -> list[tuple[str, tuple[Counts, int]]]:
    """ROWS of the selection, spread over it; the newest of its connections where there is none."""
    counted = StoredCompletion.objects.filter(
        Q(prompt_tokens__gt=0) & Q(completion_tokens__gt=0),
        connection__in=version.connections.all(),
        messages_state=MessagesState.OK,
    )
    frozen = version.frozen_selection
    if frozen is not None:
        every = max(1, frozen.count // ROWS)
        ids = [pk for at, pk in enumerate(selection.ids_of(frozen)) if at % every == 0][:ROWS]
        counted = counted.filter(pk__in=ids)
    found = []
    for row in counted.select_related("body").order_by("-id")[:ROWS].iterator(chunk_size=50):
        made = _row(row)
        if made is not None:
            found.append((row.model, made))
    return found


def _row(row: StoredCompletion) -> tuple[Counts, int] | None:
    try:
        conversation = parse(*raw.read(raw.unpack(row.body.raw)))
    except (raw.Unreadable, StoredCompletion.body.RelatedObjectDoesNotExist, RecursionError):
        return None
    prompt, answer = tokens.usage_of(conversation)
    if conversation.has_image is not False or not prompt or not answer:
        return None
    if any(part.kind not in ("text", "refusal") for each in conversation.everything for part in each.parts):
        return None
    return fit.counts(*tokens.of_conversation(conversation)), prompt + answer
