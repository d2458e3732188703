"""The editor: rows in a form say what the typed filter says, and nothing is lost on the way."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from django.http import QueryDict
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from completions import tree
from completions.editing import filter_of, tree_of
from completions.filters import FIELDS, Filter
from completions.tree import Branch, Line
from portal.models import User
from tests import factories
from tests.factories import make_completion

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], Client]
ADDRESS = "/completions/filter/"

CONDITIONS = st.sampled_from(
    [
        *(field.example for field in FIELDS.values()),
        "model:a,b", "-model:a,b", "model:*", "-model:*", 'model:~"a b"', "-model:x", 'model:""',
        'model:"",a',
        'meta."odd key":"a b"', 'meta."":x', "-meta.k:*", 'meta.k:"\\"quoted\\""', "meta.a__b:x__regex,2024",
        "tokens:5", "tokens:5..9", "tokens:5..", "tokens:..9", "-tokens:<=7", "temperature:0.5..1",
        "created:24h", "created:2026-11-01", "created:>=2026", "created:2026-01..2026-03",
        'created:"2026-11-01 10:00"',
        "word", "begin*", '"two words"', '"two wor"*', "-word", '~"part of"', "/reg ex\\/p/", "prompt:/a|b/",
        "has:tools,image", "is:gone", "id:a/b", "request:*",
        "review:unreviewed", "-review:approved,rejected", "review:*", "-rating:bad", "-same:*", "near:a1,b2",
        "label.q:4,5", "label.q:-3..4", "-label.q:<=-2", 'label.q:"3..4"', 'label."odd name":~"a b"',
        "-label.q:*",
        "reviewed:24h", "-reviewed:*", "reviewed:2026-01..2026-03", "note:begin*", '-correction:"two words"',
    ]
)  # fmt: skip
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.lists(st.lists(inner, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=3).map(
        lambda options: f"({' OR '.join(options)})"
    ) | inner.map(lambda q: f"-({q})"),
    max_leaves=6,
)  # fmt: skip


def post_of(branch: Branch) -> QueryDict:
    """The tree as a browser sends it."""
    form = QueryDict(mutable=True)

    def put(member: Line | Branch) -> None:
        if isinstance(member, Branch):
            form[f"kind.{member.path}"] = member.kind
            for each in member.members:
                put(each)
            return
        form[f"field.{member.path}"] = member.field
        if member.keyed:
            form[f"key.{member.path}"] = member.key
        if not member.is_typed:
            form[f"lookup.{member.path}"] = member.lookup
        form.setlist(f"value.{member.path}", member.values)

    put(branch)
    return form


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(st.lists(FILTERS, max_size=4).map(" ".join))
def test_a_filter_goes_through_the_form_without_loss(q: str) -> None:
    wanted = Filter.parse(q)
    assert wanted.broken == ()
    rows = tree.read(post_of(tree_of(wanted)))
    assert filter_of(rows) == wanted


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(st.text(max_size=40))
def test_what_cannot_be_read_goes_through_as_typed(q: str) -> None:
    wanted = Filter.parse(q)
    made = filter_of(tree.read(post_of(tree_of(wanted))))
    assert made.clauses == wanted.clauses or wanted.broken
    assert len(made.broken) >= bool(wanted.broken)


def rows_of(q: str) -> Branch:
    return tree_of(Filter.parse(q))


def test_buttons_change_the_tree_and_nothing_else() -> None:
    assert filter_of(tree.act(rows_of("a b"), "remove 0.0")).q == "b"
    assert filter_of(tree.act(rows_of("a b"), "add 0")).q == "a b"
    grouped = tree.act(rows_of("a b"), "in 0.1")
    grouped.members[1].members[1].values = ["c"]  # type: ignore[union-attr,index]  # the new row of the group
    grouped.members[1].members[1].field = "text"  # type: ignore[union-attr,index]  # as above
    grouped.members[1].members[1].settle()  # type: ignore[union-attr,index]  # as above
    assert filter_of(grouped).q == "a (b OR c)"
    assert filter_of(tree.act(rows_of("a (b OR c)"), "out 0.1.0")).q == "a c b"
    assert filter_of(tree.act(rows_of("a -(b OR c)"), "out 0.1")).q == "a b c"
    assert filter_of(tree.act(rows_of("a (b OR c)"), "remove 0.1")).q == "a"
    assert filter_of(tree.act(rows_of("a b (c OR d)"), "in 0.1")).q == "a b (c OR d)"


@pytest.mark.parametrize(
    "what",
    ["", "x", "remove", "remove 0", "remove 0.9", "out 0", "out 0.0", "in 0", "add 1", "add 0.0", "add 0.²"],
)
def test_a_button_that_fits_nothing_changes_nothing(what: str) -> None:
    assert filter_of(tree.act(rows_of("a b"), what)).q == "a b"


def test_rows_that_are_not_filled_say_nothing(client_of: SignIn, reader: User) -> None:
    make_completion()
    form = {"kind.0": "all", "field.0.0": "tokens", "lookup.0.0": "between", "value.0.0": ["", ""]}
    answer = client_of(reader).post(ADDRESS, form)
    assert answer.status_code == 200
    assert answer.context["wanted"] == Filter()


def test_a_value_is_never_read_as_the_language(client_of: SignIn, reader: User) -> None:
    client = client_of(reader)
    for value in ("a OR b", "x model:y", '"', "*", "~x", "-x", "(", "/x/", ">5"):
        form = {"kind.0": "all", "field.0.0": "model", "lookup.0.0": "is", "value.0.0": [value]}
        (clause,) = client.post(ADDRESS, form).context["wanted"].clauses
        assert clause.values == (value,)


def test_a_row_that_cannot_be_read_says_why_and_has_no_rows(client_of: SignIn, reader: User) -> None:
    make_completion()
    form = {"kind.0": "all", "field.0.0": "tokens", "lookup.0.0": "is", "value.0.0": ["many"]}
    answer = client_of(reader).post(ADDRESS, form)
    assert answer.context["tree"].members[0].problem
    assert answer.context["count"].n == 0
    assert answer.context["wanted"].broken


def test_the_rows_lead_to_the_address_of_the_filter(client_of: SignIn, reader: User) -> None:
    form = {
        "kind.0": "any", "field.0.0": "model", "lookup.0.0": "any of", "value.0.0": ["a", "b", ""],
        "field.0.1": "meta", "key.0.1": "env", "lookup.0.1": "absent", "act": "show",
        "pane": "q=old&sort=-tokens",
    }  # fmt: skip
    client = client_of(reader)
    answer = client.post(ADDRESS, form)
    assert answer.status_code == 302
    assert parse_qs(urlsplit(answer["Location"]).query) == {
        "q": ["(model:a,b OR -meta.env:*)"],
        "sort": ["-tokens"],
    }
    answer = client.post(ADDRESS, form, headers={"HX-Request": "true", "HX-Target": "builder"})
    assert answer.status_code == 200
    assert "-meta.env" in answer["HX-Location"]


def test_counts_are_of_what_the_person_may_read(client_of: SignIn) -> None:
    mine, foreign = factories.connection(), factories.connection()
    make_completion(mine, model="a")
    make_completion(foreign, model="a")
    person = factories.user(role="reader", connection=mine)
    answer = client_of(person).get(ADDRESS, {"q": "model:a"})
    assert answer.context["count"].n == 1


@pytest.mark.parametrize(
    "form",
    [
        {}, {"kind.0": "x"}, {"field.0.0": "nope"}, {"kind.0.5": "any", "field.0.5.9": "?"},
        {"field.0.0": "model", "lookup.0.0": "at least", "value.0.0": "x"}, {"kind.0" + ".0" * 12: "any"},
        {"field.99999.0": "x"}, {"pane": "q=%FF&after=x"}, {"field.0.0": "?", "value.0.0": '"open'},
    ],
)  # fmt: skip
def test_any_form_gets_an_answer(client_of: SignIn, reader: User, form: dict[str, str]) -> None:
    assert client_of(reader).post(ADDRESS, form).status_code == 200


def test_each_row_says_what_may_be_typed() -> None:
    def shown(q: str) -> tuple[str, bool, bool]:
        (line,) = tree_of(Filter.parse(q)).lines()
        return line.hint, line.proposes, line.is_number

    assert shown("tokens:1..2") == ("number", False, True)
    assert shown("label.q:1..2") == shown("-label.q:>=4") == ("number", False, False)
    assert shown("label.q:4") == shown("review:approved") == ("value", True, False)
    assert shown("reviewed:2026-01..2026-03") == ("2026-11-20", False, False)
    assert shown("note:wrong") == ("text", False, False)
