"""Tool calls held against those that were wanted."""

import json
from typing import Any

import pytest

from datasets.evaluate import graders, samples
from tests.datasets.test_items import item_of

WEATHER = {"name": "weather", "arguments": {"city": "Oslo", "days": 1}}
NEWS = {"name": "news", "arguments": {}}


def made(*calls: tuple[str, str]) -> list[dict[str, Any]]:
    """As upstream returns them: arguments are a text."""
    return [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for place, (name, arguments) in enumerate(calls)
    ]


def judge(wanted: Any, calls: list[dict[str, Any]], **item: Any) -> graders.Verdict:
    value = wanted if isinstance(wanted, str) else json.dumps(wanted)
    params = {"check": "tool_calls", "value": value}
    assert graders.validate("check", params) == {}
    return graders.grade("check", params, item, {"output_text": "", "output_tools": calls})


@pytest.mark.parametrize(
    ("wanted", "calls"),
    [
        (WEATHER, made(("weather", '{"days": 1.0, "city": "Oslo"}'))),
        ([WEATHER], made(("weather", '{"city": "Oslo", "days": 1}'))),
        ([WEATHER, NEWS], made(("news", ""), ("weather", '{"city": "Oslo", "days": 1}'))),
        ([{"name": "weather"}, WEATHER], made(("weather", '{"city": "Oslo", "days": 1}'), ("weather", "{}"))),
        ({"name": "weather"}, made(("weather", "whatever"))),
        ({"name": "weather", "arguments": "whatever {"}, made(("weather", "whatever {"))),
        (made(("news", "{}")), made(("news", "{}"))),
        (
            {"name": "draw", "input": "a cat"},
            [{"type": "custom", "custom": {"name": "draw", "input": "a cat"}}],
        ),
        ([], []),
    ],
)
def test_the_same_calls_match_whatever_their_order_and_spelling(wanted: Any, calls: Any) -> None:
    verdict = judge(wanted, calls)
    assert (verdict.passed, verdict.score, verdict.error) == (True, 1.0, "")


@pytest.mark.parametrize(
    ("wanted", "calls", "said"),
    [
        (WEATHER, made(("weather", '{"city": "Oslo", "days": "1"}')), 'calls weather({"city": "Oslo", '),
        (WEATHER, made(("weather", '{"city": "Oslo", "days": true}')), "and not weather("),
        (WEATHER, made(("wether", '{"city": "Oslo", "days": 1}')), "It calls wether("),
        (WEATHER, [], "It does not call weather("),
        ([], made(("news", "{}")), "It also calls news({})."),
        ([WEATHER], made(("weather", '{"city": "Oslo", "days": 1}')) * 2, "It also calls"),
        (WEATHER, made(("weather", "{broken")), 'It calls weather("{broken")'),
        (WEATHER, [{"function": {"arguments": "{}"}}], "cannot be read"),
        ({"name": "weather", "arguments": {}}, made(("weather", "[" * 50_000)), "It calls weather("),
    ],
)  # fmt: skip
def test_what_differs_is_told(wanted: Any, calls: Any, said: str) -> None:
    verdict = judge(wanted, calls)
    assert (verdict.passed, verdict.score) == (False, 0.0)
    assert said in verdict.reason


def test_the_stored_answer_or_the_reference_can_be_what_is_wanted() -> None:
    call = made(("weather", '{"city": "Oslo"}'))
    item = item_of({"content": None, "tool_calls": call})
    assert item["output_tools"] == call
    assert judge("{{ item.output_tools }}", made(("weather", '{ "city":"Oslo" }')), **item).passed is True
    assert judge("{{ item.reference }}", call, reference='{"name": "weather"}').passed is True
    templated = '[{"name": "weather", "arguments": {"city": "{{ item.metadata.city }}"}}]'
    assert judge(templated, call, metadata={"city": "Oslo"}).passed is True
    odd = 'Os"lo", "country": "NO\n\\'
    assert judge(templated, call, metadata={"city": odd}).passed is False
    assert (
        judge(templated, made(("weather", json.dumps({"city": odd}))), metadata={"city": odd}).passed is True
    )


def test_an_item_without_what_is_wanted_is_ungraded() -> None:
    assert judge("{{ item.output_tools }}", [], **item_of()).error == "There is no item.output_tools."
    assert "cannot be read" in judge("{{ item.reference }}", [], reference="Call the weather.").error


@pytest.mark.parametrize("wanted", ["weather", "[1]", '{"arguments": {}}', '{"name": ""}', "[" * 50_000, " "])
def test_calls_that_cannot_be_read_are_refused_in_the_form(wanted: str) -> None:
    assert list(graders.validate("check", {"check": "tool_calls", "value": wanted})) == ["value"]


def test_items_hold_tool_calls_only_where_there_are_some() -> None:
    assert "output_tools" not in item_of()
    custom = {"id": "c", "type": "custom", "custom": {"name": "draw", "input": "a cat"}}
    assert item_of({"content": "Look.", "tool_calls": [custom]})["output_tools"] == [custom]
    old = item_of({"content": None, "function_call": {"name": "news", "arguments": "{}"}})
    assert old["output_tools"] == [{"type": "function", "function": {"name": "news", "arguments": "{}"}}]


def test_a_stored_answer_is_judged_by_its_calls_as_a_fresh_one_is() -> None:
    call = made(("weather", '{"city": "Oslo"}'))
    item = item_of({"content": None, "tool_calls": call})
    fresh = samples.fresh(item, "", {"tool_calls": call}, "tool_calls")
    for sample in (samples.stored(item), fresh):
        params = {"check": "tool_calls", "value": '{"name": "weather"}'}
        assert graders.grade("check", params, item, sample).passed is True
        first = {"input": "{{ sample.output_tools[0].function.name }}", "reference": "weather"}
        assert graders.grade("string_check", {**first, "operation": "eq"}, item, sample).passed is True


def test_output_json_is_there_where_json_was_asked_for_and_came() -> None:
    wants: dict[str, Any] = {"response_format": {"type": "json_schema", "json_schema": {}}}
    plain: dict[str, Any] = {"response_format": {"type": "text"}}
    found = '{"city": "Oslo"}'
    for item, text, there in [
        (wants, found, True),
        (wants, "Oslo", False),
        ({}, found, False),
        (plain, found, False),
    ]:
        assert ("output_json" in samples.stored({**item, "output": text})) is there
        assert ("output_json" in samples.fresh(item, text, {})) is there
    chosen = {"response_format": {"type": "json_object"}}
    sample = samples.fresh({}, '{"city": "Oslo"}', {}, params=chosen)
    params = {"input": "{{ sample.output_json.city }}", "reference": "Oslo", "operation": "eq"}
    assert graders.grade("string_check", params, {}, sample).passed is True
