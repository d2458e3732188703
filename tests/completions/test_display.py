"""How a list is shown: parameters of an address, columns, orders, rows."""

from typing import Any
from urllib.parse import unquote_plus

import pytest
from django.db import connection as database
from django.http import QueryDict
from django.template.loader import get_template
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from completions import reviewing
from completions.addresses import read_day
from completions.display import (
    COLUMNS,
    DENSITIES,
    META,
    TIMES,
    Display,
    Shown,
    column_of,
    read_columns,
    usual,
)
from completions.filters import FIELDS, Filter
from completions.listing import NEWEST, Key, Sort
from completions.models import Label
from completions.pane import PAGE, Pane
from completions.reviewing import Said
from portal.models import User
from tests import factories
from tests.factories import make_completion

KEYS = st.text(min_size=1, max_size=20).filter(lambda key: "\x00" not in key)
SHOWN = st.builds(
    Shown,
    st.one_of(st.sampled_from(list(COLUMNS.values())), KEYS.map(lambda key: column_of(META + key))),
    st.none() | st.integers(48, 960),
)
SORTS = st.builds(Sort, st.sampled_from(["created", "tokens", "length"]), st.booleans())


def pane(user: User, address: str = "") -> Pane:
    return Pane.of(user, QueryDict(address.partition("?")[2]))


@given(
    SORTS,
    st.lists(SHOWN, max_size=8, unique_by=lambda each: each.column.name),
    st.sampled_from(DENSITIES),
    st.sampled_from(TIMES),
)
def test_a_display_is_read_as_it_was_written(
    sort: Sort, shown: list[Shown], density: str, times: str
) -> None:
    written = Display(sort, read_columns([each.write() for each in shown]), density, times)
    assert Display.parse(QueryDict(written.query)) == written
    assert [each.column.name for each in written.columns][-len(shown) or None :] == [
        each.column.name for each in shown
    ]


def test_an_address_says_nothing_about_what_is_usual() -> None:
    assert Display().query == ""
    assert Display.parse({"sort": "-created", "density": "comfortable", "times": "clock"}).query == ""


@pytest.mark.parametrize(
    "parameters",
    [
        {"sort": "secret"},
        {"sort": "--tokens"},
        {"columns": "password,,meta.,x:y"},
        {"density": "huge"},
        {"times": "never"},
    ],
)
def test_what_cannot_be_read_is_shown_as_usual(parameters: dict[str, str]) -> None:
    assert Display.parse(parameters) == Display()


def test_widths_stay_within_reason_and_columns_stand_once() -> None:
    found = read_columns(["model:5", "model:100", "tokens:99999", "text:x", "id:-4"])
    assert [(each.column.name, each.resized) for each in found] == [
        ("model", 48), ("tokens", 960), ("text", None), ("id", None),
    ]  # fmt: skip


def test_a_row_can_always_be_opened() -> None:
    assert next(each.column.name for each in read_columns(["meta.a", "metadata"])) == "created"


def test_everything_that_people_see_in_the_table_can_be_filtered_by() -> None:
    for column in [*COLUMNS.values(), column_of("meta.a")]:
        assert column is not None
        assert (column.filter or column.name) in FIELDS, column.name


def test_several_connections_are_told_apart() -> None:
    names = [each.column.name for each in usual(several=True)]
    assert "connection" in names
    assert "connection" not in [each.column.name for each in usual(several=False)]


def test_a_day_begins_and_ends_in_the_zone_of_its_reader() -> None:
    assert read_day("2026-11-20", "UTC") == (1_795_132_800, 1_795_219_200)
    assert read_day("2026-11-20", "Europe/Oslo") == (1_795_129_200, 1_795_215_600)
    first, end = read_day("2026-03-29", "Europe/Oslo") or (0, 0)
    assert end - first == 23 * 3600
    for nonsense in ("", "2026-13-01", "2026-1-1", "tomorrow", "0000-00-00", "9999-12-31"):
        assert read_day(nonsense, "UTC") is None


# In the pane.


