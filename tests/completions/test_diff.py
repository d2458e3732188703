"""What changed between two texts: nothing is lost, the cost has a bound, and it is told without colour."""

import random
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completions import diff_html
from completions.diff import Piece, Run, diff, is_same, matching
from tests.portal.test_rendering import PAYLOADS

WORDS = st.sampled_from(
    ["a", "the", "sum", " ", "  ", "\n", ".", '"', "é", "日", "本", "\r\n", "12.5", "it's"]
)
TEXTS = st.text() | st.lists(WORDS).map("".join)


def kinds(before: str, after: str) -> list[tuple[str, str]]:
    return [(piece.kind, piece.text) for piece in diff(before, after)]


def check_whole(before: str, after: str, pieces: list[Piece]) -> None:
    assert "".join(piece.text for piece in pieces if piece.kind != "add") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "del") == after
    assert all(piece.text for piece in pieces)


@given(TEXTS, TEXTS)
def test_the_pieces_make_both_texts(before: str, after: str) -> None:
    check_whole(before, after, diff(before, after))


@given(TEXTS, TEXTS, st.integers(0, 40))
def test_the_pieces_make_both_texts_however_little_may_be_compared(
    before: str, after: str, steps: int
) -> None:
    check_whole(before, after, diff(before, after, [steps]))


@given(TEXTS)
def test_a_text_is_the_same_as_itself(text: str) -> None:
    pieces = diff(text, text)
    assert is_same(pieces)
    assert len(pieces) == bool(text)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_what_matches_is_the_longest_that_can_match(before: list[str], after: list[str]) -> None:
    longest = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for n, one in enumerate(before):
        for m, other in enumerate(after):
            longest[n + 1][m + 1] = (
                longest[n][m] + 1 if one == other else max(longest[n][m + 1], longest[n + 1][m])
            )
    runs = matching(before, after)
    assert sum(run.length for run in runs) == longest[-1][-1]
    for run in runs:
        assert before[run.a : run.a + run.length] == after[run.b : run.b + run.length]
    for one_run, next_run in pairwise(runs):
        assert one_run.a + one_run.length <= next_run.a
        assert one_run.b + one_run.length <= next_run.b


@pytest.mark.parametrize(
    ("before", "after", "pieces"),
    [
        ("", "", []),
        ("", "new", [("add", "new")]),
        ("old", "", [("del", "old")]),
        (
            "The quick fox",
            "The slow fox",
            [("same", "The "), ("del", "quick"), ("add", "slow"), ("same", " fox")],
        ),
        (
            '{"city":"Oslo"}',
            '{"city":"Rome"}',
            [("same", '{"city":"'), ("del", "Oslo"), ("add", "Rome"), ("same", '"}')],
        ),
        ("foo bar baz", "qux zap baz", [("del", "foo bar"), ("add", "qux zap"), ("same", " baz")]),
        (
            "古い文です",
            "新しい文です",
            [("del", "古"), ("add", "新し"), ("same", "い文です")],
        ),
        ("one\ntwo\n", "one\n", [("same", "one\n"), ("del", "two\n")]),
    ],
)
def test_changes_are_read_by_words(before: str, after: str, pieces: list[tuple[str, str]]) -> None:
    assert kinds(before, after) == pieces


def test_a_word_that_changed_is_found_in_a_long_text() -> None:
    lines = [f"Line {n} says that {n % 7} things happened.\n" for n in range(6_000)]
    before = "".join(lines)
    lines[3_000] = lines[3_000].replace("happened", "occurred")
    assert [each for each in kinds(before, "".join(lines)) if each[0] != "same"] == [
        ("del", "happened"),
        ("add", "occurred"),
    ]


def _shuffled(size: int, letters: str) -> str:
    return "".join(random.Random(size).choices(letters, k=size))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (_shuffled(200_000, "ab \n"), _shuffled(200_001, "ab \n")),
        ("a\n" * 100_000, "b\n" * 100_000),
        ("a b\n" * 50_000, "b a\n" * 50_000),
        (" ".join(map(str, range(40_000))), " ".join(map(str, reversed(range(40_000))))),
        ("x" * 200_000, "x" * 199_999 + "y"),
    ],
    ids=["noise", "nothing the same", "nearly the same lines", "reversed", "one word"],
)
def test_long_texts_take_no_more_comparisons_than_are_allowed(before: str, after: str) -> None:
    check_whole(before, after, diff(before, after))
    room = [20_000]
    matching(before.split("\n"), after.split("\n"), room)
    matching(before.split(" "), after.split(" "), room)
    longest = max(len(before), len(after))
    assert room[0] > -longest - 20_000  # the last run may be taken to its end, and each search stops at once


def test_without_room_nothing_is_searched() -> None:
    assert matching(["a", "b", "c"], ["x", "b", "y"], [0]) == []
    assert matching(["a", "b", "c"], ["x", "b", "y"]) == [Run(1, 1, 1)]


# As HTML.


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def text_of(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def test_what_changed_is_told_in_elements_and_in_words() -> None:
    html = diff_html.changes("The quick fox", "The slow fox")
    assert "<del>" in html
    assert "<ins>" in html
    assert text_of(html) == "The [deleted: quick][added: slow] fox"


def test_each_side_shows_its_own_text() -> None:
    before, after = diff_html.sides("The quick fox", "The slow fox")
    assert text_of(before) == "The [deleted: quick] fox"
    assert text_of(after) == "The [added: slow] fox"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_is_never_markup(payload: str) -> None:
    for html in (diff_html.changes(payload, "x"), diff_html.changes("x", payload)):
        parser = Elements()
        parser.feed(html)
        assert {tag for tag, _ in parser.found} <= {"div", "del", "ins", "span", "wbr"}
        assert {name for _, attributes in parser.found for name in attributes} <= {
            "class", "dir", "title", "aria-hidden",
        }  # fmt: skip


def test_a_hidden_character_that_was_added_is_seen() -> None:
    assert "⟦U+202E⟧" in diff_html.changes("safe", "safe\u202e")


def test_a_line_break_that_was_added_is_seen() -> None:
    html = diff_html.changes("one two", "one two\n")
    assert "↵" in html
    assert "[added: ↵line break\n]" in text_of(html)


def test_what_is_the_same_for_long_is_folded_and_still_there() -> None:
    same = " ".join(f"word{n}" for n in range(1_000))
    html = diff_html.changes(f"old {same} tail", f"new {same} tail")
    assert "characters are the same</summary>" in html
    assert all(f"word{n}" in html for n in range(1_000))


def test_texts_without_end_are_cut_and_it_is_said() -> None:
    html = diff_html.changes("a" * 600_000, "b")
    assert len(html) < 520_000
    assert "too long to be compared here" in html
