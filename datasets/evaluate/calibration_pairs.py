"""What people and a grader said of the same stored answers."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from completions.models import Label, ReviewState
from completions.review import offered_by
from datasets.evaluate.calibration import Pair
from datasets.evaluate.targets import STORED, read
from datasets.models import Example, Grader, Result, Run

RATING, STATE, LABEL = "rating", "state", "label-"
_SAID: Mapping[str, Mapping[str, bool]] = {
    RATING: {ReviewState.Rating.GOOD: True, ReviewState.Rating.BAD: False},
    STATE: {ReviewState.State.APPROVED: True, ReviewState.State.REJECTED: False},
}


@dataclass(frozen=True)
class Source:
    """Where the judgement of people comes from. `options` are the answers of a label."""

    key: str
    title: str
    n: int
    options: tuple[str, ...] = ()

    @property
    def good_by_itself(self) -> bool:
        """Whether it says by itself what is good."""
        return self.key in _SAID


def has_stored(run: Run) -> bool:
    """Whether the run measured stored answers, which is what people review."""
    return any(target.key == STORED for target in read(run.targets))


def sources_of(run: Run, user: Any) -> list[Source]:
    """What people said of the run's items, and of how many; what nobody said is left out."""
    states = _states(run, user)
    made = [
        Source(RATING, "Rating (good or bad)", states.exclude(rating="").count()),
        Source(STATE, "Decision (approved or rejected)", states.filter(state__in=_SAID[STATE]).count()),
    ]
    counts: Counter[str] = Counter()
    given: dict[str, set[str]] = {}
    for labels in states.exclude(labels={}).values_list("labels", flat=True).iterator(chunk_size=2000):
        for key, values in labels.items():
            counts[key] += 1
            given.setdefault(key, set()).update(str(value) for value in values)
    wanted = [int(key) for key in counts if key.isdecimal()]
    for label in Label.objects.readable_by(user).filter(pk__in=wanted).order_by("position", "pk"):
        if label.kind == Label.Kind.TEXT:
            continue
        title = f"Label “{label.name}”"
        key = str(label.pk)
        offered: list[str] = offered_by(label) or []
        options = (*offered, *sorted(given[key] - set(offered)))
        made.append(Source(f"{LABEL}{label.pk}", title, counts[key], options))
    return [source for source in made if source.n]


def disputed_in(run: Run, user: Any) -> int:
    """On how many of the run's answers people said different things last."""
    return int(_states(run, user).filter(disputed=True).count())


def pairs_of(run: Run, grader: Grader, source: Source, good: Collection[str], user: Any) -> list[Pair]:
    """What the grader and people both judged, in the order of the items. `good` are answers of a label."""
    results = Result.objects.filter(run=run, grader=grader, target=STORED, passed__isnull=False)
    rows = results.filter(example__completion__isnull=False).order_by("example__line")
    found = rows.values_list("example__line", "example__completion", "passed", "score")
    said = dict(_said(run, source, frozenset(good), user))
    return [
        Pair(line, passed, said[completion], score)
        for line, completion, passed, score in found.iterator(chunk_size=2000)
        if completion in said
    ]


def _said(run: Run, source: Source, good: frozenset[str], user: Any) -> Iterable[tuple[int, bool]]:
    """What people say of each completion; nothing where they have not decided."""
    states = _states(run, user)
    if source.good_by_itself:
        meaning = _SAID[source.key]
        for pk, value in states.exclude(**{source.key: ""}).values_list("pk", source.key):
            if value in meaning:
                yield pk, meaning[value]
        return
    label = source.key.removeprefix(LABEL)
    for pk, labels in states.exclude(labels={}).values_list("pk", "labels").iterator(chunk_size=2000):
        values = labels.get(label)
        if values:
            yield pk, any(str(value) in good for value in values)


def _states(run: Run, user: Any) -> Any:
    items = Example.objects.filter(version=run.evaluation.version_id, line__isnull=False)
    return ReviewState.objects.readable_by(user).filter(
        completion__in=items.filter(completion__isnull=False).values("completion")
    )
