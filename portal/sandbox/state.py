"""One resource's state: the story, and what happened to it since, as changes that can be replayed."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.sandbox.brains import Skill, base_skill
from portal.sandbox.evals_state import Evals
from portal.sandbox.jobs import Job
from portal.sandbox.personality import ROLES, Json, Personality
from portal.sandbox.story import MODELS, Row, Story
from portal.sandbox.training import skill

EMBEDDINGS = "text-embedding-3-small"
TUNABLE = (
    "gpt-4o-mini-2024-07-18",
    "gpt-4o-2024-08-06",
    "gpt-4.1-2025-04-14",
    "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano-2025-04-14",
    "o4-mini-2025-04-16",
)
Key = tuple[int, int, int]  # created, 0 for the story and 1 for what came later, number: the order of rows


@dataclass(slots=True)
class Stored:
    """A completion that the story does not have. ``raw`` is sent as it is, to plant what is barely JSON."""

    row: Row
    number: int
    raw: str | None = None

    @property
    def key(self) -> Key:
        return (self.row.created, 1, self.number)


@dataclass(slots=True)
class File:
    """An uploaded file; its bytes are in the data folder under its id."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: float
    seconds: float  # until it is processed
    error: str | None = None
    expires_at: int | None = None
    lesson: Json | None = None

    def status(self, now: float) -> str:
        part = (now - self.created_at) / self.seconds if self.seconds else 1.0
        if part < 0.4:
            return "pending"
        if part < 1.0:
            return "running"
        return "error" if self.error else "processed"


@dataclass(slots=True)
class Deployment:
    """A model under a name; it can be called some time after it was asked for."""

    name: str
    model: str
    version: str
    sku: Json
    created_at: float
    seconds: float

    def state(self, now: float) -> str:
        part = (now - self.created_at) / self.seconds if self.seconds else 1.0
        return "Accepted" if part < 0.2 else "Creating" if part < 1.0 else "Succeeded"

    def callable_at(self, now: float) -> bool:
        return now >= self.created_at + self.seconds * 1.25


@dataclass(slots=True)
class Matches:
    """The story rows that a filter keeps, in order."""

    indexes: list[int]
    accepts: Callable[[int], bool] = field(repr=False)


