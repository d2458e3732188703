"""The filter: written and read back the same, told in words, never wider than meant."""

import re
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from completions import readings
from completions.filters import FIELDS, Filter, Group
from completions.filters.fields import FLAGS
from completions.filters.grammar import MOST_CHARS, MOST_CONDITIONS, MOST_DEPTH
from completions.filters.language import quote
from completions.filters.lookups import AnyOf, Contains, Moments, Numbers, Pattern, Present, Words
from tests.completions.filtering import FRAGMENTS, filters

EVERYTHING = (
    'model:gpt-4o -meta.category:test meta."odd key":"a b" connection:sandbox created:7d'
    " created:2026-11-01..2026-11-10 created:>2026-11-01 has:text_cut is:gone tokens:>500 finish:stop"
    ' "exact phrase" word prefix* -meta.env:* temperature:0.5..1 answer:~"a b" system:/pirates?/ ~part'
    " (tool:get_weather OR -(language:de turns:>=3)) -(format:json_object OR refund)"
)

# Every field, each way to compare it, and what that means.
FIELD_ROWS = [
    ("model", "model:gpt-4o,gpt-4o-mini", AnyOf(("gpt-4o", "gpt-4o-mini"))),
    ("connection", "connection:sandbox", AnyOf(("sandbox",))),
    ("meta", "meta.category:*", Present()),
    ("created", "created:7d", Moments("7d", last=7 * 86_400)),
    ("finish", "finish:~leng", Contains("leng")),
    ("tokens", "tokens:>500", Numbers(">500", 501, None)),
    ("prompt_tokens", "prompt_tokens:<=200", Numbers("<=200", None, 200)),
    ("completion_tokens", "completion_tokens:100..200", Numbers("100..200", 100, 200)),
    ("turns", "turns:>=3", Numbers(">=3", 3, None)),
    ("length", "length:<20", Numbers("<20", None, 19)),
    ("temperature", "temperature:0.7", Numbers("0.7", 0.7, 0.7)),
    ("language", "language:*", Present()),
    ("format", "format:json_schema", AnyOf(("json_schema",))),
    ("tool", "tool:get_weather", AnyOf(("get_weather",))),
    ("id", "id:chatcmpl-abc", AnyOf(("chatcmpl-abc",))),
    ("request", "request:*", Present()),
    ("has", "has:tools,json", AnyOf(("tools", "json"))),
    ("is", "is:gone", AnyOf(("gone",))),
    ("review", "review:unreviewed,approved", AnyOf(("unreviewed", "approved"))),
    ("rating", "rating:good", AnyOf(("good",))),
    ("label", "label.quality:>=4", Numbers(">=4", 4, None)),
    ("reviewer", "reviewer:~ale", Contains("ale")),
    ("reviewed", "reviewed:24h", Moments("24h", last=86_400)),
    ("note", "note:wrong*", Words("wrong", begins=True)),
    ("correction", 'correction:"at your service"', Words("at your service")),
    ("same", "same:*", Present()),
    ("near", "near:a1,b2", AnyOf(("a1", "b2"))),
    ("alike", "alike:*", Present()),
    ("thread", "thread:a1", AnyOf(("a1",))),
    ("prompt", "prompt:invoi*", Words("invoi", begins=True)),
    ("answer", 'answer:~"not found"', Contains("not found")),
    ("system", r"system:/a\/b c/", Pattern("a/b c")),
    ("text", '"exact phrase"', Words("exact phrase")),
]


@pytest.mark.parametrize(("name", "q", "lookup"), FIELD_ROWS, ids=[row[0] for row in FIELD_ROWS])
def test_every_field_is_read(name: str, q: str, lookup: object) -> None:
    for text, negated in ((q, False), (f"-{q}", True), (f"NOT {q}", True)):
        (clause,) = Filter.parse(text).leaves()
        assert (clause.field.name, clause.lookup, clause.negated) == (name, lookup, negated)
        assert clause.q == f"{'-' * negated}{q}"
    assert FIELDS[name].lookups


def test_a_canonical_filter_is_written_as_it_was_read() -> None:
    assert Filter.parse(EVERYTHING).q == EVERYTHING
    assert not Filter.parse(EVERYTHING).broken


