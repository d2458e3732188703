"""The typed bar: chips, what is typed beside them, proposals, rows of the editor, and ways out."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection as database
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from completions import observed, reviewing
from completions.bar import joined, typed
from completions.filters import Filter
from completions.models import Label, Term
from completions.pane import Pane
from completions.proposals import Proposals, proposals, values
from completions.reviewing import Said
from portal.models import Connection, User
from tests import factories
from tests.factories import make_completion

pytestmark = [pytest.mark.engines, pytest.mark.django_db]

SignIn = Callable[[User], Client]
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def pane(user: User, q: str = "", **parameters: str) -> Pane:
    asked = QueryDict(mutable=True)
    asked.update({"q": q, **parameters})
    return Pane.of(user, asked)


def q_of(address: str) -> str:
    return parse_qs(urlsplit(address).query).get("q", [""])[0]


def written(found: Proposals) -> list[str]:
    return [each.insert for each in found.all]


# Chips and typing.


def test_every_condition_is_a_chip_with_its_own_text(reader: User) -> None:
    make_completion()
    q = 'model:a,"b c" -meta.env:prod tokens:>5 meta.k:* -(is:gone OR word) "two words"'
    chips = pane(reader, q).bar.chips
    assert [(chip.name, chip.how, chip.text) for chip in chips] == [
        ("model", "", "a, b c"),
        ("env", "is not", "prod"),
        ("tokens", "", ">5"),
        ("k", "", "present"),
        ("not", "", "is:gone OR word"),
        ("", "", '"two words"'),
    ]
    assert Filter.parse(" ".join(chip.q for chip in chips)) == Filter.parse(q)
    for chip in chips:
        left = [each.q for each in chips if each is not chip]
        assert Filter.parse(q_of(chip.remove)) == Filter.parse(" ".join(left))


def test_what_is_typed_joins_as_a_whole() -> None:
    assert typed("model:x", "a OR b").q == "model:x (a OR b)"
    assert typed("a b c", "new", "1").q == "a new b c"
    assert typed("a b", "new", "7").q == typed("a b", "new", "x").q == "a b new"
    assert typed("model:a", "model:b").q == "model:a,b"


def test_an_open_quote_takes_nothing_with_it() -> None:
    made = typed('model:x "open', "tokens:>5")
    assert [clause.q for clause in made.clauses] == ["model:x", "tokens:>5"]
    assert [broken.q for broken in made.broken] == ['"open']


@given(st.text(max_size=60), st.text(max_size=60))
def test_nothing_typed_is_dropped(first: str, second: str) -> None:
    both = (Filter.parse(first), Filter.parse(second))
    made = joined(*both)
    assert bool(made) is any(map(bool, both))
    assert len(made.broken) >= sum(len(each.broken) for each in both)
    wanted = {clause.q for each in both for clause in each.leaves()}
    kept = made.q
    assert all(q in kept or not Filter.parse(q).words for q in wanted)


def test_a_filter_that_is_too_long_stays_to_be_mended(client_of: SignIn, reader: User) -> None:
    make_completion()
    long = " ".join(f"word{n}" for n in range(900))
    text = client_of(reader).get("/completions/", {"q": long}).content.decode()
    assert "at most 4,000 characters" in text
    assert f'name="q" value="{long}"' in text


def test_a_new_condition_keeps_how_the_pane_is_shown(client_of: SignIn, reader: User) -> None:
    make_completion()
    answer = client_of(reader).get("/completions/", {"q": "a", "add": "b", "place": "0", "sort": "-tokens"})
    assert answer.status_code == 302
    assert parse_qs(urlsplit(answer["Location"]).query) == {"q": ["b a"], "sort": ["-tokens"]}


# Proposals.


@pytest.fixture
def mirror(db: None) -> list[Connection]:
    """Two connections that the reader may read, with a few values on each."""
    east, west = factories.connection("East"), factories.connection("West")
    for n in range(6):
        make_completion(
            (east, west)[n % 2],
            model="gpt-4o" if n % 3 else "gpt-4o-mini",
            metadata={"category": ("docs", "Chat", 'odd "one"')[n % 3], "cost centre": str(n)},
        )
    return [east, west]


def test_fields_and_keys_are_proposed_while_a_name_is_typed(mirror: list[Connection]) -> None:
    assert "model:" in written(proposals(mirror, "mod", 3))
    found = proposals(mirror, "word meta.c", 11)
    assert (found.start, found.end) == (10, 11)
    assert written(found) == ["category:", '"cost centre":']


def test_values_are_proposed_with_their_counts_and_as_they_are_written(mirror: list[Connection]) -> None:
    found = proposals(mirror, "model:gpt", 9)
    assert [(each.insert, each.count) for each in found.all] == [("gpt-4o", "4"), ("gpt-4o-mini", "2")]
    assert (found.start, found.end) == (6, 9)
    assert '"odd \\"one\\""' in written(proposals(mirror, "meta.category:", 14))
    assert written(proposals(mirror, "meta.category:ch", 16)) == ["Chat"], "in any case"
    assert written(proposals(mirror, "meta.category:DD", 16)) == ['"odd \\"one\\""'], "in the middle too"
    assert written(proposals(mirror, "connection:", 11)) == [each.slug for each in mirror]
    assert written(proposals(mirror, "is:", 3)) == ["gone", "pending"]
    assert written(proposals(mirror, "created:", 8, now=NOW))[:4] == ["24h", "7d", "30d", "2026-11-20"]


def test_what_is_proposed_can_be_read(mirror: list[Connection]) -> None:
    for q in (
        "model:",
        "meta.category:",
        'meta."cost centre":',
        "has:",
        "is:",
        "created:",
        "tokens:5",
        "meta.",
    ):
        found = proposals(mirror, q, len(q), now=NOW)
        assert found.all, q
        for each in found.all:
            if each.done:
                text = q[: found.start] + each.insert + q[found.end :]
                assert Filter.parse(text).broken == (), text


def test_nobody_is_told_what_they_may_not_read(client_of: SignIn, mirror: list[Connection]) -> None:
    person = factories.user("one", role="reader", connection=mirror[0])
    make_completion(mirror[1], model="hidden-model", metadata={"codename": "falcon"})
    client = client_of(person)
    for parameters in (
        {"q": "model:"}, {"q": "hidden"}, {"q": "meta."}, {"q": "meta.codename:"}, {"q": "connection:"},
        {"q": "", "of": "model"}, {"q": "", "of": "meta.codename"}, {"q": "", "of": ""},
    ):  # fmt: skip
        text = client.get("/completions/suggest/", parameters).content.decode()
        assert "hidden" not in text
        assert "falcon" not in text
        assert "codename" not in text
        assert mirror[1].slug not in text


def test_values_alone_come_as_they_are(mirror: list[Connection]) -> None:
    assert written(values(mirror, "meta.category", "odd")) == ['odd "one"']
    assert written(values(mirror, "meta.cost centre", "3")) == ["3"]
    assert written(values(mirror, "", "cost")) == ["cost centre"]
    assert written(values(mirror, "nothing", "x")) == written(values(mirror, "tokens", "x")) == []


def test_labels_and_their_answers_are_proposed(reader: User) -> None:
    row = make_completion()
    on = [row.connection]
    make = Label.objects.create
    quality = make(connection=row.connection, name="quality", kind="score", options=[-1, 3])
    make(connection=row.connection, name="quiet one", options=["yes", "no"])
    make(connection=row.connection, name="quite old", options=["yes"], retired=timezone.now())
    make(connection=factories.connection(), name="quick", options=["hidden"])
    reviewing.record(row, [Said("label", "3", quality)], factories.user("alex", "reviewer"))
    assert written(proposals(on, "label.qu", 8)) == ["quality:", '"quiet one":']
    assert written(proposals(on, "-label.quality:", 15)) == ["3", "-1", "0", "1", "2", "*"]
    assert written(proposals(on, 'label."quiet one":n', 19)) == ["no"]
    assert written(proposals(on, "quali", 5))[:1] == ["label.quality:"]
    assert written(values(on, "label.", "qui")) == ["quiet one"]
    assert written(values(on, "label.quality", "1")) == ["-1", "1"]
    assert written(proposals(on, "appr", 4)) == ["review:approved"]
    assert written(proposals(on, "review:", 7)) == ["unreviewed", "needs_review", "approved", "rejected", "*"]
    assert written(proposals(on, "reviewer:", 9)) == ["alex", "*"]


def test_asking_costs_the_same_however_many_values_there_are(mirror: list[Connection]) -> None:
    where = mirror[0].pk
    on = [each.pk for each in mirror]

    def look() -> int:
        with CaptureQueriesContext(
            database,
        ) as asked:
            assert observed.values(on, Term.Kind.METADATA, "user", "user-0")
        return len(asked)

    def fill(first: int, last: int) -> None:
        Term.objects.bulk_create(
            Term(connection_id=where, kind=Term.Kind.METADATA, key="user", value=f"user-{n:06}", n=1)
            for n in range(first, last)
        )

    fill(0, 20)
    before = look()
    fill(20, 8_000)
    assert look() <= before + len(on)
    assert [each.text for each in observed.values(on, Term.Kind.METADATA, "user", "user-0079")][:1] == [
        "user-007900"
    ]


NASTY = ("", "\x00", "meta.", 'meta."', "model:", "((((", "-", '"', "/", "~", "é" * 10, "\U0001f600 model:")


@pytest.mark.parametrize("q", NASTY)
@pytest.mark.parametrize("caret", ["", "0", "1", "99999", "-1", "x", "²"])
def test_any_text_gets_an_answer(client_of: SignIn, reader: User, q: str, caret: str) -> None:
    client = client_of(reader)
    assert client.get("/completions/suggest/", {"q": q, "caret": caret}).status_code == 200
    assert client.get("/completions/suggest/", {"q": q, "of": q}).status_code == 200


# Ways out.


def test_only_conditions_whose_loss_gives_rows_are_offered(reader: User) -> None:
    make_completion(model="a", metadata={"env": "prod"})
    make_completion(model="b", metadata={"env": "test"})
    mends = pane(reader, "model:a meta.env:test").bar.mends
    assert [(q_of(mend.href), mend.count.n) for mend in mends] == [("meta.env:test", 1), ("model:a", 1)]
    stuck = pane(reader, "model:x meta.env:nowhere tokens:>900").bar
    assert stuck.mends == []
    assert stuck.is_stuck


def test_conditions_inside_groups_are_offered_too(reader: User) -> None:
    make_completion(model="a", metadata={"env": "prod"})
    mends = pane(reader, "(model:a meta.env:test OR model:x meta.env:test)").bar.mends
    assert "(model:a OR model:x meta.env:test)" in [q_of(mend.href) for mend in mends]
    mends = pane(reader, "-(model:a OR meta.env:prod) meta.env:prod").bar.mends
    assert {q_of(mend.href): mend.count.n for mend in mends} == {"meta.env:prod": 1}


def test_a_key_that_nobody_has_is_found_in_groups(reader: User) -> None:
    make_completion(metadata={"category": "x"})
    ((unknown, href),) = pane(reader, "(meta.categry:x OR is:gone)").bar.unknown_keys
    assert unknown.near == "category"
    assert q_of(href) == "(meta.category:x OR is:gone)"


def test_a_label_that_nobody_has_is_named_with_the_one_meant(reader: User) -> None:
    row = make_completion(metadata={"quality": "x"})
    Label.objects.create(connection=row.connection, name="quality", kind="score", options=[1, 5])
    ((unknown, href),) = pane(reader, "label.qualty:>=4 meta.quality:x").bar.unknown_keys
    assert (unknown.what, unknown.near) == ("label", "quality")
    assert q_of(href) == "label.quality:>=4 meta.quality:x"
    # One that nobody has answered yet is none that was misspelt.
    assert pane(reader, "label.quality:>=4").bar.unknown_keys == []
    ((unknown, href),) = pane(reader, "meta.qualit:x label.quality:5").bar.unknown_keys
    assert q_of(href) == "meta.quality:x label.quality:5"


def test_what_cannot_be_read_shows_no_rows_and_both_ways_on(client_of: SignIn, reader: User) -> None:
    make_completion(prompt="the one row")
    text = client_of(reader).get("/completions/", {"q": "model:a modle:b"}).content.decode()
    assert "the one row" not in text
    assert "Did you mean" in text
    assert "Leave out what cannot be read" in text
    assert 'id="bulk"' not in text


def test_templates_ask_the_database_for_nothing(client_of: SignIn, reader: User) -> None:
    make_completion()
    page: Any = pane(reader, "model:nowhere (is:gone OR meta.no:x)").prepare()
    with CaptureQueriesContext(database) as asked:
        assert page.bar.chips
        assert page.bar.editor
        assert page.bar.mends is not None
    assert len(asked) == 0


@pytest.mark.parametrize(
    "address",
    [
        "suggest/?q=model:a%00",
        "suggest/?q=meta.%00",
        "suggest/?of=model&q=%00",
        "suggest/?of=meta.%00&q=a",
        "suggest/?of=&q=%00",
        "facet/?facet=model&find=%00",
        "facet/?facet=model&q=model:a%00",
        "palette/?typed=abcdef%00",
        "?q=a%00b",
        "?q=meta.k:%00",
    ],
)
def test_a_nul_is_found_nowhere(address: str, client_of: SignIn, reader: User) -> None:
    make_completion(model="a", metadata={"k": "v"})
    answer = client_of(reader).get(f"/completions/{address}", headers={"HX-Request": "true"})
    assert answer.status_code == 200


def test_an_id_with_a_nul_names_no_completion(client_of: SignIn, reader: User) -> None:
    row = make_completion()
    answer = client_of(reader).get(f"/completions/{row.connection.slug}/a%00b/")
    assert answer.status_code == 404
