"""Which of many rows stay, and which split each goes to: the same every time, no conversation in two."""

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from completions.duplicates import Hashes, bands_of, shape_of, shingles
from datasets.build.choose import JOINED, LEFT_OUT, Choice, choose
from datasets.build.marks import MARK, NEAR, SIDES, Marks, number_of
from datasets.models import Purpose
from datasets.recipe import SPLITS, Cap, Pairs, Recipe, Sample, Split

APPROVED, GOOD, CORRECTED, NEITHER, REJECTED = 6, 5, 4, 3, 0
NO_RUNS: dict[int, Hashes] = {}


def marks_of(count: int, **columns: Any) -> Marks:
    """Rows that differ in everything, but for what is said here."""
    marks = np.zeros(count, MARK)
    marks["position"] = np.arange(count)
    marks["rank"] = NEITHER
    for name in ("source", "exact", "prompt", "conversation"):
        marks[name] = [number_of(f"{name} {row}") for row in range(count)]
    for name, values in columns.items():
        marks[name] = [number_of(value) if isinstance(value, str) else value for value in values]
    return marks


def near_marks(texts: list[str], **columns: Any) -> tuple[Marks, list[Hashes]]:
    plain = marks_of(len(texts), exact=texts, **columns)
    runs = [shingles(text) for text in texts]
    marks = np.zeros(len(texts), NEAR)
    for name in MARK.names or ():
        marks[name] = plain[name]
    marks["shape"] = [shape_of(each) for each in runs]
    marks["runs"] = [len(each) for each in runs]
    marks["bands"] = [bands_of(each) for each in runs]
    return marks, runs


def chosen(marks: Marks, recipe: Recipe, runs: Any = NO_RUNS) -> Choice:
    return choose(marks, recipe, runs.__getitem__)


def reasons(choice: Choice) -> list[str]:
    return [LEFT_OUT[number] for number in choice["reason"]]


def test_of_rows_that_say_the_same_the_best_stays() -> None:
    marks = marks_of(5, exact=["a", "a", "b", "a", "b"], rank=[NEITHER, GOOD, NEITHER, APPROVED, REJECTED])
    assert reasons(chosen(marks, Recipe(duplicates="exact"))) == [
        "duplicate", "duplicate", "", "", "duplicate",
    ]  # fmt: skip


def test_of_rows_that_are_equally_good_the_newest_stays() -> None:
    marks = marks_of(3, exact=["a", "a", "a"])
    assert reasons(chosen(marks, Recipe(duplicates="exact"))) == ["", "duplicate", "duplicate"]


LONG = "the quick brown fox jumps over the lazy dog while seven wizards watch from a hill above the town"


def test_of_rows_that_say_nearly_the_same_the_best_stays_and_others_are_left_alone() -> None:
    texts = [
        LONG,
        f"{LONG} indeed",
        "something else altogether is asked for here by someone",
        f"{LONG} indeed",
    ]
    marks, runs = near_marks(texts, rank=[NEITHER, APPROVED, NEITHER, NEITHER])
    found = reasons(chosen(marks, Recipe(duplicates="near"), runs))
    assert found == ["near_duplicate", "", "", "duplicate"]


def test_rows_without_a_word_are_no_near_duplicates() -> None:
    marks, runs = near_marks(["", "?", "!", LONG])
    assert reasons(chosen(marks, Recipe(duplicates="near"), runs)) == ["", "", "", ""]


def test_a_cap_keeps_the_best_of_each_group() -> None:
    marks = marks_of(6, capped=["a", "a", "a", "b", "", ""], rank=[3, 3, 6, 3, 3, 5])
    found = reasons(chosen(marks, Recipe(cap=Cap("model", 1))))
    assert found == ["over_cap", "over_cap", "", "", "over_cap", ""]


def test_a_sample_is_drawn_by_its_seed_whatever_the_order() -> None:
    marks = marks_of(200)
    drawn = {seed: kept(marks, Recipe(sample=Sample(20, seed))) for seed in (1, 2)}
    assert {len(rows) for rows in drawn.values()} == {20}
    assert drawn[1] != drawn[2]
    turned = marks[::-1].copy()
    turned["position"] = np.arange(200)
    again = {turned["source"][row] for row in kept(turned, Recipe(sample=Sample(20, 1)))}
    assert again == {marks["source"][row] for row in drawn[1]}


def test_a_sample_over_groups_takes_as_many_of_each_until_a_group_runs_out() -> None:
    marks = marks_of(100, sampled=["large"] * 90 + ["middle"] * 8 + ["small"] * 2)
    drawn = Counter(marks["sampled"][kept(marks, Recipe(sample=Sample(15, 3, "model")))].tolist())
    assert drawn[number_of("small")] == 2
    assert sorted(drawn.values()) == [2, 6, 7]


def kept(marks: Marks, recipe: Recipe) -> list[int]:
    found: list[int] = np.flatnonzero(chosen(marks, recipe)["reason"] == 0).tolist()
    return found


RATED = Recipe(purpose=Purpose.PREFERENCE, pairs=Pairs("ratings"))


def sides(*some: str) -> list[int]:
    return [SIDES.index(side) for side in some]