@pytest.mark.parametrize(
    ("q", "canonical"),
    [
        ("a b OR c", "(a b OR c)"),
        ("(a b) c", "a b c"),
        ("((a OR b) OR c)", "(a OR b OR c)"),
        ("(a OR a)", "a"),
        ("NOT (a OR b)", "-(a OR b)"),
        ("-(a)", "-a"),
        ("NOT NOT a", "a"),
        ("-(-(a b))", "a b"),
        ("-(-a OR (b))", "-(-a OR b)"),
        ("(a)(b)", "a b"),
        ("print(x) (print(x) OR y)", '"print(x)" ("print(x)" OR y)'),
        ("(model:f(x) OR model:b)", '(model:"f(x)" OR model:b)'),
        ("text:word -text:~part", "word -~part"),
        ("tokens:5.. created:..2026", "tokens:>=5 created:<=2026"),
        ("a or b", 'a "or" b'),
        ("MODEL:x HAS:IMAGE", "model:x has:image"),
        ("model:a tokens:>1 model:b model:a tokens:<9", "model:a,b tokens:>1 tokens:<9"),
        ("-model:a -model:b", "-model:a,b"),
        ("has:image has:tools tool:a tool:b", "has:image has:tools tool:a tool:b"),
        ("model:* model:a model:b", "model:* model:a,b"),
        ("(model:a model:b OR x)", "(model:a,b OR x)"),
    ],
)
def test_equal_filters_are_written_equally(q: str, canonical: str) -> None:
    wanted = Filter.parse(q)
    assert not wanted.broken
    assert wanted.q == canonical
    assert Filter.parse(canonical) == wanted


@pytest.mark.parametrize(
    ("q", "told"),
    [
        ("", "all stored completions"),
        ("model:a", "model is a"),
        ("model:a,b", "model is one of a, b"),
        ("-model:a,b", "model is none of a, b"),
        ("-meta.user:x", "user is not x"),
        ("meta.model:x", "metadata “model” is x"),
        ('meta."a or b":"c, d"', "metadata “a or b” is “c, d”"),
        ('model:""', "model is (empty)"),
        ("-meta.env:*", "env is absent"),
        ("created:24h -created:1d", "created in the last 24 hours and created not in the last day"),
        ("created:..2026-11-10", "created until 2026-11-10"),
        ("created:2026-11-10 created:2026-11", "created on 2026-11-10 and created in 2026-11"),
        ("tokens:100.. has:tools", "tokens is at least 100 and has tool calls"),
        ("-tokens:1..2 -has:image", "tokens is not from 1 to 2 and does not have an image"),
        ("has:image,json", "has at least one of an image, an answer that is JSON"),
        (
            '-"not this" is:pending',
            "text does not contain the words “not this” and is waiting for its messages",
        ),
        ("begin* answer:~b", "text contains a word beginning with “begin” and answer contains the text “b”"),
        ("-/a b/", "text does not match the pattern /a b/"),
        ("model:a OR is:gone", "either model is a or is gone upstream"),
        ("model:a is:gone OR turns:1", "either (model is a and is gone upstream) or user messages is 1"),
        (
            "model:a (is:gone OR is:pending)",
            "model is a and (either is gone upstream or is waiting for its messages)",
        ),
        ("-(model:a OR is:gone)", "not (either model is a or is gone upstream)"),
        ("-(model:a is:gone)", "not (model is a and is gone upstream)"),
        (
            "(model:a OR turns:1 (turns:2 OR -(turns:3 turns:4)))",
            "either model is a or (user messages is 1 and (either user messages is 2 or"
            " not (user messages is 3 and user messages is 4)))",
        ),
    ],
)  # fmt: skip
def test_a_filter_is_told_in_words(q: str, told: str) -> None:
    assert Filter.parse(q).describe() == told


@settings(max_examples=300, deadline=None)
@given(filters(), filters())
def test_no_two_filters_are_told_alike(one: str, other: str) -> None:
    first, second = Filter.parse(one), Filter.parse(other)
    if first != second:
        assert first.describe() != second.describe()


# What cannot be read.


