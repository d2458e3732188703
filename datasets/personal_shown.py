"""What was found of personal data as a table to look at: each value in its context, read anew."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from completions.models import StoredCompletion
from completions.querysets import holding
from datasets.build import places
from datasets.build.lines import Refusal
from datasets.build.material import Material
from datasets.build.personal import LABELS, beside, label_of
from datasets.build.taking import Sources
from datasets.models import DatasetVersion
from datasets.personal_scan import Patterns, Tally, Value, found_in, key_of, most, scanner_for
from datasets.recipe import PERSONAL

MOST: Final = 6  # values of a kind
AROUND: Final = 32  # characters of context on each side
LONGEST: Final = 120


@dataclass(frozen=True, slots=True)
class Seen:
    """One value with what stands around it; `text` is None where its completions are gone."""

    text: str | None
    before: str
    after: str
    value: Value
    links: tuple[str, ...]

    @property
    def gap_before(self) -> str:
        return " " if self.before[-1:].isspace() else ""

    @property
    def gap_after(self) -> str:
        return " " if self.after[:1].isspace() else ""


@dataclass(frozen=True, slots=True)
class SeenKind:
    """One kind: its words, its placeholder, how much of it there is, and the values found most often."""

    code: str
    title: str
    placeholder: str
    times: int
    rows: int
    different: int
    whole: bool
    values: tuple[Seen, ...]

    @property
    def own(self) -> bool:
        return self.code not in PERSONAL

    @property
    def more(self) -> int:
        return self.different - len(self.values)


def table(version: DatasetVersion, patterns: Patterns, tally: Tally) -> list[SeenKind]:
    """Every kind and pattern, with what was found of it."""
    titles = {**PERSONAL, **{name: name for name, _ in patterns}}
    chosen = {kind: most(tally.kinds[kind].values, MOST) if kind in tally.kinds else [] for kind in titles}
    links = _links(version, (pk for some in chosen.values() for _, value in some for pk in value.examples))
    first = {pk for some in chosen.values() for _, value in some for pk in value.examples[:1]}
    texts = _texts(version, patterns, sorted(first & set(links)))
    made = []
    for kind, title in titles.items():
        found = tally.kinds.get(kind)
        seen = []
        for key, value in chosen[kind]:
            before, text, after = texts.get(key, ("", None, ""))
            addresses = tuple(links[pk] for pk in value.examples if pk in links)
            seen.append(Seen(text, before, after, value, addresses))
        made.append(
            SeenKind(
                kind,
                title,
                f"[{LABELS.get(kind) or label_of(kind)}_1]",
                found.times if found else 0,
                found.rows if found else 0,
                len(found.values) if found else 0,
                found.whole if found else True,
                tuple(seen),
            )
        )
    return made


def _links(version: DatasetVersion, ids: Iterable[int]) -> dict[int, str]:
    """Where the completions are that are still here."""
    found = StoredCompletion.objects.filter(
        holding(sorted(set(ids))), connection__in=version.connections.all()
    )
    return {row.pk: row.get_absolute_url() for row in found.select_related("connection")}


def _texts(
    version: DatasetVersion, patterns: Patterns, ids: list[int]
) -> Mapping[str, tuple[str, str | None, str]]:
    """What stands for each key, with its context, from these completions."""
    scanner = scanner_for(patterns)
    made: dict[str, tuple[str, str | None, str]] = {}
    for taken in Sources.of(version).take(ids):
        if isinstance(taken.material, Refusal):
            continue
        hits = found_in(scanner, taken) or []
        here = _by_place(taken.material, {hit.where for hit in hits})
        for hit in hits:
            text = here.get(hit.where, "")
            before = text[max(0, hit.start - AROUND) : hit.start]
            after = text[hit.end : hit.end + AROUND]
            made.setdefault(key_of(hit), (before, hit.text[:LONGEST], after))
    return made


def _by_place(material: Material, wanted: set[str]) -> Mapping[str, str]:
    here: dict[str, str] = {}

    def look(where: str, text: str, key: str) -> str:
        if where in wanted:
            here[where] = text
        return text

    places.changed(material.conversation, look)
    beside(material, look)
    return here