def test_halves_of_one_prompt_become_pairs_each_once() -> None:
    marks = marks_of(
        6, prompt=["a", "a", "a", "b", "b", "c"], side=sides("+", "-", "-", "+", "+", "-"),
        rank=[5, 1, 0, 5, 6, 1],
    )  # fmt: skip
    choice = chosen(marks, RATED)
    assert reasons(choice) == ["", "no_partner", "joined", "no_partner", "no_partner", "no_partner"]
    assert choice["partner"].tolist() == [2, -1, 0, -1, -1, -1]


def test_halves_that_say_the_same_are_no_pair() -> None:
    marks = marks_of(2, prompt=["a", "a"], exact=["x", "x"], side=sides("+", "-"))
    assert reasons(chosen(marks, RATED)) == ["same_answer", "no_partner"]


def test_a_pair_goes_with_both_of_its_halves() -> None:
    marks = marks_of(
        4, prompt=["a", "a", "b", "b"], exact=["x", "y", "x", "y"], side=sides("+", "-", "+", "-"),
        rank=[5, 1, 6, 1],
    )  # fmt: skip
    recipe = Recipe(purpose=Purpose.PREFERENCE, pairs=Pairs("ratings"), duplicates="exact")
    assert reasons(chosen(marks, recipe)) == ["duplicate", "duplicate", "", "joined"]


def shares(choice: Choice) -> dict[str, int]:
    stays = choice["split"][choice["reason"] == 0]
    return {SPLITS[number]: times for number, times in enumerate(np.bincount(stays, minlength=3).tolist())}


def test_a_split_has_the_percentages_that_were_asked_for() -> None:
    assert shares(chosen(marks_of(200), Recipe(split=Split(10, 20)))) == {
        "train": 140, "validation": 20, "test": 40,
    }  # fmt: skip


def test_a_split_is_even_over_groups_also_where_they_are_small() -> None:
    groups = [f"group {row % 20}" for row in range(100)] + ["large"] * 100
    marks = marks_of(200, even=groups)
    choice = chosen(marks, Recipe(split=Split(10, 10, even="model")))
    assert shares(choice) == {"train": 160, "validation": 20, "test": 20}
    large = choice[marks["even"] == number_of("large")]
    assert shares(large) == {"train": 80, "validation": 10, "test": 10}


def test_most_rows_keep_their_split_when_rows_are_added() -> None:
    marks = marks_of(400)
    recipe = Recipe(split=Split(10, 10, seed=5))
    before, after = chosen(marks[:380], recipe)["split"], chosen(marks, recipe)["split"][:380]
    assert (before != after).mean() < 0.03


def test_near_duplicates_are_in_one_split_also_by_way_of_a_third() -> None:
    words = [f"word{number}" for number in range(60)]
    # Each is near to the next, the first is not near to the last.
    texts = [" ".join(words[start : start + 40]) for start in range(0, 20, 1)]
    others = [" ".join(f"other{row}x{number}" for number in range(20)) for row in range(80)]
    marks, runs = near_marks([*texts, *others])
    choice = chosen(marks, Recipe(split=Split(25, 25, unit="near")), runs)
    assert len(set(choice["split"][:20].tolist())) == 1
    assert shares(choice) == {"train": 50, "validation": 25, "test": 25}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=60),
    st.integers(0, 60),
    st.integers(0, 39),
    st.integers(0, 2**31 - 1),
)
def test_no_conversation_and_no_prompt_is_in_two_splits(
    rows: list[tuple[int, int]], validation: int, test: int, seed: int
) -> None:
    marks = marks_of(
        len(rows), conversation=[f"c{one}" for one, _ in rows], prompt=[f"p{two}" for _, two in rows]
    )
    if not validation and not test:
        return
    choice = chosen(marks, Recipe(split=Split(validation, test, seed)))
    for name in ("conversation", "prompt"):
        for value in set(marks[name].tolist()):
            assert len(set(choice["split"][marks[name] == value].tolist())) == 1


def test_halves_of_a_pair_are_in_one_split_with_what_either_belongs_to() -> None:
    count = 40
    marks = marks_of(
        2 * count,
        prompt=[f"p{row // 2}" for row in range(2 * count)],
        side=sides(*("+", "-") * count),
        conversation=[f"c{row // 4}" if row % 2 else f"d{row}" for row in range(2 * count)],
    )
    recipe = Recipe(purpose=Purpose.PREFERENCE, pairs=Pairs("ratings"), split=Split(25, 25))
    choice = chosen(marks, recipe)
    assert (choice["reason"] == JOINED).sum() == count
    for row in range(0, 2 * count, 4):
        assert len(set(choice["split"][row : row + 4].tolist())) == 1


def test_the_same_rows_are_chosen_every_time() -> None:
    recipe = Recipe(duplicates="exact", cap=Cap("model", 3), sample=Sample(10, 1), split=Split(20, 20))
    says, groups = [f"e{row % 40}" for row in range(60)], [f"g{row % 7}" for row in range(60)]
    marks = marks_of(60, exact=says, capped=groups)
    assert chosen(marks, recipe).tobytes() == chosen(marks.copy(), recipe).tobytes()