@pytest.mark.parametrize(
    ("q", "instead"),
    [
        ("modle:gpt-4o", "model:gpt-4o"),
        ('-conection:"a b"', '-connection:"a b"'),
        ("has:imge", "has:image"),
        ("has:gone", "is:gone"),
        ("is:image,gone", "has:image"),
        ("-is:gon", "-is:gone"),
        ("-state:approved", "-review:approved"),
        ("status:open", "meta.status:open"),
        ("review:aproved", "review:approved"),
        ("is:unreviewed", "review:unreviewed"),
        ("review:good", "rating:good"),
        ("labels.tone:formal", "label.tone:formal"),
        ("label:tone:formal", "label.tone:formal"),
        ("label.quality>=4", "label.quality:>=4"),
        ("label.quality:≥4", "label.quality:>=4"),
        ("label.quality:5..3", "label.quality:3..5"),
        ("reviewed:today", "reviewed:1d"),
        ("note:~wron", "note:wron*"),
        ("notes:wrong", "note:wrong"),
        ("duplicates:*", "same:*"),
        ("https://example.org/x", '"https://example.org/x"'),
        ("/v1/chat", '"/v1/chat"'),
        ("/v1/chat/x", '"/v1/chat/x"'),
        ("category:test", "meta.category:test"),
        ("finish_reason:stop", "finish:stop"),
        ("-OR", '-"or"'),
        ("model:a,", '"model:a,"'),
        ("meta:x", ""),
        ("meta:x:y", "meta.x:y"),
        ("model.x:y", '"model.x:y"'),
        ("-metadata.user:x", "-meta.user:x"),
        ("model=x", "model:x"),
        ("-model!=x", "model:x"),
        ("meta.a!=y", "-meta.a:y"),
        ("tokens>=5", "tokens:>=5"),
        ("model:=x", "model:x"),
        ("model:!=x", "-model:x"),
        ("model:>5", 'model:">5"'),
        ("model:gpt*", "model:~gpt"),
        ("model:/gpt/", "model:~gpt"),
        ("model:(a OR b)", "model:a,b"),
        ("model: a", "model:a"),
        ("model:~a,b", ""),
        ("prompt:>5", "prompt:5"),
        ("prompt:a,b", ""),
        ("prompt:*", ""),
        ("id:*", ""),
        ("tokens:1k", "tokens:1000"),
        ("tokens:1,000", "tokens:1000"),
        ("tokens:10-20", "tokens:10..20"),
        ("tokens:!=5", "-tokens:5"),
        ("tokens:9..1", "tokens:1..9"),
        ("tokens:0.5", "tokens:0"),
        ("tokens:99999999999999999", ""),
        ("tokens:1,2", ""),
        ("temperature:.5", "temperature:0.5"),
        ("temperature:nan", ""),
        ("created:2026-02-30", ""),
        ("created:yesterday", "created:2d"),
        ("created:2026/1/5", "created:2026-01-05"),
        ('created:"last 7 days"', "created:7d"),
        ("created:0000", ""),
        ("created:2026-11-10..2026-11-01", "created:2026-11-01..2026-11-10"),
        ("meta.x:a*", "meta.x:~a"),
        ("%%", '~"%%"'),
        ('prompt:"…"', 'prompt:~"…"'),
        ("-", "~-"),
        ("~", ""),
        ("//", ""),
        ("/(a/", '~"(a"'),
        (r"/(?<=a)b/", '~"(?<=a)b"'),
        (r"/(a)\1/", r'~"(a)\\1"'),
        ("/a{2000}/", '~"a{2000}"'),
        (f"/{'a' * 501}/", ""),
        ('(modle:x OR -(is:gon "y"))', "(model:x OR -(is:gone y))"),
        ("NOT modle:x", "-model:x"),
    ],
)
def test_a_condition_that_cannot_be_read_stays_visible(q: str, instead: str) -> None:
    wanted = Filter.parse(f"{q} model:gpt-4o")
    assert [broken.q for broken in wanted.broken] == [q]
    assert wanted.q == f"model:gpt-4o {q}"
    assert wanted.broken[0].problem
    assert wanted.broken[0].instead == instead
    assert not Filter.parse(instead).broken


@pytest.mark.parametrize(
    ("q", "instead"),
    [
        ("model:a AND is:gone", "model:a is:gone"),
        ("a && b || c", "(a b OR c)"),
        ("model = x", "model:x"),
        ("model != x y", "-model:x y"),
        ("tokens > 5", "tokens:>5"),
        ("(a or b)", "(a OR b)"),
        ("(a) and (b)", "a b"),
        ("x not (a b)", "x -(a b)"),
        ("model:a or model:b", "(model:a OR model:b)"),
        ("(a b", "a b"),
        ("(a OR (b c", "(a OR b c)"),
        ("a) b", "a b"),
        ("foo(bar", '"foo(bar"'),
        ("a OR", "a"),
        ("OR a", "a"),
        ("a OR OR b", "(a OR b)"),
        ("() a", "a"),
        ("a NOT", "a"),
        ("modle:x OR b", "(model:x OR b)"),
        ("(" * (MOST_DEPTH + 1) + "a" + ")" * (MOST_DEPTH + 1), ""),
        (" ".join(f"turns:{n}" for n in range(MOST_CONDITIONS + 1)), ""),
        ("x" * (MOST_CHARS + 1), ""),
    ],
)
def test_a_text_that_does_not_hang_together_is_kept_whole(q: str, instead: str) -> None:
    wanted = Filter.parse(q)
    assert not wanted.clauses
    assert [broken.q for broken in wanted.broken] == [q]
    assert wanted.broken[0].problem
    assert wanted.broken[0].instead == instead
    assert Filter.parse(wanted.q) == wanted


