"""The pane over HTTP: addresses, fragments, permissions, the question before an action."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import quote, quote_plus

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from completions.models import FrozenSelection
from completions.selection import ids_of
from portal.models import User
from tests import factories
from tests.factories import make_completion

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], Client]
HTMX = {"HX-Request": "true", "HX-Target": "panes"}


class Page(HTMLParser):
    """Tags and attributes of an answer."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def having(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.tags if name in attributes]


def test_the_whole_state_of_the_pane_is_its_address(client_of: SignIn, reader: User) -> None:
    make_completion(prompt="wanted", metadata={"odd key": "a b"})
    make_completion(prompt="other", metadata={"odd key": "c"})
    wanted = 'meta."odd key":"a b"'
    address = f"/completions/?q={quote_plus(wanted)}"
    answer = client_of(reader).get(address)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "wanted" in text
    assert "other" not in text
    assert 'data-total="1"' in text


def test_what_is_typed_joins_the_filter_and_leads_to_one_address(client_of: SignIn, reader: User) -> None:
    answer = client_of(reader).get("/completions/", {"q": "model:a", "add": "model:b  word"})
    assert answer.status_code == 302
    assert answer["Location"] == "/completions/?q=model%3Aa%2Cb+word"


def test_a_fragment_holds_the_pane_alone(client_of: SignIn, reader: User) -> None:
    make_completion()
    answer = client_of(reader).get("/completions/", headers=HTMX)
    text = answer.content.decode()
    assert text.lstrip().startswith('<div class="panes" id="panes">')
    assert "<html" not in text
    assert 'hx-target="#counts"' in text, "the counts are asked for afterwards"
    assert 'class="facet"' not in text
    rows = client_of(reader).get("/completions/", headers=HTMX | {"HX-Target": "pane"}).content.decode()
    assert rows.lstrip().startswith('<section class="pane"')
    assert "HX-Request" in answer["Vary"]


def test_going_back_in_history_gets_the_whole_page(client_of: SignIn, reader: User) -> None:
    headers = HTMX | {"HX-History-Restore-Request": "true"}
    assert "<html" in client_of(reader).get("/completions/", headers=headers).content.decode()


@pytest.mark.parametrize("name", ["outsider", "reader"])
def test_rows_of_others_are_not_there(client_of: SignIn, name: str) -> None:
    mine, foreign = factories.connection(), factories.connection()
    hidden = make_completion(foreign, prompt="secret plans", metadata={"codename": "falcon"})
    person = factories.user(name, role="reader" if name == "reader" else "", connection=mine)
    client = client_of(person)
    for address in ("/completions/", "/completions/?q=secret", "/completions/?q=meta.codename:falcon"):
        text = client.get(address).content.decode()
        assert f"row-{hidden.pk}" not in text
        assert "secret plans" not in text
        assert foreign.name not in text
    assert "codename" not in client.get("/completions/").content.decode()
    answer = client.get(f"/completions/{foreign.slug}/{hidden.upstream_id}/")
    assert answer.status_code == 404


