"""What upstream sent comes back byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completions.raw import Raw, Unreadable, pack, read, unpack


@given(item=st.binary(), pages=st.none() | st.lists(st.binary()))
def test_bytes_survive_the_round_trip(item: bytes, pages: list[bytes] | None) -> None:
    assert unpack(pack(item, pages)) == Raw(item, None if pages is None else tuple(pages))


def test_messages_of_several_pages_are_read_in_order() -> None:
    raw = Raw(b'{"id": "a"}', (b'{"data": [{"role": "user"}]}', b'\xef\xbb\xbf{"data": [{"role": "tool"}]}'))
    item, messages = read(raw)
    assert item == {"id": "a"}
    assert messages == [{"role": "user"}, {"role": "tool"}]


@pytest.mark.parametrize("item", [b"", b"[]", b"{", b"[" * 100_000])
def test_an_item_that_is_no_object_is_unreadable(item: bytes) -> None:
    with pytest.raises(Unreadable):
        read(Raw(item, None))
