"""The filter: written and read back the same, never wider than meant, equal to a filter in plain Python."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from completions import readings
from completions.filters import FIELDS, Filter
from completions.filters.fields import FLAGS, MARKS, STATES
from completions.filters.language import quote
from completions.listing import Key, Listing
from completions.models import StoredCompletion
from completions.search import words
from portal.models import Connection
from tests import factories
from tests.factories import make_completion

# What a filter is made of, and what it is not.

EVERYTHING = (
    'model:gpt-4o -meta.category:test meta."odd key":"a b" connection:sandbox created:7d'
    " created:2026-11-01..2026-11-10 created:>2026-11-01 has:text_cut is:gone tokens:>500 finish:stop"
    ' "exact phrase" word prefix*'
)


def test_a_canonical_filter_is_written_as_it_was_read() -> None:
    assert Filter.parse(EVERYTHING).q == EVERYTHING
    assert not Filter.parse(EVERYTHING).broken


@pytest.mark.parametrize(
    ("q", "told"),
    [
        ("", "all stored completions"),
        ("model:a,b", "model is a or b"),
        ("-meta.user:x", "user is not x"),
        ("created:24h", "created in the last 24 hours"),
        ("created:..2026-11-10", "created until 2026-11-10"),
        ("tokens:100.. has:tools", "tokens at least 100 and has tool calls"),
        ('-"not this" is:pending', "text without “not this” and is waiting for its messages"),
        ("model:a,b,c,d", "model is one of a, b, c, d"),
    ],
)
def test_a_filter_is_told_in_words(q: str, told: str) -> None:
    assert Filter.parse(q).describe() == told


@pytest.mark.parametrize(
    ("q", "instead"),
    [
        ("modle:gpt-4o", "model:gpt-4o"),
        ('-conection:"a b"', '-connection:"a b"'),
        ("has:imge", "has:image"),
        ("-is:gon", "-is:gone"),
        ("https://example.org/x", '"https://example.org/x"'),
        ("a OR b", '"or"'),
        ("model:", ""),
        ("model:a,", '"model:a,"'),
        ("meta:x", ""),
        ("model.x:y", '"model.x:y"'),
        ("-metadata.user:x", "-meta.user:x"),
        ("tokens:1k", ""),
        ("tokens:9..1", ""),
        ("tokens:99999999999999999", ""),
        ("tokens:1,2", ""),
        ("created:2026-02-30", ""),
        ("created:yesterday", ""),
        ("created:0000", ""),
        ("created:2026-11-10..2026-11-01", ""),
        ("meta.x:a*", ""),
        ("model:>5", ""),
        ("&&", ""),
        ('prompt:"…"', ""),
        ("-", ""),
    ],
)
def test_what_cannot_be_read_stays_visible_and_matches_nothing(q: str, instead: str) -> None:
    wanted = Filter.parse(f"{q} model:gpt-4o")
    assert len(wanted.broken) == 1
    assert wanted.broken[0].problem
    assert wanted.broken[0].q in wanted.q
    if instead and instead != q:
        assert wanted.broken[0].instead == instead
        assert not Filter.parse(instead).broken


@pytest.mark.django_db
def test_a_broken_filter_has_no_rows() -> None:
    make_completion()
    rows = StoredCompletion.objects.all()
    assert Filter.parse("").apply(rows).count() == 1
    assert Filter.parse("-modle:x").apply(rows).count() == 0
    assert Filter.parse("x" * 5000).apply(rows).count() == 0


def test_an_open_quote_takes_what_follows() -> None:
    (broken,) = Filter.parse('model:a "open quote model:b').broken
    assert broken.instead == '"open quote model:b"'


def test_values_of_a_field_with_one_value_per_row_are_joined() -> None:
    assert Filter.parse("model:a tokens:>1 model:b model:a tokens:<9").q == "model:a,b tokens:>1 tokens:<9"
    assert Filter.parse("-model:a -model:b").q == "-model:a,b"
    assert Filter.parse("has:image has:tools").q == "has:image has:tools"


def test_a_filter_is_changed_by_making_another() -> None:
    first = Filter.parse('model:a meta."odd key":x word')
    name = 'meta."odd key"'
    assert first.toggle("model", "b").q == 'model:a,b meta."odd key":x word'
    assert first.toggle("model", "a").q == 'meta."odd key":x word'
    assert first.only(name, "y").q == 'model:a meta."odd key":y word'
    assert first.exclude(name, "x").q == 'model:a -meta."odd key":x word'
    assert first.exclude(name, "x").toggle(name, "x").q == first.q
    assert first.without(name).q == "model:a word"
    assert first.without_part(first.clauses[0]).q == f"{name}:x word"
    assert first.with_text('say "hi"').q == f'{first.q} "say \\"hi\\""'
    assert first.values(name) == ("x",)
    assert first.q == 'model:a meta."odd key":x word'


def test_a_key_called_like_a_field_is_still_metadata() -> None:
    (clause,) = Filter.parse("meta.model:x").clauses
    assert (clause.field.name, clause.key, clause.name) == ("meta", "model", "meta.model")


def test_every_field_has_an_example_that_can_be_read() -> None:
    for field in FIELDS.values():
        assert Filter.parse(field.example).clauses[0].field is field


def test_every_field_and_every_name_of_has_is_in_the_documentation() -> None:
    told = (Path(__file__).parents[2] / "docs" / "filters.md").read_text()
    for field in FIELDS.values():
        assert f"| `{field.name}` | `{field.example}` |" in told
    for name in (*FLAGS, *MARKS, *STATES):
        assert f"`{name}`" in told


def test_every_flag_that_is_set_can_be_asked_for() -> None:
    source = Path(readings.__file__).read_text()
    assert set(re.findall(r'flags\.add\("(\w+)"\)', source)) <= set(FLAGS)


SYNTAX = st.text(
    st.one_of(st.sampled_from('ab:,"\\*-.<>= \n7d'), st.characters(exclude_categories=[])), max_size=30
)
FRAGMENTS = st.lists(
    st.one_of(
        SYNTAX,
        st.sampled_from(
            [
                "model:",
                "-meta.",
                "meta.",
                '"',
                "created:",
                "7d",
                "tokens:>",
                ":",
                " ",
                "\\",
                "has:",
                "*",
                "-",
                ",",
                "x",
            ]
        ),
    ),
    max_size=10,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(FRAGMENTS)
def test_whatever_is_typed_is_read_back_the_same(q: str) -> None:
    wanted = Filter.parse(q)
    again = Filter.parse(wanted.q)
    assert again == wanted
    assert again.q == wanted.q
    assert bool(wanted.describe())
    if q.strip():
        assert wanted, "nothing that is typed is dropped"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12), st.lists(st.text(max_size=12), min_size=1, max_size=3), st.booleans())
def test_any_key_and_any_value_can_be_written(key: str, values: list[str], negated: bool) -> None:
    q = "-" * negated + f"meta.{quote(key)}:" + ",".join(quote(value) for value in values)
    (clause,) = Filter.parse(q).clauses
    assert clause.key == readings.clean(key)
    assert clause.values == tuple(dict.fromkeys(readings.clean(value) for value in values))
    assert clause.negated is negated
    assert Filter.parse(Filter.parse(q).q) == Filter.parse(q)


# The reference: the same conditions decided in plain Python, row by row.

KEYS = (
    "2024",
    "a__b",
    "x__regex",
    'q"uote',
    "%s",
    "",
    "🦜",
    "k" * 64,
    "model",
    "back\\slash",
    "$[0]",
    "user' OR 1",
)
VALUES = ("", "x", "X", "test", "a b", "%", "_", "100%s", 'say "x"', "é", "e\u0301", "🦜🦜", "null", "v" * 90)
TEXTS = ("the key", "Key rotation", "naïve test", "x", "", "検索する", "the THE the", "it's 100%")
FINISH = ("stop", "length", "tool_calls")
MODELS = ("gpt-4o", "gpt-4o-mini", "o'model", "")
NOW = 1_790_000_000


@dataclass(frozen=True)
class Row:
    """What the reference knows of a completion."""

    id: int
    connection: str
    created: int
    model: str
    metadata: dict[str, str]
    finish: str
    tokens: int | None
    flags: tuple[str, ...]
    gone: bool
    prompt: str
    answer: str


Holds = Callable[[Row], bool]


@st.composite
def conditions(draw: st.DrawFn) -> tuple[str, Holds]:
    """A condition as written, and the same condition as a function."""
    q, holds = draw(
        st.one_of(
            _any_of("model", MODELS, lambda row: row.model),
            _any_of("connection", ("one", "two", "nowhere"), lambda row: row.connection),
            _any_of("finish", FINISH, lambda row: row.finish),
            st.sampled_from(KEYS).flatmap(
                lambda key: _any_of(f"meta.{quote(key)}", VALUES, lambda row: row.metadata.get(key))
            ),
            _numbers(),
            _moments(),
            st.sampled_from(["text_cut", "nul"]).map(
                lambda flag: (f"has:{flag}", lambda row: flag in row.flags)
            ),
            st.just(("is:gone", lambda row: row.gone)),
            _words(),
        )
    )
    if draw(st.booleans()):
        return f"-{q}", lambda row: not holds(row)
    return q, holds


def _any_of(name: str, values: tuple[str, ...], of: Callable[[Row], str | None]) -> st.SearchStrategy[Any]:
    chosen = st.lists(st.sampled_from(values), min_size=1, max_size=3)
    return chosen.map(lambda some: (f"{name}:" + ",".join(map(quote, some)), lambda row: of(row) in some))


def _numbers() -> st.SearchStrategy[Any]:
    def build(sign: str, n: int) -> tuple[str, Holds]:
        compare: dict[str, Callable[[int], bool]] = {
            "": lambda t: t == n,
            ">": lambda t: t > n,
            ">=": lambda t: t >= n,
            "<": lambda t: t < n,
            "<=": lambda t: t <= n,
        }
        return f"tokens:{sign}{n}", lambda row: row.tokens is not None and compare[sign](row.tokens)

    return st.builds(build, st.sampled_from(["", ">", ">=", "<", "<="]), st.integers(0, 4))


def _moments() -> st.SearchStrategy[Any]:
    def day(n: int) -> str:
        return datetime.fromtimestamp(NOW - n * 86_400, UTC).strftime("%Y-%m-%d")

    def spans(n: int) -> st.SearchStrategy[Any]:
        start = NOW - n * 86_400
        start -= start % 86_400
        return st.sampled_from(
            [
                (f"created:{n}d", lambda row: row.created >= NOW - n * 86_400),
                (f"created:{day(n)}", lambda row: start <= row.created < start + 86_400),
                (f"created:>{day(n)}", lambda row: row.created >= start + 86_400),
                (f"created:<{day(n)}", lambda row: row.created < start),
                (f"created:{day(n)}..", lambda row: row.created >= start),
                (f"created:..{day(n)}", lambda row: row.created < start + 86_400),
            ]
        )

    return st.integers(0, 4).flatmap(spans)


def _words() -> st.SearchStrategy[Any]:
    def build(text: str, begins: bool, where: str) -> tuple[str, Holds]:
        asked = words(text)

        def within(other: str) -> bool:
            there = words(other)
            for at in range(len(there) - len(asked) + 1):
                part = there[at : at + len(asked)]
                ends = part[-1].startswith(asked[-1]) if begins else part[-1] == asked[-1]
                if part[:-1] == asked[:-1] and ends:
                    return True
            return False

        name = f"{where}:" * bool(where)
        searched = {"": ("prompt", "answer")}.get(where, (where,))
        return f"{name}{quote(text)}" + "*" * begins, lambda row: any(
            within(getattr(row, part)) for part in searched
        )

    texts = [text for text in TEXTS if text] + ["k", "te", "検"]
    return st.builds(build, st.sampled_from(texts), st.booleans(), st.sampled_from(["", "prompt", "answer"]))


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "where": st.integers(0, 1),
            "age": st.integers(0, 4 * 86_400),
            "model": st.sampled_from(MODELS),
            "metadata": st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=4),
            "finish": st.sampled_from(FINISH),
            "tokens": st.one_of(st.none(), st.integers(0, 4)),
            "flags": st.lists(st.sampled_from(["text_cut", "nul"]), unique=True),
            "gone": st.booleans(),
            "prompt": st.sampled_from(TEXTS),
            "answer": st.sampled_from(TEXTS),
        }
    ),
    min_size=1,
    max_size=9,
)


def _store(spec: dict[str, Any], connections: list[Connection]) -> Row:
    where = connections[spec["where"]]
    made = make_completion(
        where,
        created=NOW - spec["age"] // 3600 * 3600,  # several in the same second
        prompt=spec["prompt"],
        answer=spec["answer"],
        model=spec["model"],
        metadata=spec["metadata"],
        finish_reason=spec["finish"],
        total_tokens=spec["tokens"],
        flags=spec["flags"],
        gone_at=timezone.now() if spec["gone"] else None,
    )
    return Row(
        made.pk, where.slug, made.created, made.model, made.metadata, made.finish_reason, made.total_tokens,
        tuple(made.flags), spec["gone"], spec["prompt"], spec["answer"],
    )  # fmt: skip


@pytest.mark.engines
@pytest.mark.django_db
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(ROWS, st.lists(conditions(), max_size=4))
def test_the_database_agrees_with_a_filter_in_plain_python(
    specs: list[dict[str, Any]], asked: list[tuple[str, Holds]]
) -> None:
    from django.db import transaction

    with transaction.atomic():
        connections = [factories.connection(name=slug, slug=slug) for slug in ("one", "two")]
        person = factories.user(role="reader")
        rows = [_store(spec, connections) for spec in specs]
        alone = dict.fromkeys(q.lstrip("-").split(":")[0] for q, _ in asked if _merges(q))
        for name in alone:  # repeating such a field means “or”, which the reference does not know
            same = [part for part in asked if part[0].lstrip("-").startswith(f"{name}:")]
            asked = [part for part in asked if part not in same[1:]]
        wanted = Filter.parse(" ".join(q for q, _ in asked))
        assert not wanted.broken, wanted.q
        expected = [row for row in rows if all(holds(row) for _, holds in asked)]
        expected.sort(key=lambda row: (row.created, row.id), reverse=True)
        ids = [row.id for row in expected]
        assert set(wanted.apply(StoredCompletion.objects.all(), now=NOW).values_list("pk", flat=True)) == set(
            ids
        )
        listing = Listing(person, wanted, now=NOW)
        assert list(listing.ids()) == ids
        assert [key.id for key in listing.page(100)] == ids
        assert (listing.count().n, listing.count().exact) == (len(ids), True)
        _walk(listing, ids)
        transaction.set_rollback(True)


def _merges(q: str) -> bool:
    name = q.lstrip("-").split(":")[0]
    return name.startswith("meta.") or name in ("model", "connection", "finish")


def _walk(listing: Listing, ids: list[int]) -> None:
    """Page by page to the end, and back to the beginning."""
    seen: list[int] = []
    last: Key | None = None
    while page := listing.page(2, after=last):
        seen += [key.id for key in page]
        last = page[-1]
    assert seen == ids
    if last is not None:
        back: list[int] = [last.id]
        first = last
        while page := listing.page(2, before=first):
            back = [*(key.id for key in page), *back]
            first = page[0]
        assert back == ids


@pytest.mark.engines
@pytest.mark.django_db
def test_what_the_eye_takes_for_equal_is_not_the_same_key() -> None:
    one = make_completion(metadata={"a__b": "x", "user": "É"})
    make_completion(metadata={"a": "x", "User": "É", "b": "x"})
    rows = StoredCompletion.objects.all()
    assert list(Filter.parse("meta.a__b:x").apply(rows)) == [one]
    assert list(Filter.parse("meta.user:É").apply(rows)) == [one]
    assert list(Filter.parse("meta.user:E").apply(rows)) == []


def test_filters_are_values() -> None:
    wanted = Filter.parse("model:a")
    assert wanted == Filter.parse("model:a")
    assert hash(wanted) == hash(Filter.parse("model:a"))
    assert replace(wanted, clauses=()) == Filter()
