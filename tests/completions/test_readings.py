"""Whatever a list holds: it is read, repaired and flagged, or it says why it cannot be stored."""

import json
from typing import Any

import pytest
from django.db import connection as database
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from completions import absorbing, readings
from completions.models import StoredCompletion
from completions.readings import LARGEST, Reading, Unstorable, clean, read, term_of
from completions.terms import Dictionary
from tests import factories
from tests.completions.mirroring import check_whole

ITEM: dict[str, Any] = {
    "id": "c1",
    "created": 1_700_000_000,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
}


def reading(value: dict[str, Any], messages: list[dict[str, Any]] | None = None) -> Reading:
    body = json.dumps(value).encode()
    pages = None if messages is None else [json.dumps({"data": messages}).encode()]
    state = "pending" if messages is None else "ok"
    found = read(body, value, pages=pages, messages=messages, state=state)  # type: ignore[arg-type]  # one of two
    assert isinstance(found, Reading), found
    return found


@pytest.mark.parametrize(
    "created", [None, True, "soon", 1e400, float("nan"), 2**63, -(2**63) - 1, {}, "9" * 19]
)
def test_a_moment_that_no_column_takes_is_none(created: Any) -> None:
    body = {**ITEM, "created": created}
    found = read(b"{}", body, pages=None, messages=None, state="pending")
    assert isinstance(found, Unstorable)
    assert "creation time" in found.reason


@pytest.mark.parametrize("created", [0, -1, 1_700_000_000.0, "1700000000", LARGEST])
def test_a_moment_is_taken_in_each_form_that_makes_sense(created: Any) -> None:
    assert reading({**ITEM, "created": created}).columns["created"] == int(created)


@pytest.mark.parametrize("name", ["", None, 7, "x" * 201, "nul\x00", "half \ud800"])
def test_an_id_that_no_column_takes_is_none(name: Any) -> None:
    assert isinstance(
        read(b"{}", {**ITEM, "id": name}, pages=None, messages=None, state="pending"), Unstorable
    )


def test_flags_name_what_was_repaired_and_nothing_else() -> None:
    assert reading(ITEM, [{"role": "user", "content": "hi"}]).columns["flags"] == []
    poisoned = {**ITEM, "metadata": {"a": "x\x00y", "b": "\ud800"}, "seed": 2**63, "top_p": float("inf")}
    found = reading(poisoned).columns
    assert found["flags"] == ["big_number", "not_finite", "nul", "surrogate"]
    assert found["metadata"] == {"a": "x\ufffdy", "b": "\ufffd"}
    harmless = {**ITEM, "metadata": {"note": "NaN, Infinity and \\u0000 are only words here, 1e400 too"}}
    assert reading(harmless).columns["flags"] == []


def test_bytes_that_are_not_utf_8_are_flagged_and_kept() -> None:
    body = json.dumps(ITEM).encode().replace(b"hello", b"h\xffllo")
    value = json.loads(body.decode("utf-8", "surrogateescape"))
    found = read(body, value, pages=None, messages=None, state="pending")
    assert isinstance(found, Reading)
    assert found.columns["flags"] == ["invalid_utf8"]
    assert found.item == body
    assert found.texts.answer == "h\ufffdllo"


def test_long_metadata_fits_an_index_row() -> None:
    key, value = term_of("k" * 500, "\U0001f984" * 2000)
    assert len(key.encode()) <= 400
    assert len(value.encode()) <= 2000
    assert term_of("env", "prod") == ("env", "prod")


def test_cleaning_leaves_sound_text_alone() -> None:
    assert clean("naïve 🦄 text\n") == "naïve 🦄 text\n"


def called(*names: Any) -> list[dict[str, Any]]:
    return [{"id": "x", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in names]


def answering(content: Any, **more: Any) -> dict[str, Any]:
    return {**ITEM, "choices": [{"index": 0, "message": {"role": "assistant", "content": content}}], **more}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.2, 0.2),
        (1, 1.0),
        (None, None),
        (True, None),
        ("1", None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ([], None),
    ],
)
def test_a_temperature_is_a_number_or_nothing(value: Any, expected: float | None) -> None:
    assert reading({**ITEM, "temperature": value}).columns["temperature"] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"type": "json_schema", "json_schema": {"name": "order"}}, "json_schema"),
        ({"type": "json_object"}, "json_object"),
        ("text", "text"),
        (None, ""),
        ({"type": 7}, ""),
        ([], ""),
        ({"type": "x\x00" * 40}, "x\ufffd" * 10),
    ],
)
def test_the_response_format_is_its_type(value: Any, expected: str) -> None:
    assert reading({**ITEM, "response_format": value}).columns["response_format"] == expected
    assert reading({**ITEM, "responseFormat": value}).columns["response_format"] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1, 2.5, null]}', True),
        ("  [1]\n", True),
        ("42", True),
        ("9" * 6000, True),
        ('"said"', True),
        ("", None),
        (" \n" * 80, None),
        (None, None),
        ("hello", False),
        ("None", False),
        ("NaN", False),
        ('{"a": Infinity}', False),
        ('{"a": 1} and more', False),
        ('```json\n{"a": 1}\n```', False),
        ("[" * 100_000, False),
        ("\x00{}", False),
    ],
)
def test_an_answer_is_json_when_all_of_it_is(text: Any, expected: bool | None) -> None:
    assert reading(answering(text)).columns["answer_is_json"] is expected


