"""What is proposed while a filter is typed: fields, keys, names, times, and values with their counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from completions import observed
from completions.filters import FIELDS, Field, suggest
from completions.filters.language import write_name, write_value
from completions.models import Label, Term
from completions.observed import Observed
from portal.models import Connection

MOST = 12
MOST_LABELS = 200
LONGEST = 8_000  # what is longer is not looked into
_SPANS = (("24h", "the last 24 hours"), ("7d", "the last 7 days"), ("30d", "the last 30 days"))


@dataclass(frozen=True, slots=True)
class Proposal:
    """Text to put between two places of what is typed. `done` if it completes a condition."""

    insert: str
    title: str
    hint: str = ""
    count: str = ""
    done: bool = False
    plain: bool = False  # written as it stands, never in quotes


@dataclass(frozen=True, slots=True)
class Proposals:
    """Proposals for the characters from `start` to `end`."""

    start: int = 0
    end: int = 0
    all: tuple[Proposal, ...] = ()


def proposals(
    readable: Sequence[Connection], q: str, caret: int, *, now: datetime | None = None
) -> Proposals:
    """What may stand where the caret is."""
    if len(q) > LONGEST:
        return Proposals()
    at = suggest.at(q, caret)
    on = [each.pk for each in readable]
    if at.kind == "key":
        found = [
            Proposal(suggest.key(key), key or "(empty key)", count=f"{n:,}")
            for key, n in _known_keys(on, at.typed, MOST, FIELDS[at.field])
        ]
    elif at.kind == "value":
        found = [
            replace(each, insert=each.insert if each.plain else suggest.value(each.insert))
            for each in _values(readable, FIELDS[at.field], at.key, at.typed, now or datetime.now(UTC))
        ]
        if not at.typed and not found:
            found = _forms(at.field)
        elif not at.typed and "present" in FIELDS[at.field].lookups:
            found = [*found[: MOST - 1], Proposal("*", "*", "any value", done=True)]
    else:
        found = [
            Proposal(each.insert.strip(), each.insert.strip(), _hint(each), done=each.insert.endswith(" "))
            for each in suggest.fields(at.typed)
        ]
        # What is named most probably comes first: a field that begins so, or else what begins so itself.
        named = _named(on, at.typed)
        found = found + named if found and found[0].insert.startswith(at.typed) else named + found
    return Proposals(at.start, at.end, tuple(found[:MOST]))


def _hint(found: suggest.Suggestion) -> str:
    if not found.insert.endswith((":", ".")):
        return found.title
    plain = found.title == found.insert[:-1].casefold()
    return f"such as {found.hint}" if plain else f"{found.title}, such as {found.hint}"


def _forms(name: str) -> list[Proposal]:
    """How a value may be written where none can be looked up."""
    return [Proposal(each.insert, each.insert, each.title) for each in suggest.examples(name)]


def values(
    readable: Sequence[Connection], name: str, typed: str, *, now: datetime | None = None
) -> Proposals:
    """Values of one field, as they are: `name` is a field as written, `model` or `meta.category`.

    `meta.` alone asks for keys, `label.` for labels; so does no name at all, for keys.
    """
    if len(typed) > LONGEST:
        return Proposals()
    word, _, key = (name or "meta.").partition(".")
    field = FIELDS.get(word)
    if field is None:
        return Proposals()
    if field.keyed and not key:
        on = [each.pk for each in readable]
        return Proposals(0, len(typed), tuple(_plain_keys(on, typed, field)))
    found = _values(readable, field, key, typed, now or datetime.now(UTC))
    return Proposals(0, len(typed), tuple(found[:MOST]))


def _values(
    readable: Sequence[Connection], field: Field, key: str, typed: str, now: datetime
) -> list[Proposal]:
    on = [each.pk for each in readable]
    if field.how == "marks" or field.choices:
        named = suggest.names(field.name, typed)
        return [Proposal(each.insert.strip(), each.insert.strip(), each.title, done=True) for each in named]
    if field.how == "terms":
        kind = Term.Kind(field.column)
        found = observed.values(on, kind, key, typed, MOST)
        if kind == Term.Kind.LABEL:
            found = _with(found, _answers(on, key), typed)
        return [Proposal(text, text or "(empty)", count=f"{n:,}", done=True) for text, n in found]
    if field.how == "connection":
        return [Proposal(slug, slug, name, done=True) for slug, name in _near(_slugs(readable), typed)]
    if field.how == "moments":
        return [
            Proposal(text, text, told, done=True, plain=True) for text, told in _near(_moments(now), typed)
        ]
    if field.how == "numbers" and typed.isdecimal() and typed.isascii() and len(typed) < 16:
        forms = ((f">={typed}", "at least"), (f"<={typed}", "at most"), (typed, "exactly"))
        return [Proposal(text, text, told, done=True, plain=True) for text, told in forms]
    return []


def _keys(on: Iterable[int], typed: str, limit: int, field: Field) -> list[Proposal]:
    return [
        Proposal(f"{write_name(field.name, key)}:", write_name(field.name, key), count=f"{n:,}")
        for key, n in _known_keys(on, typed, limit, field)
    ]


def _plain_keys(on: Iterable[int], typed: str, field: Field) -> list[Proposal]:
    return [
        Proposal(key, key or "(empty key)", count=f"{n:,}", done=True)
        for key, n in _known_keys(on, typed, MOST, field)
    ]


def _known_keys(on: Iterable[int], typed: str, limit: int, field: Field) -> list[Observed]:
    """The keys that completions have; and labels that nobody has answered yet."""
    found = observed.keys(on, typed, limit, field.column)
    if field.column == Term.Kind.LABEL and len(found) < limit:
        asked = Label.objects.filter(connection__in=on, retired=None)
        found = _with(found, asked.values_list("name", flat=True)[:MOST_LABELS], typed)
    return found[:limit]


def _answers(on: Iterable[int], name: str) -> list[str]:
    """The answers that a label offers."""
    if "\x00" in name:  # nothing that is stored holds it, and PostgreSQL cannot be asked about it
        return []
    labels = Label.objects.filter(connection__in=on, name=name, retired=None)[:MOST_LABELS]
    found: list[str] = []
    for label in labels:
        if label.kind == Label.Kind.SCORE:
            low, high = label.options
            found += map(str, range(low, min(high, low + MOST) + 1))
        else:
            found += label.options
    return found


def _with(found: list[Observed], others: Iterable[str], typed: str) -> list[Observed]:
    """Those with others that hold what is typed and that no completion has."""
    known = {each.text for each in found}
    wanted = typed.casefold()
    some = [text for text in dict.fromkeys(others) if text not in known and wanted in text.casefold()]
    return [*found, *(Observed(text, 0) for text in some)]


def _named(on: Sequence[int], typed: str) -> list[Proposal]:
    """For a word without a field: models, keys and labels of that name."""
    if len(typed) < 2:
        return []
    models = [
        Proposal(f"model:{write_value(text)}", f"model:{write_value(text)}", count=f"{n:,}", done=True)
        for text, n in observed.values(on, Term.Kind.MODEL, "", typed, 4)
    ]
    return [*models, *_keys(on, typed, 4, FIELDS["meta"]), *_keys(on, typed, 4, FIELDS["label"])]


def _slugs(readable: Iterable[Connection]) -> list[tuple[str, str]]:
    return [(each.slug, each.name) for each in readable]


def _near(pairs: Iterable[tuple[str, str]], typed: str) -> list[tuple[str, str]]:
    """Those that begin with what is typed, then those that hold it in their name or words."""
    wanted = typed.casefold()
    held = [pair for pair in pairs if wanted in pair[0].casefold() or wanted in pair[1].casefold()]
    return sorted(held, key=lambda pair: not pair[0].casefold().startswith(wanted))[:MOST]


def _moments(now: datetime) -> list[tuple[str, str]]:
    today = now.date()
    return [
        *_SPANS,
        (f"{today}", "today"),
        (f"{today - timedelta(days=1)}", "yesterday"),
        (f"{today:%Y-%m}", "this month"),
        (f">={today - timedelta(days=7)}", "since a week ago"),
        (f"{today - timedelta(days=7)}..{today}", "from … to …"),
    ]