@pytest.mark.parametrize("address", ["/completions/", "/completions/news/", "/completions/a/b/"])
def test_nobody_looks_without_signing_in(client: Client, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 302
    assert "/accounts/login/" in answer["Location"]


def test_a_connection_in_trouble_is_named_with_the_reason(client_of: SignIn, reader: User) -> None:
    where = factories.connection(
        "East", state="attention", last_error={"message": "The key was <b>revoked</b>."}
    )
    make_completion(where)
    text = client_of(reader).get("/completions/").content.decode()
    assert "East needs attention" in text
    assert "The key was &lt;b&gt;revoked&lt;/b&gt;." in text


def test_who_may_act_can_ask_for_new_rows(client_of: SignIn, reader: User, builder: User) -> None:
    where = factories.connection()
    make_completion(where)
    address = f'action="/completions/{where.slug}/health/sync/"'
    assert address in client_of(builder).get("/completions/").content.decode()
    assert address not in client_of(reader).get("/completions/").content.decode()


def test_news_tell_how_many_rows_came(client_of: SignIn, reader: User) -> None:
    where = factories.connection()
    make_completion(where)
    client = client_of(reader)
    assert "new row" not in client.get("/completions/news/?seen=1").content.decode()
    make_completion(where)
    make_completion(where)
    assert "2 new rows" in client.get("/completions/news/?seen=1").content.decode()
    for nonsense in ("", "x", "-1", "9" * 40):
        address = {"seen": nonsense, "since": nonsense}
        assert client.get("/completions/news/", address).status_code == 200


def test_news_are_told_under_a_filter_that_is_not_counted_to_its_end(client_of: SignIn, reader: User) -> None:
    where = factories.connection()
    make_completion(where, created=100, prompt="apple")
    client = client_of(reader)
    address = "/completions/news/?q=apple&since=100.1"
    assert "new row" not in client.get(address).content.decode()
    make_completion(where, created=200, prompt="apple")
    make_completion(where, created=201, prompt="pear")
    told = client.get(address).content.decode()
    assert "1 new row<" in told
    assert 'href="/completions/?q=apple"' in told


def test_columns_that_were_chosen_become_an_address(client_of: SignIn, reader: User) -> None:
    make_completion(prompt="x", metadata={"odd, key": "y"})
    client = client_of(reader)
    dialog = client.get("/completions/columns/?q=x&sort=-tokens", headers=HTMX | {"HX-Target": "dialog"})
    names = [
        attributes["value"] or ""
        for attributes in Page(dialog.content.decode()).having("value")
        if attributes.get("name") == "column" and attributes.get("class") == "cb"
    ]
    assert names[:3] == ["created", "text", "model"]
    assert "meta.odd%2C%20key" in names
    answer = client.get(
        "/completions/", {"q": "x", "sort": "-tokens", "column": ["meta.odd%2C%20key", "text", "nothing"]}
    )
    assert answer.status_code == 302
    found = client.get(answer["Location"])
    assert "sort=-tokens" in answer["Location"]
    assert ">odd, key<" in found.content.decode()
    names = ["created", "text", "model", "metadata", "tokens", "finish", "review"]
    usual = client.get("/completions/", {"column": names})
    assert usual["Location"] == "/completions/"


def test_a_day_becomes_a_place_in_the_list(client_of: SignIn, reader: User) -> None:
    make_completion(created=1_795_132_700, prompt="the day before")
    make_completion(created=1_795_219_300, prompt="the day after")
    client = client_of(reader)
    answer = client.get("/completions/", {"at": "2026-11-20", "q": "day"}, follow=True)
    text = answer.content.decode()
    assert "the <mark>day</mark> before" in text
    assert "the <mark>day</mark> after" not in text
    assert client.get("/completions/", {"at": "someday"}).status_code == 200


def test_who_waits_for_it_gets_the_whole_count(client_of: SignIn, reader: User) -> None:
    for _ in range(3):
        make_completion(prompt="apple")
    assert client_of(reader).get("/completions/count/?q=apple").content.decode() == "1 to 3 of 3"


NASTY = '<img src=x onerror=alert(1)>" onmouseover="x" hx-get="/x" {{ 7|add:7 }} \u202e\x7f'


def test_what_models_and_users_wrote_is_text_and_nothing_else(client_of: SignIn, reader: User) -> None:
    made = make_completion(
        prompt=NASTY, answer=NASTY, model=NASTY, finish_reason=NASTY[:60], metadata={NASTY: NASTY, "": ""}
    )
    client = client_of(reader)
    for address in (
        "/completions/",
        f"/completions/?q={quote_plus(NASTY)}",
        "/completions/?q=onerror",
        f"/completions/?columns=prompt,answer,model,finish,id,{quote_plus('meta.' + quote(NASTY, safe=''))}",
        "/completions/columns/",
        f"/completions/{made.connection.slug}/{made.upstream_id}/",
        f"/completions/{made.connection.slug}/{made.upstream_id}/?tab=details",
        f"/completions/{made.connection.slug}/{made.upstream_id}/?tab=json&text=raw",
    ):
        answer = client.get(address)
        page = Page(answer.content.decode())
        assert answer.status_code == 200
        for name in ("onerror", "onmouseover", "style", "onclick"):
            assert page.having(name) == [], address
        assert all(attributes.get("hx-get") != "/x" for _, attributes in page.tags)
        assert all(attributes.get("src") != "x" for _, attributes in page.tags)
        assert "14" not in [attributes.get("value") for _, attributes in page.tags]


def test_hidden_characters_of_every_column_are_spelled_out(client_of: SignIn, reader: User) -> None:
    nasty = "a\u202eb"
    more = {f"key{n}": nasty for n in range(6)}
    make_completion(prompt=nasty, answer=nasty, model=nasty, finish_reason=nasty, metadata=more)
    assert "\u202e" not in client_of(reader).get("/completions/").content.decode()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    q=st.text(max_size=40),
    after=st.text(max_size=12)
    | st.from_regex(r"-?[0-9]{1,19}\.[0-9]{1,18}(\.-?[0-9]{1,19})?", fullmatch=True),
    before=st.text(max_size=12),
    shown=st.fixed_dictionaries(
        {},
        optional={
            "sort": st.sampled_from(["tokens", "-length", "created", "x"]),
            "columns": st.text(max_size=30) | st.text(max_size=8).map(lambda key: f"meta.{key},id:70"),
            "view": st.text(max_size=8),
            "at": st.text(max_size=8) | st.dates().map(str),
        },
    ),
)
def test_no_address_breaks_the_pane(
    client_of: SignIn, q: str, after: str, before: str, shown: dict[str, str]
) -> None:
    person = User.objects.filter(username="anybody").first() or factories.user("anybody", "reader")
    if not person.grants.filter(connection=None).exists():
        factories.grant(person, "reader")
    address = {"q": q, "after": after, "before": before} | shown
    address = {name: value.encode("utf-8", "replace").decode() for name, value in address.items()}
    make_completion(prompt=q.replace("\0", ""), metadata={"k": "v"})
    answer = client_of(person).get("/completions/", address, follow=True)
    assert answer.status_code == 200


