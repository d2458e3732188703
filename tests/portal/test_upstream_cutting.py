"""Pages cut into rows, byte for byte, whatever they hold and however they are packed."""

import gzip
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.upstream import UpstreamError, connect
from portal.upstream.cutting import cut_one, cut_page
from tests.portal.upstream_bed import bare_server, page_of

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=8), values, max_size=4), max_size=5),
    st.sampled_from(["", " ", "\n\t "]),
    st.booleans(),
    st.booleans(),
)
def test_cutting_gives_back_what_was_put_in(
    rows: list[dict[str, Any]], space: str, ascii_only: bool, data_first: bool
) -> None:
    texts = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    data = f'"data":{space}[{space}' + f"{space},{space}".join(texts) + f"{space}]"
    rest = f'"has_more":{space}true,{space}"last_id":null,"unknown":{{"deep":[1,[2]]}}'
    parts = [data, rest] if data_first else [rest, data]
    body = f"{space}{{{space}{f'{space},{space}'.join(parts)}{space}}}{space}"
    page = cut_page(body.encode("utf-8", "surrogatepass"))
    assert page.has_more is True
    assert len(page.items) == len(rows)
    for item, text in zip(page.items, texts, strict=True):
        assert item.raw == text.encode("utf-8", "surrogatepass")
        assert not item.problem


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'\xef\xbb\xbf{"data":[{"id":"a"}]}', ["a"]),
        ('{"data":[{"id":"ä"}]}'.encode("utf-16"), ["ä"]),
        (b'{"data":[{"id":"a","x":"\xff\xfe"}]}', ["a"]),
        (b'{"data":[{"id":"a","n":' + b"9" * 5000 + b'},{"id":"b"}]}', ["", "b"]),
        (b'{"data":[null,"text",7,[],{"id":"a"}]}', ["", "", "", "", "a"]),
        (b'{"data":[{"id":7},{"id":null},{}]}', ["", "", ""]),
        (b'{"data":[{"id":"a","id":"b"}]}', ["b"]),
        (b'{"hasMore":true,"lastId":"z","data":[]}', []),
        (b'{"data":[{"id":"a"}],"huge":' + b"9" * 5000 + b"}", ["a"]),
        (b'{"data":[{"id":"a"}],"deep":' + b"[" * 5000 + b"]" * 5000 + b"}", ["a"]),
    ],
)
def test_odd_pages_are_read(body: bytes, ids: list[str]) -> None:
    page = cut_page(body)
    assert [item.id for item in page.items] == ids
    for item in page.items:
        assert item.raw in body or body[:2] in (b"\xff\xfe", b"\xfe\xff")
        assert (item.value is None) == bool(item.problem)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"[1,2]",
        b'"text"',
        b"{",
        b'{"data"',
        b'{"data":[',
        b'{"data":[{"id":"a"}',
        b'{"data":[{"id":"a"},',
        b'{"data":[{"id":"a"} {"id":"b"}]}',
        b'{"data":{}}',
        b'{"data":null}',
        b'{"object":"list"}',
        b"<html></html>",
        b'{"data":[{"id":"a"}]',
        b'{"data":[{"id":}]}',
        b"\x00\x01\x02",
    ],
)
def test_what_is_no_list_is_refused_whole(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        cut_page(body)
    assert caught.value.kind == "unreadable"
    assert not caught.value.permanent


@given(st.binary(max_size=200))
def test_no_bytes_break_the_cutter(body: bytes) -> None:
    for cut in (cut_page, cut_one):
        with suppress(UpstreamError):  # anything else fails the test
            cut(body)


@pytest.mark.parametrize("form", ["one", "several"])
def test_compressed_answers_are_unpacked(settings: Any, form: str) -> None:
    body = page_of([{"id": "a"}], has_more=False)
    packed = gzip.compress(body) if form == "one" else gzip.compress(body[:9]) + gzip.compress(body[9:])
    with (
        bare_server(settings, lambda handler: handler.answer(200, packed, content_encoding="gzip")) as bare,
        connect(bare.connection()) as upstream,
    ):
        assert [item.id for item in upstream.list_stored().items] == ["a"]
        assert upstream.models()[0].id == "a"


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_what_cannot_be_unpacked_is_unreadable(settings: Any, encoding: str) -> None:
    packed = gzip.compress(page_of([{"id": "a"}] * 100))[:-30]
    with (
        bare_server(settings, lambda handler: handler.answer(200, packed, content_encoding=encoding)) as bare,
        connect(bare.connection()) as upstream,
        pytest.raises(UpstreamError) as caught,
    ):
        upstream.list_stored()
    assert caught.value.kind == "unreadable"
