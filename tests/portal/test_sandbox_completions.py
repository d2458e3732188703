"""The sandbox's stored completions, read and written by the real SDK."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from portal.sandbox import Sandbox
from tests.portal.sandbox_client import (
    _close_clients,  # noqa: F401  # a fixture that runs by itself
    client,
    control,
    http,
)

PERSONALITIES = ("azure-v1", "azure-dated", "openai")
ROWS = 130


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(None, rows=ROWS, rows_elsewhere=ROWS) as running:
        yield running


def ids(sandbox: Sandbox, personality: str) -> list[str]:
    """Every id, oldest first, from the control plane."""
    found: list[str] = control(sandbox, "GET", f"/state?resource={personality}&ids=1")["ids"]
    return found


@pytest.mark.parametrize("personality", PERSONALITIES)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_sdk_pages_through_everything_in_order(sandbox: Sandbox, personality: str, order: Any) -> None:
    everything = ids(sandbox, personality)
    assert len(set(everything)) == ROWS
    seen = [row.id for row in client(sandbox, personality).chat.completions.list(limit=20, order=order)]
    assert seen == (everything if order == "asc" else everything[::-1])


@pytest.mark.parametrize(
    ("personality", "newest_first"), [("azure-v1", False), ("azure-dated", True), ("openai", False)]
)
def test_each_surface_has_its_own_order_when_none_is_asked_for(
    sandbox: Sandbox, personality: str, newest_first: bool
) -> None:
    everything = ids(sandbox, personality)
    page = client(sandbox, personality).chat.completions.list()
    assert [row.id for row in page.data] == (everything[::-1] if newest_first else everything)[:20]
    assert page.has_more


def test_rows_are_ordered_by_time_and_end_before_the_start(sandbox: Sandbox) -> None:
    created = [row.created for row in client(sandbox).chat.completions.list(limit=100)]
    assert created == sorted(created)
    assert 55 * 86400 < created[-1] - created[0] < 60 * 86400


def test_azure_pages_carry_a_total_and_openai_pages_do_not(sandbox: Sandbox) -> None:
    azure: Any = client(sandbox).chat.completions.list(limit=5)
    plain: Any = client(sandbox, "openai").chat.completions.list(limit=5)
    assert azure.total == ROWS
    assert "total" not in plain.model_extra
    assert azure.first_id == azure.data[0].id
    assert azure.last_id == azure.data[-1].id


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_filters_on_model_and_metadata_agree_with_a_look_at_every_row(
    sandbox: Sandbox, personality: str
) -> None:
    api = client(sandbox, personality)
    everything = list(api.chat.completions.list(limit=100))
    wanted = {"category": "docs-test", "env": "production"}
    found = [row.id for row in api.chat.completions.list(limit=7, order="asc", metadata=wanted)]
    by_hand = sorted(
        (r.created, r.id) for r in everything if r.metadata and {**r.metadata, **wanted} == r.metadata
    )
    assert sorted(found) == sorted(identity for _, identity in by_hand)
    assert 0 < len(found) < ROWS
    model = everything[0].model
    found = [row.id for row in api.chat.completions.list(limit=7, model=model)]
    assert sorted(found) == sorted(row.id for row in everything if row.model == model)


def test_a_filter_by_expected_answer_finds_its_rows(sandbox: Sandbox) -> None:
    api = client(sandbox)
    rows = [
        row for row in api.chat.completions.list(limit=100) if row.metadata and "expected" in row.metadata
    ]
    assert len(rows) > ROWS / 2
    expected = (rows[0].metadata or {})["expected"]
    found = list(api.chat.completions.list(limit=100, metadata={"expected": expected}))
    assert rows[0].id in {row.id for row in found}
    assert all((row.metadata or {})["expected"] == expected for row in found)


@pytest.mark.parametrize("limit", ["0", "101", "many", "-1"])
def test_a_limit_out_of_range_is_refused(sandbox: Sandbox, limit: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client(sandbox).chat.completions.list(extra_query={"limit": limit})
    assert refused.value.param == "limit"


def test_a_vanished_cursor_is_refused_in_each_manner(sandbox: Sandbox) -> None:
    with pytest.raises(openai.BadRequestError):
        client(sandbox).chat.completions.list(after="chatcmpl-gone")
    with pytest.raises(openai.NotFoundError):
        client(sandbox, "openai").chat.completions.list(after="chatcmpl-gone")


def test_a_page_after_the_last_row_is_empty(sandbox: Sandbox) -> None:
    page = client(sandbox).chat.completions.list(after=ids(sandbox, "azure-v1")[-1], order="asc")
    assert page.data == []
    assert page.has_more is False


def test_azure_list_items_lack_what_its_samples_lack(sandbox: Sandbox) -> None:
    _, page, _ = http(
        f"{sandbox.base_url('azure-v1')}chat/completions?limit=100",
        headers={"api-key": "sandbox-azure-v1-key"},
    )
    assert all("object" not in row and "response_format" not in row for row in page["data"])
    reasons = [row["choices"][0]["finish_reason"] for row in page["data"]]
    assert reasons[0] is None
    assert reasons[-1] is not None
    assert all(-(2**63) <= row["seed"] < 2**63 for row in page["data"])
    assert any(row["seed"] < 0 for row in page["data"])


def test_the_dated_surface_mixes_spellings(sandbox: Sandbox) -> None:
    headers = {"api-key": "sandbox-azure-dated-key"}
    address = f"{sandbox.url}/azure-dated/openai/chat/completions?limit=50"
    _, page, _ = http(f"{address}&api-version=2025-04-01-preview", headers=headers)
    assert {"requestId", "request_id"} <= {key for row in page["data"] for key in row}
    _, page, _ = http(f"{address}&api-version=2025-02-01-preview", headers=headers)
    assert page["hasMore"] is True
    assert "has_more" not in page


@pytest.mark.parametrize("personality", ["azure-v1", "openai"])
def test_messages_come_in_pages_with_their_ids(sandbox: Sandbox, personality: str) -> None:
    api = client(sandbox, personality)
    identity = ids(sandbox, personality)[-1]
    everything = list(api.chat.completions.messages.list(identity))
    assert [message.id for message in everything] == [f"{identity}-{i}" for i in range(len(everything))]
    assert len(everything) >= 2
    one_by_one = list(api.chat.completions.messages.list(identity, limit=1))
    assert [m.id for m in one_by_one] == [m.id for m in everything]
    backwards = list(api.chat.completions.messages.list(identity, limit=1, order="desc"))
    assert [m.id for m in backwards] == [m.id for m in everything][::-1]


def test_dated_messages_have_no_ids_and_no_parts(sandbox: Sandbox) -> None:
    api = client(sandbox, "azure-dated")
    identity = ids(sandbox, "azure-dated")[0]
    page: Any = api.chat.completions.messages.list(identity)
    assert page.first_id == identity
    assert all(item.id is None for item in page.data)
    assert set(page.data[0].model_dump(exclude_unset=True)) == {"id", "role", "content", "name"}


def test_the_story_has_every_shape(sandbox: Sandbox) -> None:
    with Sandbox(None, rows=1500) as large:
        api = client(large)
        rows = list(api.chat.completions.list(limit=100))
        by_app = {(row.metadata or {})["app"] for row in rows}
        assert len(by_app) == 6
        assert len({row.model for row in rows}) == 4
        reasons = {row.choices[0].finish_reason for row in rows}
        assert {"stop", "length", "content_filter", "tool_calls"} <= reasons
        assert any(row.choices[0].message.refusal for row in rows)
        picture = next(row for row in rows if (row.metadata or {})["app"] == "image-labels")
        parts: Any = api.chat.completions.messages.list(picture.id).data[1].content_parts
        assert parts[1].image_url.url.startswith("data:image/png;base64,")
        answers = [row.choices[0].message.content for row in rows]
        assert len(set(answers)) < len(answers)
        longest = max(len(row["messages"]) for row in (state(large, r.id) for r in rows[:400]))
        assert longest >= 4


def state(sandbox: Sandbox, identity: str) -> dict[str, Any]:
    row: dict[str, Any] = control(sandbox, "GET", f"/state?resource=azure-v1&id={identity}")
    return row


def test_the_same_seed_tells_the_same_story(sandbox: Sandbox) -> None:
    with Sandbox(None, rows=40, now=1.8e9) as one, Sandbox(None, rows=40, now=1.8e9) as two:
        first = [row.to_dict() for row in client(one).chat.completions.list(limit=100)]
        second = [row.to_dict() for row in client(two).chat.completions.list(limit=100)]
    assert first == second


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_a_stored_call_is_found_and_another_is_not(sandbox: Sandbox, personality: str) -> None:
    api = client(sandbox, personality)
    asked: Any = [{"role": "user", "content": "What is a list? Tell me."}]
    stored = api.chat.completions.create(
        model="gpt-4o", messages=asked, store=True, metadata={"topic": "lists"}
    )
    unstored = api.chat.completions.create(model="gpt-4o", messages=asked, store=False)
    assert stored.model == "gpt-4o-2024-08-06"
    assert "metadata" not in stored.to_dict()
    found = list(api.chat.completions.list(metadata={"topic": "lists"}))
    assert [row.id for row in found] == [stored.id]
    assert (
        api.chat.completions.retrieve(stored.id).choices[0].message.content
        == stored.choices[0].message.content
    )
    assert next(iter(api.chat.completions.list(order="desc"))).id == stored.id
    messages = api.chat.completions.messages.list(stored.id).data
    assert messages[0].content == "What is a list? Tell me."
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.retrieve(unstored.id)


def test_azure_merges_metadata_and_openai_replaces_it(sandbox: Sandbox) -> None:
    for personality, merges in (("azure-v1", True), ("azure-dated", True), ("openai", False)):
        api = client(sandbox, personality)
        identity = ids(sandbox, personality)[3]
        before = api.chat.completions.retrieve(identity).metadata or {}
        after = api.chat.completions.update(identity, metadata={"mark": "x"}).metadata
        assert after == ({**before, "mark": "x"} if merges else {"mark": "x"})
        assert api.chat.completions.retrieve(identity).metadata == after
        assert [row.id for row in api.chat.completions.list(metadata={"mark": "x"})] == [identity]


@pytest.mark.parametrize("personality", PERSONALITIES)
@pytest.mark.parametrize("merges", [True, False], ids=["merge", "replace"])
def test_what_an_update_of_metadata_does_can_be_set(sandbox: Sandbox, personality: str, merges: bool) -> None:
    does = "merge" if merges else "replace"
    told = control(sandbox, "POST", "/settings", {"metadata": {personality: does}})
    assert told["metadata"][personality] == does
    api, identity = client(sandbox, personality), ids(sandbox, personality)[3]
    api.chat.completions.update(identity, metadata={"one": "1"})
    after = api.chat.completions.update(identity, metadata={"two": "2"}).metadata or {}
    assert after["two"] == "2"
    assert ("one" in after) == merges


@pytest.mark.parametrize(
    "metadata",
    [{str(i): "x" for i in range(17)}, {"k" * 65: "x"}, {"k": "x" * 513}, {"k": 1}, "text"],
    ids=["17 pairs", "long key", "long value", "number", "no map"],
)
def test_metadata_beyond_its_limits_is_refused(sandbox: Sandbox, metadata: Any) -> None:
    api = client(sandbox)
    with pytest.raises(openai.BadRequestError):
        api.chat.completions.update(ids(sandbox, "azure-v1")[0], metadata=metadata)
    asked: Any = [{"role": "user", "content": "x"}]
    with pytest.raises(openai.BadRequestError):
        api.chat.completions.create(model="gpt-4o", messages=asked, store=True, metadata=metadata)


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_a_deleted_row_is_gone_and_the_next_page_goes_on(sandbox: Sandbox, personality: str) -> None:
    api = client(sandbox, personality)
    everything = ids(sandbox, personality)
    answer = api.chat.completions.delete(everything[5])
    assert (answer.deleted, answer.object, answer.id) == (True, "chat.completion.deleted", everything[5])
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.retrieve(everything[5])
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.delete(everything[5])
    left = [row.id for row in api.chat.completions.list(limit=10, order="asc")]
    assert (
        left == everything[:5] + everything[6:11]
        if len(left) == 10
        else left == everything[:5] + everything[6:]
    )


def test_rows_changed_behind_the_back_are_listed(sandbox: Sandbox) -> None:
    api = client(sandbox)
    fresh = control(sandbox, "POST", "/state", {"resource": "azure-v1", "op": "add", "count": 3})["ids"]
    assert {row.id for row in api.chat.completions.list(order="desc", limit=3).data} == set(fresh)
    control(sandbox, "POST", "/state", {"resource": "azure-v1", "op": "delete", "id": fresh[0]})
    changed = {"resource": "azure-v1", "op": "change", "id": fresh[1], "metadata": {"new": "value"}}
    control(sandbox, "POST", "/state", changed)
    assert {row.id for row in api.chat.completions.list(order="desc", limit=2).data} == set(fresh[1:])
    assert (api.chat.completions.retrieve(fresh[1]).metadata or {})["new"] == "value"
    raw = {
        "resource": "azure-v1",
        "op": "add",
        "id": "chatcmpl-raw",
        "raw": '{"id":"chatcmpl-raw","created":1e400}',
    }
    control(sandbox, "POST", "/state", raw)
    _, page, _ = http(
        f"{sandbox.base_url('azure-v1')}chat/completions?limit=1&order=desc",
        headers={"api-key": "sandbox-azure-v1-key"},
    )
    assert page["data"] == [{"id": "chatcmpl-raw", "created": float("inf")}]


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_streams_end_with_usage_when_asked(sandbox: Sandbox, personality: str) -> None:
    api = client(sandbox, personality)
    asked: Any = [
        {"role": "user", "content": "Translate into German:\n\nThe file 12 is larger than allowed."}
    ]
    whole = api.chat.completions.create(model="gpt-4o", messages=asked)
    chunks = list(
        api.chat.completions.create(
            model="gpt-4o", messages=asked, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert (chunks[0].choices == []) is personality.startswith("azure")


def test_formats_tools_and_limits_are_obeyed(sandbox: Sandbox) -> None:
    api = client(sandbox)
    asked: Any = [{"role": "user", "content": "Is the sky blue? Answer passed or failed: passed."}]
    schema: Any = {
        "type": "json_schema",
        "json_schema": {
            "name": "verdict",
            "schema": {
                "type": "object",
                "properties": {
                    "label": {"type": "string", "enum": ["passed", "unsure"]},
                    "score": {"type": "number"},
                },
            },
        },
    }
    formed = api.chat.completions.create(model="gpt-4.1", messages=asked, response_format=schema)
    verdict = json.loads(formed.choices[0].message.content or "")
    assert verdict["label"] in ("passed", "unsure")
    assert isinstance(verdict["score"], float)
    look_up: Any = [
        {"role": "user", "content": "Look up what `heapq.merge` does and tell me in one sentence."}
    ]
    tools: Any = [{"type": "function", "function": {"name": "lookup_documentation", "parameters": {}}}]
    answer = api.chat.completions.create(model="gpt-4.1", messages=look_up, tools=tools)
    assert answer.choices[0].finish_reason == "tool_calls"
    call: Any = (answer.choices[0].message.tool_calls or [])[0]
    assert call.function.arguments == '{"name": "heapq.merge"}'
    after: Any = [
        *look_up,
        answer.choices[0].message.to_dict(),
        {"role": "tool", "tool_call_id": call.id, "content": "Merge sorted inputs."},
    ]
    assert (
        api.chat.completions.create(model="gpt-4.1", messages=after, tools=tools).choices[0].message.content
    )
    short = api.chat.completions.create(model="gpt-4o", messages=asked, max_completion_tokens=2, n=2)
    assert [choice.finish_reason for choice in short.choices] == ["length", "length"]


def test_bad_conversations_are_refused(sandbox: Sandbox) -> None:
    api = client(sandbox)
    bad: Any
    for bad in (
        [],
        [{"role": "oracle", "content": "x"}],
        [{"role": "tool", "tool_call_id": "a", "content": "x"}],
    ):
        with pytest.raises(openai.BadRequestError):
            api.chat.completions.create(model="gpt-4o", messages=bad)
    asked: Any = [{"role": "user", "content": "sandbox-filter"}]
    with pytest.raises(openai.BadRequestError) as refused:
        api.chat.completions.create(model="gpt-4o", messages=asked)
    assert refused.value.code == "content_filter"


def dot(one: list[float], two: list[float]) -> float:
    return sum(x * y for x, y in zip(one, two, strict=True))


def test_models_and_embeddings_have_each_surfaces_shape(sandbox: Sandbox) -> None:
    v1 = {model.id: model for model in client(sandbox).models.list()}
    assert v1["gpt-4.1-mini-2025-04-14"].created > 0
    dated: Any = next(iter(client(sandbox, "azure-dated").models.list()))
    assert dated.capabilities["chat_completion"] is True
    assert dated.lifecycle_status == "generally-available"
    plain: Any = client(sandbox, "openai").models.retrieve("gpt-4o")
    assert plain.shutdown_date == "2027-01-14"
    with pytest.raises(openai.NotFoundError):
        client(sandbox, "openai").models.retrieve("gpt-0")
    vectors = client(sandbox).embeddings.create(
        model="text-embedding-3-small", input=["the red car", "a red car", "sorted lists of numbers"]
    )
    one, two, three = (item.embedding for item in vectors.data)
    assert dot(one, two) > dot(one, three)
    assert dot(one, one) == pytest.approx(1, abs=1e-3)