@pytest.fixture
def rows(db: Any) -> list[int]:
    first, second = factories.connection(), factories.connection()
    return [
        make_completion(
            (first, second)[n % 2],
            created=1_000_000 + n // 3,
            total_tokens=None if n % 5 == 0 else n % 7 * 100,
            answer="x" * (n % 11),
            metadata={"category": "docs" if n % 2 else "chat"},
        ).pk
        for n in range(PAGE * 2 + 7)
    ]


@pytest.mark.engines
@pytest.mark.parametrize("sort", ["created", "-created", "tokens", "-tokens", "length", "-length"])
def test_pages_in_every_order_lead_to_the_end_and_back(reader: User, rows: list[int], sort: str) -> None:
    from completions.models import StoredCompletion

    column = {"created": "created", "tokens": "total_tokens", "length": "answer_length"}[sort.lstrip("-")]
    sign = -1 if sort.startswith("-") else 1

    def rank(row: StoredCompletion) -> tuple[Any, ...]:
        value = getattr(row, column)
        return (value is None, sign * (value or 0), -row.created, -row.pk)

    expected = [row.pk for row in sorted(StoredCompletion.objects.all(), key=rank)]
    here, seen = pane(reader, f"?sort={sort}"), list[int]()
    while True:
        seen += [row.id for row in here.rows]
        if not here.older:
            break
        here = pane(reader, here.older)
    assert seen == expected
    back = [row.id for row in here.rows]
    while here.newer:
        here = pane(reader, here.newer)
        back = [row.id for row in here.rows] + back
    assert here.is_first
    assert back[:PAGE] == expected[:PAGE]


@pytest.mark.parametrize("sort", ["", "created", "-tokens"])
def test_a_completion_knows_its_place_in_the_list(reader: User, rows: list[int], sort: str) -> None:
    from completions.models import StoredCompletion

    here = pane(reader, f"?sort={sort}")
    everything = here.listing.page(len(rows))
    for at in (0, 3, len(rows) - 1):
        row = StoredCompletion.objects.get(pk=everything[at].id)
        assert here.listing.page(1, after=here.place_of(row)) == everything[at + 1 : at + 2]


def test_a_day_leads_to_the_page_that_begins_with_it(reader: User, rows: list[int]) -> None:
    here = pane(reader, pane(reader).from_day(1_000_010, 1_000_020))
    assert next(row.id for row in here.rows) == rows[59]
    ascending = pane(reader, pane(reader, "?sort=created").from_day(1_000_010, 1_000_020))
    assert {row.id for row in ascending.rows[:3]} == set(rows[30:33])
    other = pane(reader, pane(reader, "?sort=-tokens&density=compact").from_day(1_000_010, 1_000_020))
    assert other.display == Display(density="compact")


def test_a_day_before_everything_leads_to_the_last_page(reader: User, rows: list[int]) -> None:
    here = pane(reader, pane(reader).from_day(10, 20))
    assert [row.id for row in here.rows] == rows[:PAGE][::-1]
    assert not here.older
    assert here.newer


def test_links_keep_how_the_list_is_shown(reader: User, rows: list[int]) -> None:
    here = pane(reader, "?q=meta.category:docs&sort=-tokens&columns=text,model:200&times=ago&view=7")
    for address in (
        here.here,
        here.address(Filter()),
        here.older or here.here,
        here.shown_as(density="compact"),
    ):
        for part in ("sort=-tokens", "columns=text%2Cmodel%3A200", "times=ago", "view=7"):
            assert part in address, address
    assert "density" not in here.here
    assert "sort=" not in here.shown_as(sort=NEWEST)


def test_chosen_columns_show_what_rows_hold(reader: User) -> None:
    row = make_completion(
        model="m-1", metadata={"a b": "x<y"}, total_tokens=1234, answer="abc", finish_reason="length"
    )
    columns = "meta.a%2520b,tokens,length,turns,finish,id,language,temperature,state,prompt_tokens"
    (shown,) = pane(reader, f"?columns={columns}").rows
    for text in ("x&lt;y", "1,234", ">3<", ">1<", "length", row.upstream_id, "617", 'data-label="a b"'):
        assert text in shown.html, text
    assert "m-1" not in shown.html
    assert "What does" not in shown.html.replace("Select What does", "")


