"""Marks in texts: what a filter looked for, wherever it stands, and nothing that is not text."""

import itertools
import re

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from completions.filters import Filter
from completions.highlights import Highlights
from completions.pane import Pane
from completions.search.tokens import words
from portal.models import User
from tests.factories import make_completion


def marked(q: str, text: str, column: str = "prompt") -> list[str]:
    return re.findall("<mark>(.*?)</mark>", Highlights(Filter.parse(q)).write(text, column))


@pytest.mark.parametrize(
    ("q", "text", "found"),
    [
        ("apple", "An Apple, an apple; pineapple", ["Apple", "apple"]),
        ("app*", "An Apple on an app", ["App", "app"]),
        ('"red apple"', "red -- apple, red pear apple", ["red -- apple"]),
        ("cafe", "Le CAFÉ là", ["CAFÉ"]),
        ("東京", "在東京住", ["東京"]),
        ("naive", "nai\u0308ve or naïve", ["nai\u0308ve", "naïve"]),
        ('~"a<b"', "if a<b then A<B", ["a&lt;b", "A&lt;B"]),
        (r"/\d+ ms/", "took 12 ms and 7 ms", ["12 ms", "7 ms"]),
        ("prompt:apple", "an apple", ["apple"]),
        ("answer:apple", "an apple", []),
        ("-apple", "an apple", []),
        ("(apple OR pear) -plum", "apple pear plum", ["apple", "pear"]),
        ("model:apple", "an apple", []),
    ],
)
def test_matches_are_marked(q: str, text: str, found: list[str]) -> None:
    assert marked(q, text) == found


def test_the_text_is_escaped_around_the_marks_and_in_them() -> None:
    shown = Highlights(Filter.parse("b")).write('<b> & "b" \u202e', "answer")
    assert shown.startswith("&lt;<mark>b</mark>&gt; &amp; ")
    assert "\u202e" not in shown


@given(st.text(max_size=60), st.text(alphabet="ab éß東 ", min_size=1, max_size=6))
def test_marks_never_change_the_text(text: str, word: str) -> None:
    if not words(word):
        return
    marks = Highlights(Filter.parse(f'"{word}"'))
    spans = marks.spans(text, "prompt")
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))


@given(st.lists(st.sampled_from(["Apple", "pear", "É́", "ﬁx", "東", "-", "İ"]), min_size=1, max_size=12))
def test_what_search_finds_is_marked(parts: list[str]) -> None:
    text = " ".join(parts)
    for word in words(text):
        assert Highlights(Filter.parse(f'"{word}"')).spans(text, "prompt"), (text, word)


def test_a_text_begins_near_its_first_match() -> None:
    shown = Highlights(Filter.parse("needle")).write(f"{'hay ' * 30}needle and more", "answer")
    assert shown.startswith("…hay hay")
    assert shown.index("<mark>") < 20


@pytest.mark.engines
@pytest.mark.django_db
def test_a_match_behind_the_beginning_is_shown_by_the_piece_around_it(reader: User) -> None:
    make_completion(prompt="p " * 300 + "the needle here " + "q " * 300, answer="short")
    make_completion(prompt="a needle in front", answer="x")
    first, second = Pane.of(reader, QueryDict("q=needle")).rows
    assert "<b>a <mark>needle</mark> in front</b>" in first.html
    assert "the <mark>needle</mark> here" in second.html
    assert "<span>short</span>" in second.html
