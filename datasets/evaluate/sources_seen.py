"""What the first rows of an evaluation hold: what could be a reference, and how long answers are."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from django.db.models import QuerySet

from completions import selection
from completions.models import FrozenSelection, Label, ReviewState, StoredCompletion
from completions.querysets import holding
from completions.readings import clean
from datasets.build import tokens
from datasets.build.columns import COLUMN, LABEL, META
from datasets.evaluate.items import Items
from datasets.evaluate.shape import Shape, columns_of, is_name
from datasets.models import Evaluation, Example
from datasets.usage import LOOKED_AT
from portal.models import Connection

SHOWN: Final = 40  # keys
LINES: Final = 2_000  # of a file; more would make a person wait
COUNTED: Final = 200  # of which tokens are counted
SPREAD: Final = 500  # rows over the whole that are asked where they come from
BYTES: Final = 16 * 1024 * 1024  # a line may hold pictures
_CHUNK: Final = 500
Seen = dict[str, Any]


class Keys:
    """How many rows have a value by each name, and what some of the values are."""

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()
        self._values: dict[str, set[str]] = {}

    def add(self, pairs: Iterable[tuple[str, Any]]) -> None:
        """The names and values of one row."""
        for name, value in pairs:
            self._rows[name] += 1
            seen = self._values.setdefault(name, set())
            if len(seen) < 4:
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
                seen.add(clean(text[:80]))

    def told(self) -> list[Seen]:
        """The most frequent first."""
        return [
            {"key": key, "n": n, "values": sorted(self._values[key])[:3], "more": len(self._values[key]) > 3}
            for key, n in self._rows.most_common(SHOWN)
        ]


def rows_of(frozen: FrozenSelection | None, limit: int) -> Iterator[StoredCompletion]:
    """The first rows of a selection in its order, without their bodies; none if it is gone."""
    if frozen is None:
        return
    ids = islice(selection.ids_of(frozen), limit)
    sources = frozen.connections.all()
    while chunk := list(islice(ids, _CHUNK)):
        found = StoredCompletion.objects.filter(connection__in=sources).in_bulk(chunk)
        yield from (found[pk] for pk in chunk if pk in found)


def of_selection(frozen: FrozenSelection | None) -> Seen:
    """Which metadata keys the selected rows have, how many of them, and what the values look like."""
    looked = answers = 0
    keys = Keys()
    for row in rows_of(frozen, LOOKED_AT):
        looked += 1
        answers += row.answer_length > 0 or row.refused
        keys.add((key, value) for key, value in row.metadata.items() if isinstance(value, str) and value)
    return {"looked": looked, "answers": answers, "keys": keys.told()}


def said_of(frozen: FrozenSelection | None) -> Seen:
    """What people said of the same rows: corrections, answers to labels, and answers that are no good."""
    corrections = not_good = 0
    labels = Keys()
    if frozen is not None:
        names = dict(Label.objects.filter(connection__in=frozen.connections.all()).values_list("pk", "name"))
        ids = islice(selection.ids_of(frozen), LOOKED_AT)
        while chunk := list(islice(ids, _CHUNK)):
            said = ReviewState.objects.filter(holding(chunk))
            for state, rating, correction, answers in said.values_list(
                "state", "rating", "correction", "labels"
            ):
                corrections += correction is not None
                not_good += correction is None and (state == "rejected" or rating == "bad")
                labels.add(
                    (names[int(key)], ", ".join(map(str, held)))
                    for key, held in answers.items()
                    if int(key) in names and held
                )
    return {"corrections": corrections, "not_good": not_good, "labels": labels.told()}


def of_file(evaluation: Evaluation) -> Seen:
    """The same of items that stand in a file already, and how many tokens their calls will take."""
    keys, columns = Keys(), Keys()
    looked = answers = sendable = 0
    counter = tokens.Counter.plain()
    asked: list[int] = []
    answered: list[int] = []
    shape = Shape.of(evaluation)
    taken = {shape.input, shape.output}
    with Items(evaluation) as items:
        for example in first_of(evaluation, LINES):
            looked += 1
            held, item = items.line(example)["item"], items.of(example)
            columns.add((name, held[name]) for name in columns_of(held) if name not in taken)
            metadata = item.get("metadata")
            if isinstance(metadata, Mapping):
                given = ((key, value) for key, value in metadata.items() if is_name(key))
                keys.add((key, value) for key, value in given if value not in (None, "", [], {}))
            answers += isinstance(item.get("output"), str)
            sendable += not item.get("unsendable")
            if looked <= COUNTED:
                asked.append(counter.of_data({"item": {**item, "output": None}})[0])
                said = item.get("output") or item.get("reference")
                if isinstance(said, str):
                    answered.append(tokens_of_text(counter, said))
    return {
        "looked": looked,
        "answers": answers,
        "keys": keys.told(),
        "columns": columns.told(),
        "sendable": sendable,
        "prompt_each": sum(asked) / len(asked) if asked else None,
        "completion_each": sum(answered) / len(answered) if answered else None,
    }


def mostly_from(evaluation: Evaluation, among: QuerySet[Connection]) -> int | None:
    """Which of these connections most items come from, as some rows spread over all of them tell; the first
    by name where they do not. None if the items come from none of these.
    """
    own = evaluation.connections.values("pk")
    found = list(among.filter(pk__in=own).order_by("name", "pk").values_list("pk", flat=True))
    if len(found) < 2:
        return found[0] if found else None
    rows = Counter(_origins(evaluation))
    return max(found, key=lambda pk: rows[pk])


def _origins(evaluation: Evaluation) -> list[int | None]:
    version = evaluation.version
    if version.state == version.State.READY:
        lines = range(1, version.rows + 1, max(1, version.rows // SPREAD))
        items = Example.objects.filter(version=version, line__in=lines)
        return list(items.values_list("completion__connection", flat=True))
    if version.frozen_selection is None:
        return []
    chosen = selection.unpacked(version.frozen_selection.ids)
    some = chosen[:: max(1, len(chosen) // SPREAD)].tolist()
    return list(StoredCompletion.objects.filter(pk__in=some).values_list("connection", flat=True))


def tokens_of_text(counter: tokens.Counter, text: str) -> int:
    """What a text takes beyond what every message does."""
    around, _ = counter.of_data({"messages": [{"role": "assistant", "content": ""}]})
    return counter.of_data({"messages": [{"role": "assistant", "content": text}]})[0] - around


def first_of(evaluation: Evaluation, limit: int) -> Iterator[Example]:
    """The first items of a version that is built, in the order of its file; fewer where they are long."""
    held = 0
    for example in evaluation.version.examples.filter(line__isnull=False).order_by("line")[:limit]:
        yield example
        held += example.length or 0
        if held > BYTES:
            return


def offered(coverage: Mapping[str, Any]) -> list[Seen]:
    """Metadata keys, labels and columns with the reference that each of them would be."""
    looked = coverage["looked"] or 1
    groups = (("keys", META, "Metadata"), ("labels", LABEL, "Label"), ("columns", COLUMN, "Column"))
    return [
        {**entry, "value": f"{kind}{entry['key']}", "share": entry["n"] / looked, "kind": words}
        for group, kind, words in groups
        for entry in coverage.get(group, ())
    ]
