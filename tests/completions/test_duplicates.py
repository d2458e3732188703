"""What is the same, nearly the same, or goes on; each against looking at every pair."""

import random
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from completions import duplicates, search
from completions.conversation import Conversation, parse
from completions.duplicates import (
    BANDS,
    MOST_CHARS,
    NEAR,
    Firsts,
    bands_of,
    chain,
    exact_key,
    jaccard,
    joined,
    near_pairs,
    shape_of,
    shingles,
    thread_roots,
)

TEXTS = st.text(st.characters(exclude_categories=[]), max_size=60)
FEW_WORDS = st.lists(st.sampled_from(["red", "blue", "straße", "日本", "ÉTÉ", "1", "—"]), max_size=12).map(
    " ".join
)


def talk(*said: str, answer: str = "", system: str = "", **more: Any) -> Conversation:
    """A conversation in which user and assistant take turns."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(said)]
    return parse({"choices": [{"index": 0, "message": {"content": answer, **more}}]}, messages)


def test_spaces_and_the_model_do_not_make_a_difference() -> None:
    one = talk("What  is\r\nthis?", answer="A test. ")
    other = talk("What is this?", answer="A test.", id="x")
    assert exact_key(one) == exact_key(other)
    assert len(exact_key(one)) == 16


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_two_are_the_same_only_if_prompt_and_answer_are(a: str, b: str, c: str, d: str) -> None:
    same = duplicates._plain(a) == duplicates._plain(c) and duplicates._plain(b) == duplicates._plain(d)
    assert (exact_key(talk(a, answer=b)) == exact_key(talk(c, answer=d))) is same


def test_what_moves_from_prompt_to_answer_is_another_completion() -> None:
    assert exact_key(talk("a b", answer="c")) != exact_key(talk("a", answer="b c"))
    assert exact_key(talk("a", "b", "c", answer="d")) != exact_key(talk("a", "b", answer="c"))
    assert exact_key(talk("a", system="s", answer="d")) != exact_key(talk("a", answer="d"))


def test_the_order_of_a_calls_arguments_does_not_count_and_its_values_do() -> None:
    def called(arguments: str, identity: str) -> Conversation:
        call = {"id": identity, "type": "function", "function": {"name": "look", "arguments": arguments}}
        return talk("a", answer="", tool_calls=[call])

    assert exact_key(called('{"a": 1, "b": 2}', "1")) == exact_key(called('{"b":2,"a":1}', "2"))
    assert exact_key(called('{"a": 1}', "1")) != exact_key(called('{"a": 2}', "1"))


def test_where_messages_are_missing_nothing_is_the_same() -> None:
    pending = parse({"choices": [{"index": 0, "message": {"content": "a"}}]}, None)
    assert exact_key(pending) == ""
    assert exact_key(parse({"choices": []}, [])) == ""
    assert chain(pending) == (0, [])


@given(FEW_WORDS, FEW_WORDS, FEW_WORDS, FEW_WORDS)
def test_jaccard_is_the_share_of_common_runs(a: str, b: str, c: str, d: str) -> None:
    def runs(prompt: str, answer: str) -> set[tuple[str, ...]]:
        asked, said = search.words(prompt), search.words(answer)
        if not asked and not said:
            return set()
        every = [*asked, "_", *said]
        every += [""] * (3 - len(every))
        return {tuple(every[at : at + 3]) for at in range(len(every) - 2)}

    one, other = runs(a, b), runs(c, d)
    share = len(one & other) / len(one | other) if one and other else 0.0
    assert jaccard(shingles(a, b), shingles(c, d)) == pytest.approx(share)


@given(TEXTS, TEXTS)
def test_any_text_has_shingles_and_bands(prompt: str, answer: str) -> None:
    runs = shingles(prompt, answer)
    assert bands_of(runs).shape == (BANDS,)
    assert list(runs) == sorted(set(runs.tolist()))


def test_a_huge_text_is_looked_at_up_to_a_limit() -> None:
    beginning = "word " * (MOST_CHARS // 5)
    assert np.array_equal(shingles(beginning + "tail " * 100_000), shingles(beginning))
    many = " ".join(str(n) for n in range(MOST_CHARS))
    assert len(shingles(many, many)) <= 2 * MOST_CHARS


def varied(seed: int) -> list[str]:
    """Texts of which some are others with a few words changed."""
    chance = random.Random(seed)
    vocabulary = [f"w{n}" for n in range(400)]
    made: list[list[str]] = []
    for _ in range(60):
        if made and chance.random() < 0.6:
            words = list(chance.choice(made))
            for _ in range(chance.randrange(6)):
                words[chance.randrange(len(words))] = chance.choice(vocabulary)
        else:
            words = chance.choices(vocabulary, k=chance.randint(20, 80))
        made.append(words)
    return [" ".join(words) for words in made]


@pytest.mark.parametrize("seed", range(6))
def test_near_pairs_are_those_of_looking_at_every_pair(seed: int) -> None:
    every = [shingles(text) for text in varied(seed)]
    expected = {
        (one, other)
        for one, other in combinations(range(len(every)), 2)
        if jaccard(every[one], every[other]) >= NEAR
    }
    found = list(near_pairs(np.array([bands_of(runs) for runs in every]), every.__getitem__))
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert expected


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20))
def test_joined_rows_are_those_that_pairs_lead_to(pairs: list[tuple[int, int]]) -> None:
    groups = {row: {row} for row in range(12)}
    for one, other in pairs:
        union = groups[one] | groups[other]
        groups |= dict.fromkeys(union, union)
    assert joined(12, pairs).tolist() == [min(groups[row]) for row in range(12)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fresh", [1, 7, 4096])
def test_each_text_is_near_to_the_first_of_its_group(
    seed: int, fresh: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Firsts, "FRESH", fresh)
    every = [shingles(text) for text in varied(seed)]
    none = np.empty(0, np.int64)
    firsts = Firsts(none, none, np.empty((0, BANDS), np.uint32))
    found, known = dict[int, int](), list[int]()
    for pk, runs in enumerate(every):
        bands, shape = bands_of(runs), shape_of(runs)

        def alike(pk: int, runs: Any = runs) -> bool:
            return bool(jaccard(every[pk], runs) >= NEAR)

        first = firsts.near(shape, bands, alike)
        if first is None:
            firsts.add(pk, shape, bands)
            # Nothing that it could have belonged to was overlooked.
            assert all(jaccard(every[other], runs) < NEAR for other in known)
            known.append(pk)
            first = pk
        found[pk] = first
    assert all(jaccard(every[first], every[pk]) >= NEAR for pk, first in found.items())
    assert len(firsts) == len(known) < len(every)


def roots_of(talks: list[Conversation], created: list[int]) -> list[int]:
    chains = [chain(each) for each in talks]
    owners = [row for row, (_, earlier) in enumerate(chains) for _ in earlier]
    earlier = [number for _, some in chains for number in some]
    whole = np.array([number for number, _ in chains], np.int64)
    roots: list[int] = thread_roots(
        np.array(created, np.int64), whole, np.array(owners, np.int64), np.array(earlier, np.int64)
    ).tolist()
    return roots


def test_a_conversation_goes_on_from_the_longest_that_it_extends() -> None:
    talks = [
        talk("hi", answer="hello", system="It is Monday."),
        talk("hi", "hello", "why?", answer="because", system="It is Tuesday."),
        talk("hi", "hello", "why?", "because", "ah", answer="yes"),
        talk("hi", "hello", "what?", answer="nothing"),
        talk("hi", "good day", "why?", answer="because"),
        talk("ho", answer="hello"),
    ]
    assert roots_of(talks, [1, 2, 3, 4, 5, 6]) == [0, 0, 0, 0, 4, 5]


def test_of_many_equal_openings_each_goes_on_from_the_last_before_it() -> None:
    opening, second = talk("hi", answer="hello"), talk("hi", "hello", "why?", answer="because")
    talks = [opening, second, opening, second, second]
    assert roots_of(talks, [10, 11, 20, 21, 5]) == [0, 0, 2, 2, 0]


@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=4), max_size=14))
def test_threads_are_those_of_looking_at_every_pair(said: list[list[str]]) -> None:
    talks = [
        talk(*[text for turn in turns[:-1] for text in (turn, "ok")], turns[-1], answer="ok")
        for turns in said
    ]
    over = list(range(len(said)))
    for row, turns in enumerate(said):
        before = [
            other for other in range(len(said))
            if len(said[other]) < len(turns) and turns[: len(said[other])] == said[other]
        ]  # fmt: skip
        if before:
            most = max(len(said[other]) for other in before)
            same = [other for other in before if len(said[other]) == most]
            older = [other for other in same if other <= row]
            over[row] = max(older) if older else min(same)

    def top(row: int) -> int:
        return row if over[row] == row else top(over[row])

    assert roots_of(talks, list(range(len(said)))) == [top(row) for row in range(len(said))]
