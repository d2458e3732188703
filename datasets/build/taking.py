"""Completions of a frozen selection as material for rows, some hundred at a time, with what people said."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Length

from completions import raw
from completions.conversation import parse
from completions.models import Body, FrozenSelection, Label, MessagesState, ReviewState, StoredCompletion
from completions.querysets import holding
from datasets.build.lines import Refusal
from datasets.build.material import Material
from datasets.models import DatasetVersion

_STORED = (
    "pk", "upstream_id", "connection_id", "model", "metadata", "messages_state", "prompt_tokens",
    "completion_tokens",
)  # fmt: skip
_SAID = ("pk", "state", "rating", "labels", "correction__value")
Row = Mapping[str, Any]
BYTES_AT_ONCE = 8 * 1024 * 1024  # of packed answers in memory; one may hold many pictures


@dataclass(frozen=True, slots=True)
class Taken:
    """One selected completion: its id (None if it is no longer here), its address, and what it holds."""

    completion: int | None
    source_key: str
    material: Material | Refusal


class Sources:
    """The connections that a version is made from, and the names that hold in them."""

    def __init__(self, connections: Mapping[int, str], labels: Mapping[str, str]) -> None:
        self._connections, self._labels = connections, labels

    @classmethod
    def of(cls, made_from: DatasetVersion | FrozenSelection) -> "Sources":
        connections = dict(made_from.connections.values_list("pk", "slug"))
        labels = Label.objects.filter(connection__in=list(connections)).values_list("pk", "name")
        return cls(connections, {str(pk): name for pk, name in labels})

    def take(self, ids: Sequence[int]) -> Iterator[Taken]:
        """These completions in their order, in a few queries however many they are."""
        found = StoredCompletion.objects.filter(holding(ids), connection__in=list(self._connections))
        rows: dict[int, dict[str, Any]] = {row["pk"]: row for row in found.values(*_STORED)}
        said = {row["pk"]: row for row in ReviewState.objects.filter(holding(list(rows))).values(*_SAID)}
        for some in _batches(ids):
            bodies = dict(Body.objects.filter(holding(some)).values_list("pk", "raw"))
            for pk in some:
                row = rows.get(pk)
                if row is None:
                    yield Taken(None, f"#{pk}", Refusal("deleted"))
                    continue
                key = f"{self._connections[row['connection_id']]}/{row['upstream_id']}"[:300]
                yield Taken(pk, key, self._material(key, row, bodies.pop(pk, None), said.get(pk)))

    def _material(
        self,
        key: str,
        row: Mapping[str, Any],
        body: bytes | memoryview | None,
        said: Mapping[str, Any] | None,
    ) -> Material | Refusal:
        if row["messages_state"] == MessagesState.GONE:
            return Refusal("messages_gone")
        if body is None:
            return Refusal("unreadable")
        try:
            conversation = parse(*raw.read(raw.unpack(body)))
        except (raw.Unreadable, RecursionError):
            return Refusal("unreadable")
        known = {} if said is None else self._said(said)
        return Material(
            source_key=key,
            conversation=conversation,
            model=row["model"],
            connection=self._connections[row["connection_id"]],
            metadata=row["metadata"],
            prompt_tokens=row["prompt_tokens"],
            completion_tokens=row["completion_tokens"],
            **known,
        )

    def _said(self, said: Row) -> dict[str, Any]:
        answers = {self._labels[key]: held for key, held in said["labels"].items() if key in self._labels}
        return {
            "state": said["state"],
            "rating": said["rating"],
            "labels": {name: ", ".join(map(str, held)) for name, held in answers.items()},
            "correction": said["correction__value"],
        }


def _batches(ids: Sequence[int]) -> Iterator[list[int]]:
    """The ids in their order, so many at once as may be in memory together."""
    sizes = dict(Body.objects.filter(holding(ids)).values_list("pk", Length("raw")))
    some: list[int] = []
    size = 0
    for pk in ids:
        if some and size + sizes.get(pk, 0) > BYTES_AT_ONCE:
            yield some
            some, size = [], 0
        some.append(pk)
        size += sizes.get(pk, 0)
    yield some