def test_groups_may_be_as_deep_and_filters_as_long_as_is_said() -> None:
    deep = "a"
    for n in range(MOST_DEPTH):
        deep = f"-(b{n} {deep})"
    assert not Filter.parse(deep).broken
    assert Filter.parse(f"x OR {deep}").broken
    assert not Filter.parse(" ".join(f"turns:{n}" for n in range(MOST_CONDITIONS))).broken
    for piled in ("(" * 3999 + "a", "model:(" * 571, "-(a OR " * 500, "a OR " * 799 + "a", "((NOT " * 600):
        assert Filter.parse(piled).broken
        assert Filter.parse(Filter.parse(piled).q) == Filter.parse(piled)
    assert Filter.parse("NOT " * 997 + "a").q == "-a"


def test_an_open_quote_takes_what_follows() -> None:
    (broken,) = Filter.parse('model:a "open quote model:b').broken
    assert broken.instead == '"open quote model:b"'
    (broken,) = Filter.parse("model:a /open pattern model:b").broken
    assert broken.instead == "/open pattern model:b/"


def test_patterns_are_compiled_as_they_are_matched() -> None:
    (clause,) = Filter.parse(r"/caf[ée]\/x (\d+)/").leaves()
    assert isinstance(clause.lookup, Pattern)
    assert clause.lookup.compiled.search("A CAFÉ/X 12")
    assert not clause.lookup.compiled.search("café x 12")
    assert Pattern.of(r"a\/b") == Pattern("a/b")


# What lists, counts and links need.


def test_a_filter_is_changed_by_making_another() -> None:
    first = Filter.parse('model:a meta."odd key":x (model:b OR c) word')
    name = 'meta."odd key"'
    assert first.toggle("model", "b").q == 'model:a,b meta."odd key":x (model:b OR c) word'
    assert first.toggle("model", "a").q == 'meta."odd key":x (model:b OR c) word'
    assert first.only(name, "y").q == 'model:a meta."odd key":y (model:b OR c) word'
    assert first.exclude(name, "x").q == 'model:a -meta."odd key":x (model:b OR c) word'
    assert first.exclude(name, "x").toggle(name, "x").q == first.q
    assert first.without(name).q == "model:a (model:b OR c) word"
    assert first.without_part(first.clauses[0]).q == f"{name}:x (model:b OR c) word"
    assert first.without_part(first.clauses[2]).q == f"model:a {name}:x word"
    assert first.with_(Filter.parse("a OR b").clauses[0]).q == f"{first.q} (a OR b)"
    assert first.values(name) == ("x",)
    assert first.values("model") == ("a",)
    assert first.q == 'model:a meta."odd key":x (model:b OR c) word'


def test_a_filter_knows_its_conditions_however_deep() -> None:
    wanted = Filter.parse('model:a (meta.x:* OR -(finish:stop ~"b" word)) has:nul,image created:>2026')
    assert [clause.q for clause in wanted.leaves()] == [
        "model:a", "meta.x:*", "finish:stop", "~b", "word", "has:nul,image", "created:>2026",
    ]  # fmt: skip
    assert [clause.q for clause in wanted.text_leaves()] == ["~b", "word"]
    assert wanted.names() == ("model", "meta.x", "finish", "text", "has", "created")
    assert wanted.term_names() == (("model", "", "a"), ("finish", "", "stop"), ("flag", "", "nul"))
    assert [clause.field_name for clause in list(wanted.leaves())[:2]] == [
        ("field", "model", ""),
        ("field", "metadata.x", ""),
    ]
    assert isinstance(wanted.clauses[1], Group)
    assert wanted.bounds(0) == (1798761600, None)
    assert Filter.parse("(created:2026 OR a)").bounds(0) == (None, None)
    assert Filter.parse("reviewed:2026").bounds(0) == (None, None)
    assert (
        Filter.parse("meta.a:1 (meta.a:2 OR x)").renamed("meta.a", "meta.b").q == "meta.b:1 (meta.b:2 OR x)"
    )


