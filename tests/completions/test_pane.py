"""The pane as an object: pages, counts, facets, ways out."""

import pytest
from django.db import connection as database
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from completions.addresses import read_key, write_key
from completions.filters import Filter
from completions.listing import Count, Key, Listing
from completions.pane import PAGE, Pane
from completions.snippets import snippets
from portal.models import Auth, Connection, Kind, User
from tests import factories
from tests.factories import make_completion

pytestmark = pytest.mark.django_db


def pane(user: User, address: str = "") -> Pane:
    return Pane.of(user, QueryDict(address.partition("?")[2]))


def values(of: Pane, name: str) -> dict[str, str]:
    return {
        value.text: value.count for facet in of.facets.all if facet.name == name for value in facet.values
    }


def test_pages_lead_to_the_end_and_back(reader: User) -> None:
    where = factories.connection()
    made = [make_completion(where, created=1000 + n // 3).pk for n in range(PAGE * 2 + 7)][::-1]
    here, seen = pane(reader), []
    while True:
        seen += [row.id for row in here.rows]
        if not here.older:
            break
        here = pane(reader, here.older)
    assert seen == made
    back = [row.id for row in here.rows]
    while here.newer:
        here = pane(reader, here.newer)
        back = [row.id for row in here.rows] + back
    assert here.is_first
    assert back[:PAGE] == made[:PAGE]
    assert set(back) == set(made)


def test_a_cursor_that_cannot_be_read_is_the_first_page(reader: User) -> None:
    row = make_completion()
    for nonsense in ("x", "1", "1.x", "9" * 50, "--1.2", "1.2.x", "1.2.3.4", "1..2", "."):
        assert read_key(nonsense) is None
        assert [each.id for each in pane(reader, f"?after={nonsense}").rows] == [row.pk]
    for key in (Key(-5, 7), Key(5, 7, 0), Key(5, 7, -3)):
        assert read_key(write_key(key)) == key


def test_one_list_holds_every_connection_that_the_person_may_read() -> None:
    first, second, foreign = (factories.connection() for _ in range(3))
    rows = [make_completion(where, created=at).pk for at, where in enumerate((first, second, foreign, first))]
    person = factories.user()
    for where in (first, second):
        factories.grant(person, "reader", where)
    shown = pane(person)
    assert [row.id for row in shown.rows] == [rows[3], rows[1], rows[0]]
    assert shown.several
    assert values(shown, "connection") == {first.slug: "2", second.slug: "1"}
    assert str(shown.count) == "3"


def test_facets_count_without_their_own_condition(reader: User) -> None:
    where = factories.connection()
    for model, category, times in (("a", "x", 3), ("a", "y", 2), ("b", "x", 1)):
        for _ in range(times):
            make_completion(where, model=model, metadata={"category": category})
    assert values(pane(reader), "model") == {"a": "5", "b": "1"}
    narrowed = pane(reader, "?q=meta.category:x")
    assert values(narrowed, "model") == {"a": "3", "b": "1"}
    assert values(narrowed, "meta.category") == {"x": "4", "y": "2"}
    both = pane(reader, "?q=meta.category:x model:b")
    assert values(both, "model") == {"a": "3", "b": "1"}
    assert values(both, "meta.category") == {"x": "1"}


def test_facets_lead_to_the_filter_with_one_value_more_or_less(reader: User) -> None:
    make_completion(model="a", metadata={"odd key": "x y"})
    of = {facet.name: facet.values[0] for facet in pane(reader, "?q=model:a").facets.all}
    assert of["model"].chosen
    assert of["model"].toggle == "/completions/"
    assert of["model"].exclude == "/completions/?q=-model%3Aa"
    name = 'meta."odd key"'
    wanted = Filter.parse("model:a").toggle(name, "x y")
    assert pane(reader, of[name].toggle).wanted == wanted


def test_a_chosen_value_that_is_not_there_is_still_shown(reader: User) -> None:
    make_completion(metadata={"category": "x"})
    assert values(pane(reader, "?q=meta.category:nowhere"), "meta.category") == {"x": "1", "nowhere": "0"}


def test_a_count_ends_where_it_becomes_dear(reader: User) -> None:
    where = factories.connection()
    for n in range(6):
        make_completion(where, prompt="find me", total_tokens=n)
    assert Listing(reader, Filter.parse("find")).count(3) == Count(3, exact=False)
    assert Listing(reader, Filter.parse("find")).count() == Count(6)
    assert str(Count(10_000, exact=False)) == "10,000+"
    assert Listing(reader, Filter.parse("tokens:>0")).count() == Count(5)
    assert Listing(reader, Filter.parse("")).count(3) == Count(6)


def test_no_match_names_the_condition_in_the_way(reader: User) -> None:
    make_completion(model="a", metadata={"category": "x"})
    shown = pane(reader, "?q=model:a meta.category:y")
    assert shown.state == "nothing"
    assert [(mend.text, mend.count.n) for mend in shown.bar.mends] == [("category is y", 1)]


@pytest.mark.parametrize(("q", "state"), [("", "rows"), ("modle:x", "broken"), ("model:nowhere", "nothing")])
def test_the_pane_knows_why_there_are_no_rows(reader: User, q: str, state: str) -> None:
    make_completion()
    assert pane(reader, f"?q={q}").state == state


def test_without_rows_or_connections_the_pane_helps_to_begin(reader: User, outsider: User) -> None:
    factories.connection()
    assert pane(reader).state == "empty"
    assert pane(outsider).state == "unconnected"


def test_an_empty_connection_among_full_ones_helps_to_begin(reader: User) -> None:
    full, bare, other = (factories.connection() for _ in range(3))
    make_completion(full)
    shown = pane(reader, f"?q=connection:{bare.slug}")
    assert shown.state == "empty"
    assert [connection for connection, _, _ in shown.first_steps] == [bare]
    for q, state in (
        (f"connection:{full.slug}", "rows"),
        (f"connection:{bare.slug},{other.slug}", "nothing"),
        (f"connection:{bare.slug} model:a", "nothing"),
        (f"-connection:{full.slug}", "nothing"),
        ("connection:nowhere", "nothing"),
    ):
        assert pane(reader, f"?q={q}").state == state, q


def test_a_metadata_key_that_nobody_has_is_named_with_the_one_meant(reader: User) -> None:
    make_completion(metadata={"category": "x", "env": "prod"})
    found = pane(reader, "?q=meta.Categry:x meta.env:prod -meta.envi:y").bar.unknown_keys
    assert [(unknown.key, unknown.near) for unknown, _ in found] == [("Categry", "category")]
    assert pane(reader, found[0][1]).wanted == Filter.parse("meta.category:x meta.env:prod -meta.envi:y")
    assert pane(reader, found[0][1]).state == "rows"
    ((unknown, href),) = pane(reader, "?q=meta.zzz:x").bar.unknown_keys
    assert (unknown.near, href) == ("", "")
    assert pane(reader, "?q=meta.category:y").bar.unknown_keys == []


def test_keys_of_connections_one_may_not_read_are_never_suggested() -> None:
    mine, foreign = factories.connection(), factories.connection()
    make_completion(mine)
    make_completion(foreign, metadata={"codename": "falcon"})
    person = factories.user("near", role="reader", connection=mine)
    ((unknown, _),) = pane(person, "?q=meta.codenam:x").bar.unknown_keys
    assert unknown.near == ""


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        (
            {"kind": Kind.AZURE_V1, "auth": Auth.ENTRA_DEFAULT},
            ["DefaultAzureCredential", "https://ai.azure.com/.default"],
        ),
        ({"kind": Kind.AZURE_V1, "auth": Auth.KEY}, ["AZURE_OPENAI_API_KEY", "base_url="]),
        (
            {"kind": Kind.AZURE_DATED, "auth": Auth.KEY, "api_version": "2025-04-01-preview"},
            ["2025-04-01-preview"],
        ),
        ({"kind": Kind.AZURE_DATED, "auth": Auth.ENTRA_SECRET}, ["azure_ad_token_provider"]),
        ({"kind": Kind.OPENAI}, ["OpenAI()"]),
        (
            {"kind": Kind.COMPATIBLE, "base_url": "https://models.example.com/v1"},
            ["https://models.example.com/v1"],
        ),
    ],
)
def test_the_code_to_begin_with_is_of_this_connection(fields: dict[str, str], parts: list[str]) -> None:
    found = snippets(factories.connection(**fields))
    compile(found[0].code, "snippet", "exec")
    for part in ["store=True", *parts]:
        assert part in found[0].code
    for snippet in found:
        assert "key-of-a-test" not in snippet.code