def test_columns_show_what_people_said(reader: User) -> None:
    row, plain = make_completion(), make_completion()
    label = Label.objects.create(connection=row.connection, name="tone", kind="text")
    author = factories.user("alex", "reviewer")
    said = [
        Said("state", "needs_review"), Said("rating", "bad"), Said("label", "x<y", label),
        Said("note", "one"), Said("note", "two"),
    ]  # fmt: skip
    reviewing.record(row, said, author)
    columns = "?columns=review,rating,labels,notes,reviewer,reviewed"
    found = {each.id: each.html for each in pane(reader, columns).rows}
    for text in (
        'class="st warn" title="Needs review">Needs review',
        "Bad",
        "tone: x&lt;y",
        ">2<",
        "alex",
        "<time",
    ):
        assert text in found[row.pk], text
        assert text not in found[plain.pk], text
    assert 'class="st none" title="Unreviewed">Unreviewed' in found[plain.pk]
    assert Filter.parse('label.tone:"x<y"').q in unquote_plus(found[row.pk]).replace("&quot;", '"')
    (usual_row,) = (each.html for each in pane(reader).rows if each.id == row.pk)
    assert 'class="st warn" title="Needs review">Needs review' in usual_row


def test_a_page_asks_as_often_for_50_rows_as_for_25_and_its_template_never(
    reader: User, rf: RequestFactory
) -> None:
    template = get_template("completions/pane.html#panes")
    request = rf.get("/completions/")
    request.user = reader
    author = factories.user("alex", "reviewer")
    for query in (
        "", "q=find", "q=~deep", "q=meta.b:x&sort=-tokens&columns=text,meta.b,connection",
        "q=review:approved label.tone:x&columns=text,review,rating,labels,notes,reviewer,reviewed",
    ):  # fmt: skip
        counts = []
        for _ in range(2):
            for n in range(25):
                made = factories.make_completion(
                    prompt="find me", answer=f"{'far ' * 80} deep {n}", metadata={"b": "x", "n": str(n)}
                )
                label, _ = Label.objects.get_or_create(connection=made.connection, name="tone", kind="text")
                reviewing.record(made, [Said("state", "approved"), Said("label", "x", label)], author)
            pane(reader, f"?{query}").prepare()  # new rows are read into memory once
            with CaptureQueriesContext(database) as asked:
                page = pane(reader, f"?{query}").prepare()
            with CaptureQueriesContext(database) as drawn:
                template.render({"pane": page}, request)
            assert len(drawn) == 0, drawn.captured_queries
            counts.append(len(asked))
        assert counts[0] == counts[1], query
        assert counts[0] <= 24, query


@pytest.mark.parametrize(
    ("limit", "value"), [("completions.listing.READABLE", 1), ("completions.scanning.READING", 0.0)]
)
def test_a_search_that_reads_texts_says_how_far_it_came(
    limit: str, value: float, reader: User, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("completions.listing.READ", (1,))
    monkeypatch.setattr(limit, value)
    where = factories.connection()
    wanted = make_completion(where, created=1_795_000_000, prompt="a needle").pk
    for n in range(3):
        make_completion(where, created=1_795_000_100 + n, prompt="hay")
    request = rf.get("/completions/")
    request.user = reader
    here, seen, stops = pane(reader, "?q=~eedle"), list[int](), 0
    for _ in range(10):
        here.prepare()
        text = get_template("completions/pane.html#pane").render({"pane": here}, request)
        seen += [row.id for row in here.rows]
        if not here.continues:
            break
        assert "Searched back to" in text
        here = pane(reader, here.continues)
        stops += 1
    assert seen == [wanted]
    assert stops == 4


def test_what_stands_above_the_newest_is_news(reader: User) -> None:
    where = factories.connection()
    make_completion(where, created=100, prompt="apple")
    here = pane(reader, "?q=apple").prepare()
    assert here.top == Key(100, here.rows[0].id)
    assert here.top is not None
    make_completion(where, created=200, prompt="apple")
    make_completion(where, created=210, prompt="pear")
    assert here.newer_than(here.top) == 1
