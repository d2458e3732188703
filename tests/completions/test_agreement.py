"""Figures of agreement against a reference implementation and textbook tables."""

import random
from typing import Any

import pytest
from nltk.metrics.agreement import AnnotationTask
from nltk.metrics.distance import binary_distance, interval_distance

from completions import agreement

TABLES = 1000


def triples(items: list[dict[str, Any]]) -> list[tuple[str, int, Any]]:
    return [(rater, place, answer) for place, item in enumerate(items) for rater, answer in item.items()]


def table(seed: int, raters: int, answers: list[Any], *, missing: float = 0) -> list[dict[str, Any]]:
    """Answers of people who agree more or less."""
    chance = random.Random(seed)
    noise = chance.random()
    made = []
    for _ in range(chance.randint(2, 30)):
        true = chance.choice(answers)
        made.append(
            {
                f"rater {number}": chance.choice(answers) if chance.random() < noise else true
                for number in range(raters)
                if chance.random() >= missing
            }
        )
    return made


def test_cohens_kappa_and_percent_are_those_of_the_reference() -> None:
    defined = 0
    for seed in range(TABLES):
        items = table(seed, 2, ["a", "b", "c", "d"][: 2 + seed % 3])
        task = AnnotationTask(triples(items))
        assert agreement.percent(items) == pytest.approx(task.avg_Ao())
        found = agreement.kappa(items)
        if found is None:  # the reference calls it perfect; that raters could differ was not shown
            assert len({answer for item in items for answer in item.values()}) == 1
        else:
            defined += 1
            assert found == pytest.approx(task.kappa())
    assert defined > TABLES * 0.9


@pytest.mark.parametrize("missing", [0, 0.3])
def test_krippendorffs_alpha_is_that_of_the_reference(missing: float) -> None:
    defined = 0
    for seed in range(TABLES):
        interval = seed % 2 == 1
        answers: list[Any] = [1, 2, 3, 4, 5] if interval else ["a", "b", "c"]
        items = table(seed, 2 + seed % 4, answers, missing=missing)
        found = agreement.alpha(items, interval=interval)
        if found is None:
            shared = [item for item in items if len(item) > 1]
            assert len({answer for item in shared for answer in item.values()}) < 2
            continue
        defined += 1
        reference = AnnotationTask(triples(items), interval_distance if interval else binary_distance)
        assert found == pytest.approx(reference.alpha(), abs=1e-9)
    assert defined > TABLES * 0.9


# Krippendorff's own example with missing answers: "Computing Krippendorff's Alpha-Reliability", part C.
A = [None, None, None, None, None, 3, 4, 1, 2, 1, 1, 3, 3, None, 3]
B = [1, None, 2, 1, 3, 3, 4, 3, None, None, None, None, None, None, None]
C = [None, None, 2, 1, 3, 4, 4, None, 2, 1, 1, 3, 3, None, 4]


def test_alpha_of_the_textbook() -> None:
    items = [
        {name: answer for name, answer in zip("ABC", row, strict=True) if answer is not None}
        for row in zip(A, B, C, strict=True)
    ]
    assert agreement.alpha(items) == pytest.approx(0.691, abs=5e-4)
    assert agreement.alpha(items, interval=True) == pytest.approx(0.811, abs=5e-4)


def test_kappa_of_the_textbook() -> None:
    """Fifty grant proposals: both say yes to 20, both no to 15."""
    said = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    items = [{"A": one, "B": other} for one, other in said]
    assert agreement.kappa(items) == pytest.approx(0.4)
    assert agreement.percent(items) == pytest.approx(0.7)


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{}],
        [{"A": "x"}, {"B": "y"}],
        [{"A": "x", "B": "x"}, {"A": "x", "B": "x"}],
    ],
)
def test_what_nothing_can_be_told_from_has_no_figure(items: list[dict[str, str]]) -> None:
    assert agreement.kappa(items) is None
    assert agreement.alpha(items) is None
    assert agreement.alpha(items, interval=True) is None


def test_kappa_is_of_two_people() -> None:
    items = [{"A": "x", "B": "y", "C": "x"}, {"A": "x", "B": "x", "C": "y"}]
    found = agreement.figures(items)
    assert found.kappa is None
    assert (found.items, found.raters) == (2, 3)
    assert found.alpha is not None
    assert found.percent == pytest.approx(1 / 3)


def test_who_always_differs_agrees_less_than_by_chance() -> None:
    items = [{"A": "x", "B": "y"}, {"A": "y", "B": "x"}]
    assert agreement.kappa(items) == -1
    assert agreement.figures(items).words == "poor"
    assert agreement.differing([{"A": "x", "B": "x"}, *items, {"A": "x"}]) == [1, 2]


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (-1.0, "poor"),
        (0.1, "slight"),
        (0.3, "fair"),
        (0.5, "moderate"),
        (0.7, "substantial"),
        (1.0, "almost perfect"),
    ],
)
def test_a_figure_is_said_in_words(figure: float, words: str) -> None:
    assert agreement.in_words(figure) == words