def test_a_page_takes_the_same_queries_however_many_rows_there_are(reader: User) -> None:
    where, other = factories.connection(), factories.connection()

    def queries(q: str) -> int:
        pane(reader).listing.page(1)  # what is new is read into memory once, whoever asks first
        with CaptureQueriesContext(
            database,
        ) as captured:
            shown = pane(reader, f"?q={q}")
            assert shown.rows
            assert shown.count.n
            assert shown.facets.all
            assert shown.status
            assert shown.bar.chips is not None
        return len(captured)

    def grow(times: int) -> None:
        for n in range(times):
            make_completion((where, other)[n % 2], prompt="find me", metadata={"a": str(n % 3), "b": "x"})

    for q in ("", "meta.b:x", "find", "find meta.b:x tokens:>1 -meta.a:0"):
        grow(8)
        few = queries(q)
        grow(16)
        assert queries(q) == few, q
        assert few <= 40, q


def test_the_secret_of_a_connection_is_never_read(reader: User) -> None:
    make_completion()
    shown = pane(reader)
    assert shown.rows
    assert all("secret" in each.get_deferred_fields() for each in shown.connections)
    assert all(isinstance(each, Connection) for each in shown.connections)


@pytest.mark.django_db
def test_a_count_on_demand_goes_to_the_end_whatever_it_fetches(
    reader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = factories.connection()
    for number in range(6):
        make_completion(where, created=number, prompt="apple")
    monkeypatch.setattr("completions.listing.FETCHED", 2)
    monkeypatch.setattr("completions.lanes.GROUPS", (2, 2))
    listing = Listing(reader, Filter.parse("apple"))
    assert listing.count() == Count(2, exact=False)
    assert listing.count(limit=10**12) == Count(6)
