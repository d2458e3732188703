"""Words, beginnings of words and phrases: the same answers from both engines, and from no engine at all."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from completions import search
from completions.columns import DERIVED
from completions.conversation import Texts
from completions.models import Mirror, StoredCompletion
from completions.search import index as search_index
from completions.search import postgres, tokens
from completions.search.tokens import COLUMNS, PHRASE_WORDS, TextQuery, document, fits, holds, term, words
from portal.models import Connection
from tests.factories import make_completion

pytestmark = [pytest.mark.django_db, pytest.mark.engines]


def query(*terms: object) -> TextQuery:
    return TextQuery(tuple(each for each in terms if each is not None))  # type: ignore[misc]  # built by term()


def found(*terms: object) -> set[int]:
    return among(StoredCompletion.objects.values_list("pk", flat=True), query(*terms))


def among(ids: Iterable[int], wanted: TextQuery) -> set[int]:
    some = np.array(list(ids), dtype=np.int64)
    return set(some[search_index.among(some, wanted)].tolist())


def index(*texts: Texts) -> list[int]:
    return [make_completion(prompt=each.prompt, answer=each.answer, system=each.system).pk for each in texts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("snake_case and kebab-case", ["snake", "case", "and", "kebab", "case"]),
        ("naïve CAFÉ Straße ﬁn", ["naive", "cafe", "strasse", "fin"]),
        ("İstanbul ΟΔΟΣ οδός", ["istanbul", "οδοσ", "οδοσ"]),
        ("検索する", ["検", "索", "す", "る"]),
        ("한국어 검색", ["한국어", "검색"]),
        ("हिन्दी", ["हिन्दी"]),
        ("a\x00b\ud800c\u202ed", ["a", "b", "c", "d"]),
        ("x" * 300, ["x" * 100]),
        ("''\\\":*&|!()<->{}^", []),
        ("½ ①2", ["1", "2", "12"]),
    ],
)
def test_words_ignore_case_accents_and_punctuation(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_word_a_beginning_and_a_phrase_are_found() -> None:
    first, second = index(
        Texts("", "How do I rotate the signing key?", "Add a second certificate."),
        Texts("", "Sign the release", "The key is rotated, do I say"),
    )
    assert found(term("rotate")) == {first}
    assert found(term("rotat", prefix=True)) == {first, second}
    assert found(term("signing key")) == {first}
    assert found(term("key signing")) == set()
    assert found(term("the sign", prefix=True)) == {first}
    assert found(term("key"), term("the")) == {first, second}
    assert found(term("certificate"), term("release")) == set()


def test_a_phrase_does_not_reach_from_the_prompt_into_the_answer() -> None:
    (row,) = index(Texts("be brief", "one two", "three four"))
    assert found(term("two three")) == set()
    assert found(term("one two"), term("three four")) == {row}


def test_the_system_prompt_is_searched_only_when_asked_for() -> None:
    (row,) = index(Texts("pirate voice", "hello", "ahoy"))
    assert found(term("pirate")) == set()
    assert found(term("pirate", columns=("system",))) == {row}
    assert found(term("ahoy", columns=("prompt",))) == set()
    assert found(term("ahoy", columns=("answer",))) == {row}


def test_changed_texts_are_found_by_their_new_words_alone() -> None:
    (row,) = index(Texts("", "old question", "old answer"))
    old, new = Texts("", "old question", "old answer"), Texts("", "new question", "old reply")
    search.put([(row, old, new)])
    assert found(term("new")) == {row}
    assert found(term("reply")) == {row}
    assert found(term("answer")) == set()
    search.remove([(row, new)])
    assert found(term("question")) == set()


def test_forgetting_takes_every_word_of_the_bodies() -> None:
    from completions.models import Body

    kept, gone = index(Texts("", "apple pear", "x"), Texts("", "apple fig", "x"))
    search.forget(Body.objects.filter(pk=gone))
    assert found(term("apple")) == {kept}


def test_operators_of_the_engines_are_plain_words() -> None:
    (row,) = index(Texts("", "this AND that OR those NOT near", 'it\'s "quoted" \\ back%s'))
    for text in (
        "AND",
        "OR",
        "NOT",
        "near",
        "it's",
        '"quoted"',
        "back%s",
        "\\ back",
        "AND that OR",
        "(that):*",
    ):
        assert found(term(text)) == {row}, text
    for text in ("prompt:", "answer", "a' | 'b", "NEAR(this that)", "{system}: that"):
        assert found(term(text)) == set(), text


def test_a_query_without_words_is_no_term() -> None:
    assert term("'; --") is None
    (row,) = index(Texts("", "x", "y"))
    assert found() == {row}


def test_a_word_that_occurs_ten_thousand_times_is_found() -> None:
    (row,) = index(Texts("", "again " * 10_000 + "finally done", "again"))
    assert found(term("again")) == {row}
    assert found(term("finally done")) == {row}
    assert found(term("again", columns=("answer",))) == {row}


def test_a_very_long_text_is_cut_at_the_same_word_on_both_engines() -> None:
    long = " ".join(f"w{number}" for number in range(PHRASE_WORDS + 5000))
    texts = Texts("", long, "the end")
    assert not fits(texts)
    (row,) = index(texts)
    last = PHRASE_WORDS - 1
    assert found(term(f"w{last - 1} w{last}")) == {row}
    assert found(term(f"w{last} w{last + 1}")) == set()
    assert found(term(f"w{last + 1} w{last + 2}")) == set()
    assert found(term(f"w{last + 2}")) == {row}
    assert found(term("end")) == {row}


def test_more_distinct_words_than_one_row_can_hold_do_not_fail() -> None:
    huge = " ".join(f"{number:x}".rjust(60, "z") for number in range(20_000))
    texts = Texts("", huge, "x")
    assert not document(texts).whole
    (row,) = index(texts)
    assert found(term(f"{0:x}".rjust(60, "z"))) == {row}
    assert found(term(f"{19_999:x}".rjust(60, "z"))) == set()


def test_many_ids_with_holes_between_them_are_probed_rightly() -> None:
    rows = index(*(Texts("", f"number {n} {'odd' if n % 2 else 'even'}", "x") for n in range(40)))
    odd = {row for n, row in enumerate(rows) if n % 3 == 0 and n % 2}
    assert among(rows[::3], query(term("odd"))) == odd
    assert among([], query(term("odd"))) == set()
    assert all(a < b for a, b in pairwise(rows))


@pytest.mark.parametrize("word", ["odd", "number", "rare", "none"])
def test_documents_that_lie_far_apart_are_found_one_by_one(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setattr(search_index, "APART", 0)
    monkeypatch.setattr(search_index, "NEAR", 1)
    texts = [f"number {n} {'odd' if n % 2 else 'even'} {'rare' if n in (3, 33) else ''}" for n in range(60)]
    rows = index(*(Texts("", text, "x") for text in texts))
    asked = rows[::3]
    expected = {row for row, text in zip(rows, texts, strict=True) if row in asked and word in text.split()}
    assert among(asked, query(term(word))) == expected


def test_many_documents_from_before_there_were_blocks_are_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "DIRECTLY", 4)
    rows = index(*(Texts("", f"number {n} {'odd' if n % 2 else 'even'}", "x") for n in range(11)))
    odd = set(rows[1::2])
    assert among(rows, query(term("odd"))) == odd
    Mirror.objects.update_or_create(connection=Connection.objects.get(), defaults={"derived": DERIVED - 1})
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            blocks = sorted({postgres.block(row) for row in rows})
            cursor.execute(
                "UPDATE completions_textindex SET document = ts_delete(document, %s::text[])", [blocks]
            )
    assert among(rows, query(term("odd"))) == odd
    assert among(rows[::-1], query(term("odd"), term("number"))) == odd
    Mirror.objects.update(derived=DERIVED)
    without_blocks = connection.vendor == "postgresql"
    assert among(rows, query(term("odd"))) == (set() if without_blocks else odd)


def test_rare_words_are_asked_about_once_in_the_whole_index(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(search_index, "DIRECTLY", 4)
    monkeypatch.setattr(search_index, "RARE", 2)
    rows = np.array(index(*(Texts("", f"{'odd' if n in (8, 21) else 'even'} one", "x") for n in range(30))))
    rare, asked = query(term("odd")), search_index.Asked()
    for some in (rows[:12], rows[12:], rows[::-1]):
        holding = some[search_index.within(some, search_index.holders(some, rare, asked=asked))]
        assert set(holding.tolist()) == set(rows[[8, 21]].tolist()) & set(some.tolist())
    if connection.vendor == "postgresql":
        with django_assert_num_queries(0):
            assert search_index.holders(rows, rare, asked=asked).tolist() == rows[[8, 21]].tolist()
    side_by_side, asked = query(term("odd one")), search_index.Asked()
    assert search_index.holders(rows, side_by_side, asked=asked).tolist() == rows[[8, 21]].tolist()
    assert asked.every is None


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(codec="ascii"), max_size=300) | st.text(alphabet="aB-_9", min_size=90, max_size=300)
)
def test_words_of_plain_text_are_those_of_any_text(text: str) -> None:
    slowly = text.lower().translate(tokens._SEPARATE).split()
    assert words(text) == [word[: tokens.WORD_CHARS] for word in slowly]
    assert words(text + " \N{GREEK SMALL LETTER ALPHA}")[:-1] == words(text)


REPEATING = st.lists(
    st.sampled_from(["one", "two", "three", "", "é", "検索"]) | st.text(max_size=6), max_size=12
).flatmap(lambda some: st.sampled_from([" ".join(some), " ".join(some) * 40, " ".join(some * 120)]))


@settings(max_examples=150, deadline=None)
@given(st.builds(Texts, REPEATING, REPEATING, REPEATING))
def test_the_quick_way_to_a_document_leads_to_the_same_one(texts: Texts) -> None:
    found = {column: words(getattr(texts, column)) for column in COLUMNS}
    assert document(texts) == tokens._within_limits(found)


@settings(max_examples=100, deadline=None)
@given(st.builds(Texts, REPEATING, REPEATING, REPEATING))
def test_a_vector_holds_each_word_at_its_place(texts: Texts) -> None:
    made = document(texts)
    written = [piece.rpartition(":") for piece in postgres.vector(4096 * 17 + 5, texts).split(" ")]
    assert written[0] == ("", "", "_b17")
    start, expected = 1, []
    for column, weight in (("prompt", "A"), ("answer", "B"), ("system", "C")):
        kept = made.columns[column]  # type: ignore[index]  # one of three
        apart = "_s" if column == "system" else ""
        expected += [(apart + w, ":", f"{n}{weight}") for n, w in enumerate(kept, start) if w != "_"]
        start += len(kept) + 2
    assert written[1:] == expected


def test_blocks_hold_for_the_documents_of_these_ids_alone() -> None:
    assert postgres.blocks(0, 4095) == "(_b0)"
    assert postgres.blocks(4095, 8192) == "(_b0 | _b1 | _b2)"
    assert term("_b0") == term("b0")  # nobody can ask for a block


PIECES = st.text(
    st.one_of(st.sampled_from("abAB _-'\"*:é検索\u0301\x00%\\"), st.characters(exclude_categories=[])),
    max_size=24,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(PIECES, PIECES, PIECES), min_size=1, max_size=6), PIECES, st.booleans())
def test_the_engine_agrees_with_a_search_by_hand(
    rows: list[tuple[str, str, str]], asked: str, prefix: bool
) -> None:
    texts = {1000 + n: Texts(*row) for n, row in enumerate(rows)}
    wanted = term(asked, prefix=prefix, columns=("prompt", "answer", "system"))
    search.put((pk, None, each) for pk, each in texts.items())
    try:
        if wanted is not None:
            expected = {pk for pk, each in texts.items() if holds(each, query(wanted))}
            assert among(texts, query(wanted)) == expected
    finally:
        search.remove(texts.items())
    if wanted is not None:
        assert among(texts, query(wanted)) == set()


@pytest.mark.django_db(transaction=True)
def test_flush_leaves_no_words_behind() -> None:
    (row,) = index(Texts("", "leftover", "x"))
    call_command("flush", interactive=False, verbosity=0)
    with connection.cursor() as cursor:
        assert among([row], query(term("leftover"))) == set()
        cursor.execute("SELECT 1")