def test_decimals_are_compared_to_the_last_digit() -> None:
    for q, inside, outside in (
        ("temperature:>0.7", 0.7000000000000001, 0.7),
        ("temperature:<0.7", 0.6999999999999999, 0.7),
        ("temperature:0.7", 0.7, 0.7000000000000001),
    ):
        (clause,) = Filter.parse(q).leaves()
        assert isinstance(clause.lookup, Numbers)
        low, high = clause.lookup.low, clause.lookup.high
        low, high = -inf if low is None else low, inf if high is None else high
        assert low <= inside <= high
        assert not low <= outside <= high


def test_absence_of_a_review_has_a_name() -> None:
    (clause,) = Filter.parse("review:unreviewed,approved").leaves()
    assert clause.asks_for_nothing
    assert clause.term_names() == (("review", "", "approved"),)
    assert clause.describe() == "review is one of unreviewed, approved"
    for q in ("review:approved", "-review:rejected", 'meta.a:""', 'label.a:""'):
        assert not next(Filter.parse(q).leaves()).asks_for_nothing, q


def test_answers_are_values_or_numbers_as_they_are_written() -> None:
    for q, written, told in (
        ("label.q:4", "label.q:4", "label q is 4"),
        ("label.q:-3..4", "label.q:-3..4", "label q is from -3 to 4"),
        ("label.q:<=-2", "label.q:<=-2", "label q is at most -2"),
        ('label.q:"3..4"', 'label.q:"3..4"', "label q is 3..4"),
        ('label.q:">4",x', 'label.q:">4",x', "label q is one of “>4”, x"),
        ('LABEL."a b":y', 'label."a b":y', "label “a b” is y"),
    ):
        wanted = Filter.parse(q)
        assert (wanted.broken, wanted.q, wanted.describe()) == ((), written, told)
        assert Filter.parse(written) == wanted
    mixed = Filter.parse("label.a:1 meta.a:1")
    assert mixed.renamed("label.a", "label.b").q == "label.b:1 meta.a:1"
    assert mixed.without("label.a").q == "meta.a:1"
    assert mixed.toggle(Filter.label("a"), "2").q == "label.a:1,2 meta.a:1"


def test_a_key_called_like_a_field_is_still_metadata() -> None:
    (clause,) = Filter.parse("meta.model:x").leaves()
    assert (clause.field.name, clause.key, clause.name) == ("meta", "model", "meta.model")


def test_every_field_has_an_example_that_can_be_read() -> None:
    for field in FIELDS.values():
        (clause,) = Filter.parse(field.example).leaves()
        assert clause.field is field
        assert clause.q == field.example


def test_every_flag_that_is_set_can_be_asked_for() -> None:
    source = Path(readings.__file__).read_text()
    assert set(re.findall(r'flags\.add\("(\w+)"\)', source)) <= set(FLAGS)


def test_filters_are_values() -> None:
    wanted = Filter.parse("model:a (b OR c)")
    assert wanted == Filter.parse("model:a (b OR c)")
    assert hash(wanted) == hash(Filter.parse("model:a (b OR c)"))
    assert replace(wanted, clauses=()) == Filter()


# Whatever is typed.


@settings(max_examples=800, deadline=None)
@example("model: (a OR b)<model:")
@given(FRAGMENTS)
def test_whatever_is_typed_is_read_back_the_same(q: str) -> None:
    wanted = Filter.parse(q)
    again = Filter.parse(wanted.q)
    assert again == wanted
    assert again.q == wanted.q
    assert wanted.describe()
    if q.strip():
        assert wanted, "nothing that is typed is dropped"
    for broken in wanted.broken:
        assert broken.problem
        assert not Filter.parse(broken.instead).broken


@settings(max_examples=300, deadline=None)
@given(filters())
def test_whatever_is_meant_is_read_back_the_same(q: str) -> None:
    wanted = Filter.parse(q)
    assert not wanted.broken
    assert Filter.parse(wanted.q) == wanted
    assert Filter.parse(wanted.q).q == wanted.q


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12), st.lists(st.text(max_size=12), min_size=1, max_size=3), st.booleans())
def test_any_key_and_any_value_can_be_written(key: str, values: list[str], negated: bool) -> None:
    q = "-" * negated + f"meta.{quote(key)}:" + ",".join(quote(value) for value in values)
    (clause,) = Filter.parse(q).leaves()
    assert clause.key == readings.clean(key)
    assert clause.values == tuple(dict.fromkeys(readings.clean(value) for value in values))
    assert clause.negated is negated
    assert Filter.parse(Filter.parse(q).q) == Filter.parse(q)