class ResourceState:
    """Read through the questions below; changed only by ``apply``, which the journal's replay also calls."""

    def __init__(self, personality: Personality, story: Story, files: Path, started: float) -> None:
        self.personality = personality
        self.story = story
        self.folder = files
        self.deleted: set[int] = set()
        self.changed: dict[int, dict[str, str]] = {}  # metadata of story rows
        self.added: dict[str, Stored] = {}
        self.order: list[tuple[Key, str]] = []
        self.files: dict[str, File] = {}
        self.jobs: dict[str, Job] = {}
        self.deployments: dict[str, Deployment] = {}
        self.evals = Evals()
        self.gone_models: set[str] = set()
        self.keys = personality.keys
        self.revoked: set[str] = set()
        self.tokens_valid_from = 0.0
        self.merges = personality.azure  # what an update of metadata does: add pairs, or replace them all
        self.number = 0
        self.nulls_before = story.until - 54 * 86400 if personality.azure else 0
        self.caches: dict[tuple[str | None, tuple[tuple[str, str], ...]], Matches] = {}
        if personality.azure:
            for name, model in {**MODELS, EMBEDDINGS: EMBEDDINGS}.items():
                base, version = _split_version(model)
                sku = {"name": "GlobalStandard", "capacity": 100}
                self.deployments[name] = Deployment(name, base, version, sku, started - 86400, 0)

    # changes

    def apply(self, change: Json) -> None:
        """Make one change of state."""
        what = change["change"]
        if what == "completion.add":
            self.number += 1
            row = Row(**change["row"])
            stored = Stored(row, self.number, change.get("raw"))
            self.remove(row.id)
            self.added[row.id] = stored
            insort(self.order, (stored.key, row.id))
        elif what == "completion.metadata":
            self._set_metadata(change["id"], change["metadata"])
        elif what == "completion.content":
            stored = self.added[change["id"]]
            stored.row = Row(**change["row"])
        elif what == "completion.delete":
            self.remove(change["id"])
        elif what == "file.add":
            self.files[change["file"]["id"]] = File(**change["file"])
        elif what == "file.delete":
            self.files.pop(change["id"], None)
            (self.folder / change["id"]).unlink(missing_ok=True)
        elif what == "job.add":
            self.jobs[change["job"]["id"]] = Job.from_json(change["job"])
        elif what == "job.control":
            self.jobs[change["id"]].controls.append((change["at"], change["control"]))
        elif what == "job.delete":
            self.jobs.pop(change["id"], None)
        elif what == "deployment.put":
            self.deployments[change["deployment"]["name"]] = Deployment(**change["deployment"])
        elif what == "deployment.delete":
            self.deployments.pop(change["name"], None)
        elif what == "model.delete":
            self.gone_models.add(change["id"])
        elif what == "key.add":
            self.keys[change["key"]] = ROLES[change["role"]]
        elif what == "key.revoke":
            self.revoked.add(change["key"])
        elif what == "key.restore":
            self.revoked.clear()
        elif what == "metadata.merges":
            self.merges = change["merges"]
        elif what.startswith("eval."):
            self.evals.apply(change)
        elif what == "tokens.expire":
            self.tokens_valid_from = change["at"]
        else:
            raise ValueError(f"unknown change {what!r}")

    def remove(self, completion_id: str) -> None:
        stored = self.added.pop(completion_id, None)
        if stored is not None:
            del self.order[bisect_left(self.order, (stored.key, completion_id))]
            return
        index = self.story.index_of(completion_id)
        if index is not None and index not in self.deleted:
            self.deleted.add(index)
            for matches in self.caches.values():
                _discard(matches.indexes, index)

    def _set_metadata(self, completion_id: str, metadata: dict[str, str]) -> None:
        stored = self.added.get(completion_id)
        if stored is not None:
            stored.row.completion["metadata"] = metadata
            return
        index = self.story.index_of(completion_id)
        if index is None:
            return
        self.changed[index] = metadata
        for matches in self.caches.values():
            _discard(matches.indexes, index)
            if matches.accepts(index):
                insort(matches.indexes, index)

    # stored completions

    def find(self, completion_id: str) -> tuple[Key, Row, str | None] | None:
        """(its place, the row, raw text if planted)."""
        stored = self.added.get(completion_id)
        if stored is not None:
            return stored.key, stored.row, stored.raw
        index = self.story.index_of(completion_id)
        if index is None or index in self.deleted:
            return None
        row = self.story_row(index)
        return (row.created, 0, index), row, None

    def story_row(self, index: int) -> Row:
        row = self.story.row(index)
        if index not in self.changed:
            return row
        completion = {**row.completion, "metadata": self.changed[index]}
        return Row(row.id, row.created, row.deployment, completion, row.messages)

    def matches(self, model: str | None, metadata: dict[str, str]) -> Matches:
        """The story's rows that a filter keeps; worked out once, then kept up to date."""
        key = (model, tuple(sorted(metadata.items())))
        if key in self.caches:
            return self.caches[key]

        def accepts(index: int) -> bool:
            if index in self.deleted:
                return False
            if model is None and not metadata:
                return True
            sketch = self.story.sketch(index)
            if model is not None and model not in (sketch.model, sketch.deployment):
                return False
            if not metadata:
                return True
            held = self.changed.get(index)
            if held is None:
                held = (
                    sketch.metadata
                    if sketch.metadata.keys() >= metadata.keys()
                    else self.story.metadata(index)
                )
            return all(held.get(name) == value for name, value in metadata.items())

        if len(self.caches) > 32:
            self.caches.clear()
        self.caches[key] = Matches([i for i in range(self.story.rows) if accepts(i)], accepts)
        return self.caches[key]

    def page(
        self,
        model: str | None,
        metadata: dict[str, str],
        after: str | None,
        limit: int,
        *,
        ascending: bool,
        before: float | None = None,
    ) -> tuple[list[tuple[Row, str | None]], bool, int]:
        """(rows, whether there are more, how many match); ``before`` hides what was created later.

        Raises KeyError if ``after`` is not there any more.
        """
        indexes = self.matches(model, metadata).indexes
        order = self.order
        if model is not None or metadata:
            order = [(key, i) for key, i in order if _keeps(self.added[i].row, model, metadata)]
        place: Key | None = None
        if after is not None:
            found = self.find(after)
            if found is None:
                raise KeyError(after)
            place = found[0]
        rows: list[tuple[Row, str | None]] = []
        for row, raw in self._walk(indexes, order, place, ascending=ascending):
            if before is not None and row.created > before:
                continue
            if len(rows) == limit:
                return rows, True, len(indexes) + len(order)
            rows.append((row, raw))
        return rows, False, len(indexes) + len(order)

    def _walk(
        self, indexes: list[int], order: list[tuple[Key, str]], after: Key | None, *, ascending: bool
    ) -> Iterator[tuple[Row, str | None]]:
        """Merge the story's rows and the later ones, from a place on."""
        created = self.story.created
        step = 1 if ascending else -1
        low, high = (0, 0) if ascending else (len(indexes) - 1, len(order) - 1)
        if after is not None:
            if ascending:
                low = bisect_right(indexes, after, key=lambda i: (created(i), 0, i))
                high = bisect_right(order, after, key=lambda entry: entry[0])
            else:
                low = bisect_left(indexes, after, key=lambda i: (created(i), 0, i)) - 1
                high = bisect_left(order, after, key=lambda entry: entry[0]) - 1
        while True:
            old = 0 <= low < len(indexes)
            new = 0 <= high < len(order)
            if not old and not new:
                return
            if old and new:
                old = ((created(indexes[low]), 0, indexes[low]) < order[high][0]) == ascending
            if old:
                yield self.story_row(indexes[low]), None
                low += step
            else:
                stored = self.added[order[high][1]]
                yield stored.row, stored.raw
                high += step

    # models

    def tuned(self, now: float) -> dict[str, tuple[Job, Skill]]:
        """Fine-tuned models and checkpoints by name."""
        found: dict[str, tuple[Job, Skill]] = {}
        for (
            job
        ) in self.jobs.values():  # in the order in which they were made: a job may go on from an earlier one
            earlier = found.get(job.model)
            learnt = skill(job.model, job.lesson, earlier[1] if earlier else None)
            for checkpoint in job.checkpoints(now, self.personality):
                found[checkpoint["fine_tuned_model_checkpoint"]] = (job, learnt)
            if job.succeeded(now):
                found[job.fine_tuned_model(self.personality)] = (job, learnt)
        return {name: entry for name, entry in found.items() if name not in self.gone_models}

    def skill_of(self, model: str, now: float) -> Skill:
        if ".ft-" in model or model.startswith(("ft:", "ftchkpt")):
            entry = self.tuned(now).get(model)
            if entry is not None:
                return entry[1]
        return base_skill(model)


def _split_version(model: str) -> tuple[str, str]:
    head, _, version = model.partition("-20")
    return (head, f"20{version}") if version else (model, "1")


def _discard(indexes: list[int], index: int) -> None:
    position = bisect_left(indexes, index)
    if position < len(indexes) and indexes[position] == index:
        del indexes[position]


def _keeps(row: Row, model: str | None, metadata: dict[str, str]) -> bool:
    if model is not None and model not in (row.completion.get("model"), row.deployment):
        return False
    held: Any = row.completion.get("metadata") or {}
    return all(held.get(k) == v for k, v in metadata.items())
