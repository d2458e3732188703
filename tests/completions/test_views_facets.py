"""Counts and timeline over HTTP: fragments, whole pages, ways into a stretch of time, zones."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote_plus, urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from completions import reviewing
from completions.filters import Filter
from completions.models import Label, StoredCompletion
from completions.reviewing import Said
from completions.timeline_drawing import LAST, Clock, stretch, timeless, within
from portal.models import User
from portal.zones import zone_of
from tests import factories
from tests.completions.test_views_pane import NASTY, Page
from tests.factories import make_completion

SignIn = Callable[[User], Client]
HTMX = {"HX-Request": "true", "HX-Target": "counts"}
DAY = 86_400
MIDNIGHT = 1_790_294_400  # 2026-09-25 00:00 UTC


def fragment(client: Client, address: str) -> str:
    answer = client.get(address, headers=HTMX)
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.fixture
def rows(db: None) -> None:
    where = factories.connection()
    for n in range(12):
        metadata = {"category": "xyz"[n % 3], "user": f"user-{n}"}
        make_completion(where, created=MIDNIGHT + n * DAY, model="ab"[n % 2], metadata=metadata)


# Facets.


def test_the_page_asks_for_counts_and_timeline_afterwards(
    client_of: SignIn, reader: User, rows: None
) -> None:
    text = client_of(reader).get("/completions/?q=model%3Aa").content.decode()
    asked = {each["hx-target"]: str(each["hx-get"]) for each in Page(text).having("data-later")}
    assert set(asked) == {"#counts", "#timeline"}
    assert 'class="value' not in text
    counts = fragment(client_of(reader), asked["#counts"])
    assert "<html" not in counts
    assert 'data-facet="meta.category"' in counts
    assert 'class="plot"' in fragment(client_of(reader), asked["#timeline"])


@pytest.mark.parametrize("address", ["facets/", "timeline/", "facet/?facet=model"])
def test_without_scripts_the_address_is_a_whole_page(
    client_of: SignIn, reader: User, rows: None, address: str
) -> None:
    text = client_of(reader).get(f"/completions/{address}").content.decode()
    assert "<html" in text
    assert 'data-facet="model"' in text
    assert 'class="plot"' in text
    assert Page(text).having("data-later") == []


def test_a_long_facet_is_searched_inside(client_of: SignIn, reader: User, rows: None) -> None:
    client = client_of(reader)
    assert '<a class="link more"' in fragment(client, "/completions/facets/")
    found = re.findall(
        r'data-value="([^"]+)"', fragment(client, "/completions/facet/?facet=meta.user&find=R-1")
    )
    assert sorted(found) == ["user-1", "user-10", "user-11"]
    assert "No value like this" in fragment(client, "/completions/facet/?facet=meta.user&find=nobody")
    assert "No value like this" in fragment(client, "/completions/facet/?facet=meta.nothing")
    assert "data-value" not in fragment(client, "/completions/facet/?q=modle:x&facet=model")


def test_what_people_said_is_counted(client_of: SignIn, reader: User, rows: None) -> None:
    client, author = client_of(reader), factories.user("alex", "reviewer")
    assert re.search(
        r'class="st none" aria-hidden="true"></i><span>Unreviewed</span><em>12', counts_of(client)
    )
    assert 'data-facet="rating"' not in counts_of(client)
    first, second, *_ = StoredCompletion.objects.all()
    label = Label.objects.create(connection=first.connection, name=NASTY[:60], kind="text")
    reviewing.record(first, [Said("state", "approved"), Said("label", NASTY, label)], author)
    reviewing.record(second, [Said("state", "rejected"), Said("rating", "bad")], author)
    text = counts_of(client)
    for tone, title, n in (("none", "Unreviewed", 10), ("ok", "Approved", 1), ("bad", "Rejected", 1)):
        assert f'class="st {tone}" aria-hidden="true"></i><span>{title}</span><em>{n}</em>' in text
    assert 'data-facet="rating"' in text
    page = Page(text)
    names = [str(each["data-facet"]) for each in page.having("data-facet")]
    assert Filter.label(NASTY[:60]) in names
    assert page.having("onerror") == []
    one = fragment(client, f"/completions/facet/?facet={quote_plus(Filter.label(NASTY[:60]))}")
    assert Page(one).having("onerror") == []
    left = counts_of(client, "?q=review%3Aunreviewed,approved")
    assert "Clear Review" in left
    assert "<span>Rejected</span><em>1</em>" in left


def counts_of(client: Client, query: str = "") -> str:
    return re.sub("</?bdi[^>]*>", "", fragment(client, f"/completions/facets/{query}"))


def test_links_of_a_facet_keep_how_the_table_looks(client_of: SignIn, reader: User, rows: None) -> None:
    text = fragment(client_of(reader), "/completions/facets/?q=model:a&sort=-tokens&density=compact")
    links = [attributes for tag, attributes in Page(text).tags if tag == "a"]
    assert len(links) > 10
    for attributes in links:
        parameters = parse_qs(urlsplit(str(attributes["href"])).query)
        assert parameters["sort"] == ["-tokens"]
        assert parameters["density"] == ["compact"]


def test_keys_beyond_the_first_are_named_and_counted_when_they_are_opened(
    client_of: SignIn, reader: User
) -> None:
    make_completion(metadata={f"key {n:02}": "v" for n in range(16)})
    text = fragment(client_of(reader), "/completions/facets/")
    asked = [str(each["hx-get"]) for each in Page(text).having("hx-get") if "facet=" in str(each["hx-get"])]
    assert "10 more keys" in text
    assert len(asked) == 10
    for address in asked:
        assert fragment(client_of(reader), address).count('data-value="v"') == 1


def test_a_filter_that_cannot_be_read_is_not_counted(client_of: SignIn, reader: User, rows: None) -> None:
    client = client_of(reader)
    assert "The filter cannot be read" in fragment(client, "/completions/facets/?q=modle:x")
    assert "until the filter can be read" in fragment(client, "/completions/timeline/?q=modle:x")


def test_what_others_may_see_is_not_counted(client_of: SignIn, db: None) -> None:
    mine, foreign = factories.connection(), factories.connection()
    make_completion(mine, created=MIDNIGHT, metadata={"codename": "mine"})
    make_completion(foreign, created=MIDNIGHT + 9 * DAY, metadata={"secret": "falcon"})
    client = client_of(factories.user(role="reader", connection=mine))
    for address in ("facets/", "timeline/", "facet/?facet=meta.secret", "facet/?facet=meta.codename"):
        text = fragment(client, f"/completions/{address}")
        assert "falcon" not in text
        assert "secret" not in text
        assert "4 Oct" not in text


@pytest.mark.parametrize("address", ["facets/", "facet/?facet=model", "timeline/"])
def test_nobody_counts_without_signing_in(client: Client, db: None, address: str) -> None:
    answer = client.get(f"/completions/{address}")
    assert answer.status_code == 302
    assert "/accounts/login/" in answer["Location"]


def test_values_are_text_and_nothing_else(client_of: SignIn, reader: User) -> None:
    make_completion(metadata={NASTY: NASTY, "": ""}, model=NASTY)
    client = client_of(reader)
    for address in (
        "/completions/facets/",
        f"/completions/timeline/?q={quote_plus(NASTY)}",
        f"/completions/facet/?facet={quote_plus(Filter.key(NASTY))}",
        f"/completions/facet/?facet=model&find={quote_plus(NASTY)}",
    ):
        page = Page(fragment(client, address))
        for name in ("onerror", "onmouseover", "style", "onclick"):
            assert page.having(name) == [], address
        assert all(attributes.get("hx-get") != "/x" for _, attributes in page.tags)
        assert all(tag != "img" for tag, _ in page.tags)


@pytest.mark.parametrize("address", ["/completions/facets/", "/completions/timeline/"])
def test_queries_do_not_grow_with_rows(client_of: SignIn, reader: User, address: str) -> None:
    where, client, counted = factories.connection(), client_of(reader), []
    for _ in range(3):
        for n in range(6):
            make_completion(where, created=MIDNIGHT + n * DAY, metadata={"category": f"c{n}", "env": "prod"})
        fragment(client, address)
        with CaptureQueriesContext(database) as queries:
            fragment(client, address)
        counted.append(len(queries))
    assert counted[0] == counted[1] == counted[2]


# The timeline.


def test_a_bar_leads_to_its_own_time(client_of: SignIn, reader: User, rows: None) -> None:
    client = client_of(reader)
    page = Page(fragment(client, "/completions/timeline/?q=model:a"))
    bars = page.having("data-start")
    assert sum(int(str(bar["data-n"])) for bar in bars) == 6
    for bar in bars:
        text = client.get(str(bar["href"])).content.decode()
        assert f'data-total="{bar["data-n"]}"' in text


def test_a_stretch_becomes_the_filter_to_the_second(client_of: SignIn, reader: User, rows: None) -> None:
    client = client_of(reader)
    answer = client.get(
        "/completions/timeline/",
        {
            "q": "model:a created:30d",
            "density": "compact",
            "from": str(MIDNIGHT + 1),
            "to": str(MIDNIGHT + 2 * DAY),
        },
    )
    assert answer.status_code == 302
    parameters = parse_qs(urlsplit(answer["Location"]).query)
    assert parameters["density"] == ["compact"]
    wanted = Filter.parse(parameters["q"][0])
    assert wanted.bounds(0) == (MIDNIGHT + 1, MIDNIGHT + 2 * DAY)
    assert wanted.values("model") == ("a",)
    text = fragment(client, answer["Location"].replace("/completions/", "/completions/timeline/"))
    assert 'class="range"' in text
    assert "data-wider" in text


@pytest.mark.parametrize("bounds", [("x", "5"), ("", ""), ("1", "-4"), ("9" * 30, "1"), ("\u0663", "4")])
def test_a_stretch_that_cannot_be_read_changes_nothing(
    client_of: SignIn, reader: User, rows: None, bounds: tuple[str, str]
) -> None:
    parameters = {"q": "model:a", "from": bounds[0], "to": bounds[1]}
    answer = client_of(reader).get("/completions/timeline/", parameters)
    assert answer["Location"] == "/completions/?q=model%3Aa"


def test_a_stretch_may_be_given_from_its_end(client_of: SignIn, reader: User, rows: None) -> None:
    answer = client_of(reader).get("/completions/timeline/", {"from": MIDNIGHT + DAY - 1, "to": MIDNIGHT})
    assert answer["Location"] == "/completions/?q=created%3A2026-09-25"


def test_wider_ends_at_all_time(client_of: SignIn, reader: User, rows: None) -> None:
    client = client_of(reader)
    address = f"/completions/?q=created%3A{datetime.fromtimestamp(MIDNIGHT + 5 * DAY, UTC):%Y-%m-%d}"
    seen = []
    while "created" in address:
        page = Page(fragment(client, address.replace("/completions/", "/completions/timeline/")))
        seen.append(address)
        address = str(page.having("data-wider")[0]["href"])
        assert len(seen) < 6
    assert len(seen) > 1
    assert address == "/completions/"


def test_one_completion_is_one_bar(client_of: SignIn, reader: User) -> None:
    make_completion(created=MIDNIGHT)
    text = fragment(client_of(reader), "/completions/timeline/")
    assert [bar["data-n"] for bar in Page(text).having("data-start")].count("1") == 1
    assert "1 completion," in text


def test_nothing_is_said_to_be_nothing(client_of: SignIn, reader: User, rows: None) -> None:
    assert "No completions to show" in fragment(client_of(reader), "/completions/timeline/?q=model:nowhere")


def test_days_begin_where_they_begin_for_the_reader(client_of: SignIn, reader: User, rows: None) -> None:
    client = client_of(reader)
    client.cookies["portal-zone"] = "Asia/Kolkata"
    text = fragment(client, "/completions/timeline/?q=created:2026-09-27..2026-09-28")
    assert "Times are in Asia/Kolkata" in text
    assert "27 Sep 05:30" in text


@pytest.mark.parametrize(
    "told", ["", "Europe", "Europe/Nowhere", "../../etc/passwd", "/etc/localtime", "x" * 99, "a\x00b"]
)
def test_a_zone_that_is_none_is_utc(told: str) -> None:
    assert zone_of({"portal-zone": told}) == "UTC"
    assert zone_of({"portal-zone": "America/St_Johns"}) == "America/St_Johns"


@given(st.integers(0, LAST), st.integers(0, 10 * DAY), st.sampled_from((1, 60, DAY)))
def test_a_stretch_is_read_as_it_was_written(first: int, length: int, grid: int) -> None:
    low = first // grid * grid
    high = min(LAST, low + (length // grid + 1) * grid - 1)
    wanted = within(Filter.parse("model:a -created:2020 created:7d"), low, high)
    assert wanted.bounds(0) == (low, high), stretch(low, high)
    assert wanted == Filter.parse(wanted.q)
    assert timeless(wanted) == Filter.parse("model:a -created:2020")


@given(
    st.integers(0, LAST - 400 * 365 * DAY),
    st.integers(1, 300 * 365 * DAY),
    st.sampled_from(("UTC", "Europe/Oslo", "Asia/Kolkata", "America/St_Johns", "Africa/Monrovia")),
)
def test_an_axis_has_a_handful_of_labels_in_order(low: int, span: int, zone: str) -> None:
    ticks = list(Clock(ZoneInfo(zone), max(1, span // 100), low, low + span).ticks())
    assert 1 <= len(ticks) <= 9
    assert [at for at, _ in ticks] == sorted({at for at, _ in ticks})
    assert len({text for _, text in ticks}) > len(ticks) // 2