def test_tools_are_those_that_were_called_in_order_of_their_names() -> None:
    item = answering(None, tools=[{"type": "function", "function": {"name": "never_called"}}])
    item["choices"][0]["message"]["tool_calls"] = called("search", "lookup", "", 7, "nul\x00")
    earlier: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": called("weather", "search")},
        {"role": "assistant", "function_call": {"name": "legacy", "arguments": "{}"}},
        {
            "role": "assistant",
            "tool_calls": [{"type": "custom", "custom": {"name": "own", "input": "x"}}, 3, None],
        },
    ]
    found = reading(item, earlier).columns
    assert found["tools"] == ["legacy", "lookup", "nul\ufffd", "own", "search", "weather"]
    assert reading(item).columns["tools"] == ["lookup", "nul\ufffd", "search"]
    assert reading(ITEM, []).columns["tools"] == []
    many = {**ITEM, "choices": [{"message": {"tool_calls": called(*(f"t{n}" for n in range(500)))}}]}
    assert len(reading(many).columns["tools"]) == 128


def test_the_language_is_that_of_the_answer_or_else_of_the_prompt() -> None:
    german = "Ihr Paket hat gestern unser Lager verlassen und kommt am Freitag an."
    english = [{"role": "user", "content": "When will the parcel that I ordered arrive at my door?"}]
    assert reading(answering(german), english).columns["language"] == "de"
    assert reading(answering(None), english).columns["language"] == "en"
    assert reading(answering(json.dumps({"reply": german, "n": [1, 2]})), english).columns["language"] == "de"
    assert reading(answering("42"), english).columns["language"] == "und"
    assert reading(answering(None)).columns["language"] == "und"


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=40)
    | st.sampled_from(["\x00", "\ud800", "a" * 3000, "user", "text", "image_url"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec=None), max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
bodies = st.builds(
    lambda value, ascii_only, cut, more: (
        json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")[: cut or None] + more
    ),
    anything,
    st.booleans(),
    st.sampled_from([0, 0, 0, -1, 3]),
    st.sampled_from([b"", b"", b" ", b"\xff", b'{"a": 1e999, "a": 1}', b"\x00", b"1e400"]),
) | st.sampled_from(
    [
        b'{"a": 1, "a": 2}',
        b'{"a": 9223372036854775807, "b": -9223372036854775808}',
        b'{"a": 9223372036854775808}',
        b'{"a": 1e309, "b": 1E+400}',
        b'{"a": NaN, "b": "\\u0000", "c": "\\ud800\\udc00", "d": "\\ud800"}',
        b'{"a": "tab\there", "b": NaN}',
        b'\xef\xbb\xbf{"a": Infinity}',
        b"[" * 100_000,
        b"1" * 5000,
    ]
)


@hypothesis_settings(max_examples=500, deadline=None)
@given(bodies)
def test_the_quick_look_at_a_body_finds_what_the_slow_one_finds(body: bytes) -> None:
    assert readings._repairs(body) == readings._ailments(body)


names = st.sampled_from(
    (
        *("model", "metadata", "usage", "choices", "created", "request_id", "tools", "seed", "finish_reason"),
        *("id", "temperature", "response_format", "tool_calls"),
    )
)
items = st.dictionaries(names, anything, max_size=8)
entries = st.lists(
    st.dictionaries(st.sampled_from(["role", "content", "content_parts", "tool_calls", "refusal"]), anything),
    max_size=3,
)


@pytest.mark.engines
@pytest.mark.django_db
@hypothesis_settings(
    max_examples=300 if database.vendor == "sqlite" else 100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
@given(found=st.lists(st.tuples(items, entries), min_size=1, max_size=4))
def test_any_json_is_stored_or_set_aside_and_never_raises(
    found: list[tuple[dict[str, Any], list[dict[str, Any]]]],
) -> None:
    connection = factories.connection()
    fit = []
    for number, (value, messages) in enumerate(found):
        whole = {"id": f"c{number}", "created": number, **value}
        pages = [json.dumps({"data": messages}).encode()]
        outcome = read(json.dumps(whole).encode(), whole, pages=pages, messages=messages, state="ok")
        if isinstance(outcome, Reading):
            fit.append(outcome)
        else:
            absorbing.aside(connection.pk, [outcome], [])
    absorbing.absorb(connection.pk, fit, Dictionary(connection.pk))
    assert StoredCompletion.objects.filter(connection=connection).count() == len(
        {one.upstream_id for one in fit}
    )
    check_whole(connection)
    for pages_of_one in fit:
        assert readings.digest_of(pages_of_one.item) == pages_of_one.columns["digest"]
