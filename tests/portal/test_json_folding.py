"""A JSON tree gives every node of a document, whatever its keys are, and nothing that is not in it."""

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.json_folding import CHUNK, branch, folding_tree, name_at, read_path, value_at
from tests.portal.test_rendering import PAYLOADS

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: set[tuple[str, tuple[str, ...]]] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add((tag, tuple(sorted(name for name, _ in attrs))))


OURS = {
    ("details", ("data-n", "open")),
    ("details", ("data-later", "data-n")),
    ("summary", ()),
    ("div", ()),
    ("div", ("class", "data-n", "tabindex")),
    ("div", ("aria-label", "class", "data-tree", "data-tree-source", "role")),
    ("span", ("class",)),
    ("span", ("class", "title")),
    ("button", ("class", "data-from", "type")),
    ("wbr", ()),
}


def walk(value: Any, path: tuple[int, ...] = ()) -> Any:
    """Every node with its path, by a way of its own."""
    yield path, value
    if isinstance(value, dict | list):
        for number, child in enumerate(value.values() if isinstance(value, dict) else value):
            yield from walk(child, (*path, number))


@settings(deadline=None)
@given(VALUES)
def test_every_node_is_reached_by_its_path(value: Any) -> None:
    for path, node in walk(value):
        assert read_path(".".join(map(str, path))) == path
        assert value_at(value, path) == node
        assert isinstance(name_at(value, path), str)
        if isinstance(node, dict | list):
            assert Tags(branch(value, path)).seen <= OURS
    assert Tags(folding_tree(value, "x", "/y?a=1&b=2")).seen <= OURS


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_key_and_no_value_becomes_markup(payload: str) -> None:
    value = {payload: [payload, {payload: payload}]}
    assert Tags(folding_tree(value, payload, payload)).seen <= OURS
    assert Tags(branch(value, (0,))).seen <= OURS


def test_a_long_list_comes_in_pieces() -> None:
    value = list(range(CHUNK * 2 + 50))
    assert branch(value, ()).count('class="row"') == CHUNK
    assert f"{CHUNK + 50} more" in branch(value, ())
    assert branch(value, (), CHUNK * 2).count('class="row"') == 50


@pytest.mark.parametrize("text", ["x", "-1", "1.", ".", "1..2", "²", "9" * 10, "1." * 3_000 + "1", " 1"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"path"):
        read_path(text)


@pytest.mark.parametrize("path", [(5,), (0, 0), (1, 0)])
def test_what_is_not_there_is_not_found(path: tuple[int, ...]) -> None:
    with pytest.raises(LookupError):
        branch(["leaf", {}], path)


def test_names_are_what_a_program_would_write() -> None:
    value = {"choices": [{"message": {"odd key": {"it's": 1, "2": 2}}}]}
    assert name_at(value, (0, 0, 0, 0, 0)) == 'choices[0].message["odd key"]["it\'s"]'
    assert name_at(value, (0, 0, 0, 0, 1)) == 'choices[0].message["odd key"]["2"]'
    assert name_at([1], (0,)) == "[0]"
    assert name_at(value, ()) == ""
