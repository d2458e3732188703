"""The pager ends where the list ends, and says so where it cannot."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.sandbox import Sandbox
from portal.upstream import Item, Page, UpstreamError, connect
from portal.upstream.pager import pages_of
from tests.portal.sandbox_client import control, faults
from tests.portal.upstream_bed import bare_server, journal, page_of, unsaved

ROWS = 60


@pytest.fixture
def sandbox(settings: Any) -> Iterator[Sandbox]:
    with Sandbox(None, rows=ROWS, rows_elsewhere=ROWS) as running:
        settings.UPSTREAM_ALLOW = [f"127.0.0.1:{running.port}"]
        yield running


def ids_of(sandbox: Sandbox) -> list[str]:
    found: list[str] = control(sandbox, "GET", "/state?resource=azure-v1&ids=1")["ids"]
    return found


def walk(sandbox: Sandbox, **how: Any) -> tuple[list[str], UpstreamError | None]:
    """The ids that were met, and the error at the end if there was one."""
    met: list[str] = []
    with connect(unsaved(sandbox)) as upstream:
        try:
            for page in upstream.stored_pages(limit=20, **how):
                met += [item.id for item in page.items]
        except UpstreamError as error:
            return met, error
    return met, None


# Through the sandbox


def test_an_empty_page_that_promises_more_is_never_the_end(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "empty_page", "path": "/chat/completions", "after": 1})
    met, error = walk(sandbox)
    assert met == ids_of(sandbox)[:20]
    assert error is not None
    assert (error.kind, error.permanent) == ("stalled", False)
    assert len(journal(sandbox, path="/chat/completions")) == 1 + 4


def test_a_service_that_ignores_the_cursor_is_found_out(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "ignore_after"})
    met, error = walk(sandbox)
    assert met == ids_of(sandbox)[:20]
    assert error is not None
    assert error.kind == "loop"
    assert len(journal(sandbox, path="/chat/completions")) == 2


def test_duplicates_do_not_stop_the_walk(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "duplicate_ids"})
    met, error = walk(sandbox)
    assert error is None
    assert sorted(set(met)) == sorted(ids_of(sandbox))


def test_rows_without_an_id_are_handed_on(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "strip", "fields": ["id"], "every": 7})
    met, error = walk(sandbox)
    assert error is None
    assert len(met) == ROWS
    assert met.count("") == 9


def test_a_deleted_cursor_steps_back_to_the_newest_id_that_is_left(sandbox: Sandbox) -> None:
    everything = ids_of(sandbox)
    for gone in everything[27:30]:
        control(sandbox, "POST", "/state", {"resource": "azure-v1", "op": "delete", "id": gone})
    met, error = walk(sandbox, after=everything[29], fall_back=everything[20:30][::-1])
    assert error is None
    assert met == everything[30:]


def test_a_cursor_deleted_in_the_middle_steps_back_by_itself(sandbox: Sandbox) -> None:
    everything = ids_of(sandbox)
    met: list[str] = []
    with connect(unsaved(sandbox)) as upstream:
        for page in upstream.stored_pages(limit=20):
            met += [item.id for item in page.items]
            if len(met) == 20:
                body = {"resource": "azure-v1", "op": "delete", "ids": everything[17:20]}
                control(sandbox, "POST", "/state", body)
    assert set(met) == set(everything)


def test_when_every_known_cursor_is_gone_it_says_so(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "vanished_cursor"})
    met, error = walk(sandbox, after="chatcmpl-gone", fall_back=["chatcmpl-a", "chatcmpl-b"])
    assert met == []
    assert error is not None
    assert (error.kind, error.code, error.permanent) == ("not_found", "cursor_gone", False)


def test_a_missing_endpoint_is_not_taken_for_a_missing_cursor(sandbox: Sandbox) -> None:
    connection = unsaved(sandbox, "openai", base_url=f"{sandbox.url}/openai/v2")
    known = [f"chatcmpl-{number}" for number in range(50)]
    with connect(connection) as upstream, pytest.raises(UpstreamError) as caught:
        list(upstream.stored_pages(after="chatcmpl-x", fall_back=known))
    assert caught.value.code != "cursor_gone"
    assert len([entry for entry in journal(sandbox) if "/chat/completions" in entry["path"]]) == 2


@pytest.mark.parametrize(
    "what", ["nul", "surrogate", "bidi", "nan", "overflow", "infinity", "bigint", "role", "part", "field"]
)
def test_a_poisoned_row_is_read_and_its_neighbours_too(sandbox: Sandbox, what: str) -> None:
    faults(sandbox, {"kind": "poison", "what": what, "index": 3})
    met, error = walk(sandbox)
    assert error is None
    assert met == ids_of(sandbox)


def test_a_row_that_is_too_deep_is_cut_out_whole_and_named(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "poison", "what": "deep", "index": 3, "path": "/chat/completions"})
    with connect(unsaved(sandbox)) as upstream:
        items = upstream.list_stored(limit=20).items
    assert len(items) == 20
    bad = items[3]
    assert (bad.value, bad.id, bad.problem) == (None, "", "nested too deeply")
    assert bad.raw.count(b"[") == bad.raw.count(b"]") >= 10_000
    assert all(item.value for item in items if item is not bad)


def test_messages_that_are_too_deep_are_handed_on_with_their_bytes(sandbox: Sandbox) -> None:
    faults(sandbox, {"kind": "poison", "what": "deep", "path": "*/messages"})
    with connect(unsaved(sandbox)) as upstream:
        messages = upstream.messages(ids_of(sandbox)[0])
    assert messages.problem == "nested too deeply"
    assert messages.items == ()
    assert b"[[[[" in messages.pages[0]


@pytest.mark.parametrize("declared", ["utf-16", "latin-1", "no-such-charset"])
def test_a_wrong_charset_does_not_hide_the_rows(sandbox: Sandbox, declared: str) -> None:
    faults(sandbox, {"kind": "wrong_charset", "charset": declared, "bytes": "utf-8"})
    met, error = walk(sandbox)
    assert error is None
    assert met == ids_of(sandbox)


# Messages, from servers that know no better


def messages_from(settings: Any, respond: Any) -> tuple[Any, list[dict[str, list[str]]]]:
    with bare_server(settings, respond) as bare, connect(bare.connection()) as upstream:
        messages = upstream.messages("chatcmpl-1")
    return messages, [parse_qs(urlsplit(path).query) for _, path, _ in bare.seen]


def test_messages_go_over_all_pages_in_order(settings: Any) -> None:
    rows = [{"id": f"chatcmpl-1-{number}", "role": "user", "content": str(number)} for number in range(7)]

    def respond(handler: Any) -> None:
        after = parse_qs(urlsplit(handler.path).query).get("after", [""])[0]
        start = next((i + 1 for i, row in enumerate(rows) if row["id"] == after), 0)
        handler.answer(200, page_of(rows[start : start + 3], has_more=start + 3 < len(rows)))

    messages, asked = messages_from(settings, respond)
    assert list(messages.items) == rows
    assert len(messages.pages) == len(asked) == 3
    assert all(query["order"] == ["asc"] for query in asked)


@pytest.mark.parametrize("null_id", [None, "chatcmpl-1"])
def test_messages_without_ids_are_asked_for_in_one_long_page(settings: Any, null_id: Any) -> None:
    rows = [{"id": null_id, "role": "user", "content": str(number)} for number in range(150)]

    def respond(handler: Any) -> None:
        limit = int(parse_qs(urlsplit(handler.path).query)["limit"][0])
        handler.answer(200, page_of(rows[:limit], has_more=limit < len(rows), total=len(rows)))

    messages, asked = messages_from(settings, respond)
    assert list(messages.items) == rows
    assert len(messages.pages) == 1
    assert len(asked) == 2


@pytest.mark.parametrize("ids", [True, False])
def test_messages_end_where_the_service_does_not_say_so(settings: Any, ids: bool) -> None:
    rows = [{"id": f"m-{number}" if ids else None, "content": str(number)} for number in range(5)]

    def respond(handler: Any) -> None:
        after = parse_qs(urlsplit(handler.path).query).get("after", [""])[0]
        start = next((i + 1 for i, row in enumerate(rows) if ids and row["id"] == after), 0)
        handler.answer(200, page_of(rows[start : start + (2 if ids else 9)]))

    messages, _ = messages_from(settings, respond)
    assert list(messages.items) == rows
    assert not messages.problem


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"transfer-encoding: chunked", b"40\r\n" + b'{"data":[{"id":"a"},'),
        (b"transfer-encoding: chunked", b"4\r\n" + b'{"da\r\n'),
        (b"content-length: 400", b'{"data":[{"id":"a"}]}'),
        (b"connection: close", b'{"data":[{"id":"a"}'),
        (b"transfer-encoding: chunked", b"zz\r\n{}"),
    ],
)
def test_an_answer_that_ends_in_the_middle_is_not_taken_for_whole(
    settings: Any, head: bytes, body: bytes
) -> None:
    def respond(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)
        handler.close_connection = True

    with bare_server(settings, respond) as bare, connect(bare.connection()) as upstream:
        with pytest.raises(UpstreamError) as caught:
            upstream.list_stored()
        assert caught.value.kind in ("unreadable", "network")
        assert len(bare.seen) == 4
        with pytest.raises(UpstreamError) as caught:
            upstream.create_job({"model": "m", "training_file": "f"})
        assert caught.value.outcome_unknown
        assert len(bare.seen) == 5


def test_chunked_answers_are_read_whole(settings: Any) -> None:
    body = page_of([{"id": f"a-{number}"} for number in range(500)], has_more=False)

    def respond(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 999):
            piece = body[start : start + 999]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    with bare_server(settings, respond) as bare, connect(bare.connection()) as upstream:
        for _ in range(3):
            assert len(upstream.list_stored().items) == 500


def test_a_kept_connection_that_was_closed_meanwhile_is_not_used(settings: Any) -> None:
    def respond(handler: Any) -> None:
        handler.answer(200, page_of([], has_more=False))
        handler.close_connection = True  # without having said so

    with bare_server(settings, respond) as bare, connect(bare.connection()) as upstream:
        for _ in range(5):
            upstream.list_stored()
        assert len(bare.seen) == 5


def test_messages_that_go_in_circles_end_in_an_error(settings: Any) -> None:
    rows = [{"id": "m-1", "role": "user", "content": "x"}]
    with pytest.raises(UpstreamError) as caught:
        messages_from(settings, lambda handler: handler.answer(200, page_of(rows, has_more=True)))
    assert caught.value.kind == "loop"


def test_a_completion_without_messages_has_none(settings: Any) -> None:
    messages, asked = messages_from(
        settings, lambda handler: handler.answer(200, page_of([], has_more=False))
    )
    assert (messages.items, messages.problem, len(asked)) == ((), "", 1)
    assert len(messages.pages) == 1


# The rules alone


def listed(rows: list[str], size: int, *, has_more: bool | None) -> Any:
    """A fetch over `rows` that tells as much as `has_more` lets it: None says nothing."""

    def fetch(after: str, limit: int) -> Page:
        start = rows.index(after) + 1 if after else 0
        found = rows[start : start + min(size, limit)]
        more = None if has_more is None else start + len(found) < len(rows)
        items = tuple(Item(b"{}", {"id": row}) for row in found)
        return Page(items, more, None, None, None)

    return fetch


@given(st.integers(0, 40), st.integers(1, 9), st.sampled_from([True, None]))
def test_every_row_comes_once_whatever_the_page_size(total: int, size: int, more: bool | None) -> None:
    rows = [f"r{number}" for number in range(total)]
    met = [item.id for page in pages_of(listed(rows, size, has_more=more)) for item in page.items]
    assert met == rows


def test_an_older_page_coming_round_again_is_a_loop() -> None:
    circle = {"": "a", "a": "b", "b": "c", "c": "a"}

    def fetch(after: str, limit: int) -> Page:
        return Page((Item(b"{}", {"id": circle[after]}),), True, None, None, None)

    pages = pages_of(fetch)
    met = [next(pages).items[0].id for _ in range(3)]
    with pytest.raises(UpstreamError) as caught:
        next(pages)
    assert caught.value.kind == "loop"
    assert met == ["a", "b", "c"]


def test_a_list_without_cursor_and_end_is_read_once() -> None:
    same = Page((Item(b"{}", {"id": "a"}), Item(b"{}", {"id": "b"})), None, None, None, None)
    assert len(list(pages_of(lambda after, limit: same))) == 1


def test_pages_that_are_too_large_are_asked_for_in_smaller_ones() -> None:
    rows = [f"r{number}" for number in range(40)]
    fetch = listed(rows, 100, has_more=True)
    limits: list[int] = []

    def heavy(after: str, limit: int) -> Page:
        limits.append(limit)
        if limit > 10:
            raise UpstreamError("unreadable", "too large", code="too_large", permanent=True)
        page: Page = fetch(after, limit)
        return page

    assert [item.id for page in pages_of(heavy) for item in page.items] == rows
    assert limits[:3] == [100, 25, 6]


def test_one_row_that_is_too_large_ends_the_walk() -> None:
    def heavy(after: str, limit: int) -> Page:
        raise UpstreamError("unreadable", "too large", code="too_large", permanent=True)

    with pytest.raises(UpstreamError) as caught:
        list(pages_of(heavy))
    assert caught.value.code == "too_large"
