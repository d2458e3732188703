"""Rows, order, counts, facets, time, pages and selections agree with a filter in plain Python."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings

from completions import columns, matching, reviewing, selection
from completions.facets import Facets
from completions.filters import Clause, Filter
from completions.listing import NEWEST, Key, Listing, Sort
from completions.models import Belonging, Label, ReviewState, StoredCompletion
from completions.reviewing import Said
from completions.scanning import Spent
from completions.terms import Change, Dictionary
from completions.timeline import timeline
from portal.models import User
from tests import factories
from tests.completions.reference import (
    DAY,
    GROUPS,
    LABELS,
    NOW,
    REVIEWERS,
    SEVERAL,
    SLUGS,
    Asked,
    Row,
    Word,
    filters,
    random_columns,
    random_words,
    row_of,
    said_of,
)
from tests.factories import make_completion

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True)]
EXAMPLES = 525 if database.vendor == "sqlite" else 130  # for each of four mirrors


@dataclass
class World:
    """A mirror with the same rows as plain data."""

    reader: User
    rows: list[Row]

    @cached_property
    def _all(self) -> Listing:
        return Listing(self.reader, Filter(), now=NOW)

    def listing(self, wanted: Filter, sort: Sort = NEWEST) -> Listing:
        """What the reader finds; who may read what is asked once, as it stays the same."""
        made = self._all.with_filter(wanted)
        made.sort, made.spent = sort, Spent()
        return made


@pytest.fixture(params=range(4))
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """Three connections, one of which the reader may not see; packed, changed and added to on the way."""
    random = Random(request.param)
    # Words are asked about in every way that large mirrors need, for as long as it takes.
    monkeypatch.setattr("completions.lanes.FIRST", (3, 7))
    monkeypatch.setattr("completions.listing.FIRST", (3, 7))
    monkeypatch.setattr("completions.lanes.GROUPS", (11, 20))
    monkeypatch.setattr("completions.search.index.DIRECTLY", 8)
    monkeypatch.setattr("completions.search.index.RARE", (1, 3, 10, 30)[request.param])
    monkeypatch.setattr("completions.search.index.APART", (0, 1, 3, 256)[request.param])
    for name in ("COUNTING", "DRAWING"):
        monkeypatch.setattr(f"completions.listing.{name}", 600)
    connections = [factories.connection(name=slug, slug=slug) for slug in SLUGS]
    reader = factories.user(role="reader")
    hidden = factories.connection(name="hidden", slug="hidden")
    rows: dict[int, Row] = {}

    authors = {name: factories.user(name, "reviewer") for name in REVIEWERS}
    labels = {connection.slug: vocabulary(connection) for connection in connections}

    def review_some(count: int) -> None:
        for pk in random.choices(sorted(rows), k=count):
            author = random.choice(REVIEWERS)
            some = random_words(random)
            rows[pk] = review(rows[pk], some, authors[author], labels[rows[pk].connection], random)
            if random.random() < 0.4:
                rows[pk] = group(rows[pk], random)

    def store_some(count: int) -> None:
        for _ in range(count):
            where = random.choice(connections)
            made_of = random_columns(random)
            made = make_completion(where, **made_of)
            rows[made.pk] = row_of(made, where.slug, made_of)

    store_some(30)
    review_some(30)
    for connection in connections[: random.randrange(4)]:
        columns.pack(connection.pk)
    Listing(reader, Filter()).count()  # from here on only what changes is read
    store_some(20)
    for pk in random.sample(sorted(rows), 8):
        rows[pk] = mark_gone(rows[pk])
    review_some(30)
    store_some(10)
    review_some(10)
    make_completion(hidden, **random_columns(random))
    only_three = {each.slug for each in connections}
    reader.grants.all().delete()
    for connection in connections:
        factories.grant(reader, "reader", connection)
    assert {row.connection for row in rows.values()} <= only_three
    return World(reader, list(rows.values()))


def vocabulary(connection: Any) -> dict[str, Label]:
    """The labels of a connection, by name."""
    kinds = {"quality": Label.Kind.SCORE, SEVERAL: Label.Kind.MULTIPLE}
    return {
        name: Label.objects.create(
            connection=connection,
            name=name,
            kind=kinds.get(name, Label.Kind.CHOICE),
            options=list(options),
        )
        for name, options in LABELS.items()
    }


def review(row: Row, some: list[Word], author: User, labels: dict[str, Label], random: Random) -> Row:
    """As a person does, at a moment of these days."""
    moment = NOW - random.randrange(5 * DAY)
    said = [
        reviewing.checked(
            Said(
                word.kind,
                {"text": word.value, "tool_calls": None}
                if word.kind == "correction" and word.value is not None
                else word.value,
                labels.get(word.label),
            )
        )
        for word in some
    ]
    expected = said_of(row, some, author.username, moment)
    with transaction.atomic():
        connection = StoredCompletion.objects.get(pk=row.id).connection_id
        written = reviewing.write(connection, {row.id: said}, author)
        if written.changed:
            ReviewState.objects.filter(pk=row.id).update(reviewed=moment)
    assert bool(written.changed) is (expected != row)
    return expected


def group(row: Row, random: Random) -> Row:
    """As whoever finds duplicates does."""
    groups = {kind: random.choice(["", *GROUPS]) for kind in ("same", "near", "alike", "thread")}
    found = StoredCompletion.objects.filter(pk=row.id)
    with transaction.atomic():
        connection = found.get().connection_id
        change, _ = columns.next_change(connection, 1)
        before = Belonging.objects.filter(pk=row.id).values_list("terms", flat=True).first()
        names = frozenset((kind, "", key) for kind, key in groups.items() if key)
        (terms,) = Dictionary(connection).apply([Change(names, bytes(before or b""))])
        Belonging.objects.update_or_create(
            pk=row.id, defaults={**groups, "connection_id": connection, "terms": terms}
        )
        found.update(change=change)
    return replace(row, groups=groups)


def mark_gone(row: Row) -> Row:
    """As a sweep does."""
    found = StoredCompletion.objects.filter(pk=row.id)
    change, _ = columns.next_change(found.get().connection_id, 1)
    found.update(gone_at=timezone.now(), change=change)
    return replace(row, gone=True)


def check(world: World, asked: Asked, random: Random) -> None:
    """One filter in every way that a person can look at it."""
    q, holds = asked
    wanted = Filter.parse(q)
    assert not wanted.broken, (q, wanted.broken)
    assert Filter.parse(wanted.q) == wanted
    expected = sorted(filter(holds, world.rows), key=lambda row: (row.created, row.id), reverse=True)
    ids = [row.id for row in expected]
    listing = world.listing(wanted)
    assert [key.id for key in listing.page(100)] == ids, q
    assert listing.count().n == len(ids), q
    look = random.choice([check_pages, check_orders, check_facets, check_timeline, check_selection])
    look(world, wanted, expected, random)


def check_pages(world: World, wanted: Filter, expected: list[Row], random: Random) -> None:
    """Every page from either side of any row, also of one that does not match."""
    listing, limit = world.listing(wanted), random.randrange(1, 9)
    place = random.choice(world.rows)
    cursor = Key(place.created, place.id)
    after = [row.id for row in expected if (row.created, row.id) < cursor[:2]]
    before = [row.id for row in expected if (row.created, row.id) > cursor[:2]]
    assert [key.id for key in listing.page(limit, after=cursor)] == after[:limit]
    assert [key.id for key in listing.page(limit, before=cursor)] == before[-limit:]
    assert set(listing.queryset().values_list("pk", flat=True)) == {row.id for row in expected}


def check_orders(world: World, wanted: Filter, expected: list[Row], random: Random) -> None:
    """Sorted by a column, page by page forwards and back; what is missing stands last."""
    column, descending = random.choice(["tokens", "length", "created"]), random.random() < 0.5

    def rank(row: Row) -> tuple[Any, ...]:
        value = getattr(row, column)
        value = None if value is None else value if descending else -value
        return (value is not None, value or 0, row.created, row.id)

    ids = [row.id for row in sorted(expected, key=rank, reverse=True)]
    listing = world.listing(wanted, Sort(column, descending=descending))
    seen: list[Key] = []
    while page := listing.page(7, after=seen[-1] if seen else None):
        seen += page
    assert [key.id for key in seen] == ids
    if seen:
        at = random.randrange(len(seen))
        assert listing.page(7, before=seen[at]) == seen[max(0, at - 7) : at]


def check_facets(world: World, wanted: Filter, expected: list[Row], random: Random) -> None:
    """Each facet counts the filter without its own conditions; few values, so that all are shown."""
    facets = Facets(world.listing(wanted), lambda each: each.q)
    shown_of = {facet.name for facet in facets.all}
    chosen = wanted.values("review") or wanted.values("review", negated=True)
    left = world.listing(wanted.without("review")).page(1)
    assert ("review" in shown_of) is bool(chosen or left), wanted.q
    for facet in facets.all:
        base = wanted.without(facet.name)
        rest = world.rows if base != wanted else expected
        if base != wanted:
            kept = {key.id for key in world.listing(base).page(100)}
            rest = [row for row in world.rows if row.id in kept]
        counted = Counter(value for row in rest for value in _values(facet.name, row))
        shown = {value.text: int(value.count.replace(",", "")) for value in facet.values}
        assert {value: n for value, n in shown.items() if n} == dict(counted) if len(counted) <= 8 else True
        assert all(counted[value] == n for value, n in shown.items()), (wanted.q, facet.name)


def _values(name: str, row: Row) -> tuple[str, ...]:
    """What a facet counts a row under."""
    if name in ("model", "finish", "rating"):
        return (value,) if (value := getattr(row, name)) else ()
    if name == "review":
        return (row.review or "unreviewed",)
    if name == "connection":
        return (row.connection,)
    if name.startswith("label."):
        return next((answers for key, answers in row.labels.items() if Filter.label(key) == name), ())
    return tuple(value for key, value in row.metadata.items() if Filter.key(key) == name)


def check_timeline(world: World, wanted: Filter, expected: list[Row], random: Random) -> None:
    """Bars add up to the matches without stretches of time, and each holds what was created in it."""
    found = timeline(world.listing(wanted), "Europe/Berlin")
    timeless = replace(
        wanted,
        clauses=tuple(part for part in wanted.clauses if not (isinstance(part, Clause) and part.is_time)),
    )
    kept = {key.id for key in world.listing(timeless).page(100)}
    created = [row.created for row in world.rows if row.id in kept]
    for bucket in found.buckets:
        assert bucket.n == sum(bucket.start <= moment < bucket.end for moment in created)
    shown = [moment for moment in created if found.low <= moment < found.high]
    assert found.total == len(shown)
    if timeless == wanted:
        assert len(shown) == len(created)
    assert all(one.end == other.start for one, other in zip(found.buckets, found.buckets[1:], strict=False))


def check_selection(world: World, wanted: Filter, expected: list[Row], random: Random) -> None:
    """What is frozen is what matches, without what was taken out. (Its moment is now, so no spans.)"""
    if {"created", "reviewed"} & set(wanted.names()) or world.listing(wanted).reads:
        return
    left_out = {row.id for row in random.sample(expected, min(2, len(expected)))}
    ids = [row.id for row in expected if row.id not in left_out]
    if not ids:
        with pytest.raises(selection.Refused):
            selection.freeze(world.reader, q=wanted.q, everything=True, excluded=left_out)
        return
    frozen = selection.freeze(world.reader, q=wanted.q, everything=True, excluded=left_out)
    assert (frozen.count, list(selection.ids_of(frozen))) == (len(ids), ids)


def examine(world: World, phases: tuple[Phase, ...] = (Phase.generate, Phase.shrink)) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    @given(filters())
    def agrees(asked: Asked) -> None:
        check(world, asked, Random(asked[0]))

    agrees()


def test_a_mirror_agrees_with_filters_in_plain_python(world: World) -> None:
    examine(world)


@pytest.fixture
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One way in which a look-up could be wrong."""
    if request.param == "a range without its last value":
        right = matching._between
        monkeypatch.setattr(
            matching,
            "_between",
            lambda values, low, high: right(values, low, None if high is None else high - 1),
        )
    elif request.param == "only the first of several values":
        names = Clause.term_names
        monkeypatch.setattr(Clause, "term_names", lambda self: names(self)[:1])
    else:
        monkeypatch.setattr(matching, "_any", matching._all)


@pytest.mark.parametrize("world", [0], indirect=True)
@pytest.mark.parametrize(
    "broken",
    ["a range without its last value", "only the first of several values", "or that means and"],
    indirect=True,
)
@pytest.mark.usefixtures("broken")
def test_a_broken_look_up_is_caught(world: World) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # hypothesis groups what it found
        examine(world, (Phase.generate,))
    assert "AssertionError" in repr(caught.value) or isinstance(caught.value, AssertionError)