def test_an_empty_connection_shows_its_code_and_a_way_to_store_a_test(
    client_of: SignIn, reader: User, builder: User
) -> None:
    make_completion(factories.connection())
    bare = factories.connection("Bare")
    here = f"/completions/?q=connection%3A{bare.slug}"
    text = client_of(builder).get(here).content.decode()
    assert "No stored completions yet on Bare" in text
    assert "store=True" in text
    assert "DefaultAzureCredential" in text
    assert "AZURE_OPENAI_API_KEY" in text
    assert f'action="/connections/{bare.slug}/store-test/"' in text
    assert f'name="next" value="{here}"' in text
    assert (
        f'action="/connections/{bare.slug}/store-test/"' not in client_of(reader).get(here).content.decode()
    )
    link = f'href="{here}"'
    assert link in client_of(reader).get(f"/connections/{bare.slug}/").content.decode()
    make_completion(bare)
    assert link not in client_of(reader).get(f"/connections/{bare.slug}/").content.decode()


def test_a_key_that_nobody_has_is_told_with_a_link(client_of: SignIn, reader: User) -> None:
    make_completion(metadata={"category": "x"})
    text = client_of(reader).get("/completions/?q=meta.categry:x").content.decode()
    told = " ".join(re.sub(r"<[^>]+>", "", text).split())
    assert "No visible completion has the key “categry”. Did you mean “category”?" in told
    assert 'href="/completions/?q=meta.category%3Ax"' in text


# The question before Distill and Evaluate.


def ask(client: Client, fields: dict[str, str], *, htmx: bool = True) -> tuple[int, str]:
    answer = client.post(
        "/completions/select/",
        {"mode": "ids", "ids": "", "excluded": "", "q": "", "for": "distill"} | fields,
        headers={"HX-Request": "true", "HX-Target": "dialog"} if htmx else {},
    )
    return answer.status_code, answer.content.decode()


def test_the_question_says_exactly_what_is_frozen(client_of: SignIn, builder: User) -> None:
    rows = [make_completion(metadata={"c": "x"}).pk for _ in range(5)]
    client = client_of(builder)
    status, text = ask(client, {"mode": "all", "q": "meta.c:x", "excluded": f"{rows[0]},{rows[2]}"})
    make_completion(metadata={"c": "x"})
    frozen = FrozenSelection.objects.get()
    assert status == 200
    assert "Distill 3 completions?" in text
    assert f'href="/distill/new/{frozen.pk}/"' in text
    assert sorted(ids_of(frozen)) == [rows[1], rows[3], rows[4]]


def test_evaluate_leads_to_its_own_wizard(client_of: SignIn, builder: User) -> None:
    row = make_completion()
    _, text = ask(client_of(builder), {"ids": str(row.pk), "for": "evaluate"})
    assert f'href="/evaluate/new/{FrozenSelection.objects.get().pk}/"' in text
    assert "Evaluate 1 completion?" in text


def test_without_scripts_the_question_is_a_page(client_of: SignIn, builder: User) -> None:
    row = make_completion()
    status, text = ask(client_of(builder), {"ids": str(row.pk)}, htmx=False)
    assert status == 200
    assert "<html" in text
    assert "Distill 1 completion?" in text


def test_who_may_only_read_is_told_what_is_missing(client_of: SignIn) -> None:
    mine, shared = factories.connection("Mine"), factories.connection("Shared")
    person = factories.user(role="builder", connection=mine)
    factories.grant(person, "reader", shared)
    rows = [make_completion(where).pk for where in (mine, shared)]
    client = client_of(person)
    _, both = ask(client, {"ids": ",".join(map(str, rows))})
    assert [attributes for tag, attributes in Page(both).tags if tag == "button" and "disabled" in attributes]
    assert "Shared" in both
    assert "role builder on Shared" in " ".join(both.split())
    _, own = ask(client, {"ids": str(rows[0])})
    assert "disabled" not in own


@pytest.mark.parametrize(
    "fields",
    [
        {"ids": ""},
        {"ids": "999999"},
        {"ids": "1;drop"},
        {"mode": "all", "q": "modle:x"},
        {"mode": "all", "q": "model:nowhere"},
        {"mode": "all", "excluded": ",".join(str(n) for n in range(1002))},
    ],
)
def test_what_cannot_be_selected_is_refused_with_the_reason(
    client_of: SignIn, builder: User, fields: dict[str, str]
) -> None:
    make_completion()
    status, text = ask(client_of(builder), fields)
    assert status == 422
    assert "Nothing to distill" in text
    assert not FrozenSelection.objects.exists()


def test_asking_takes_a_token_against_forgery(builder: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(builder, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.post("/completions/select/", {"mode": "all"}).status_code == 403
    assert client.get("/completions/select/").status_code in (404, 405)
