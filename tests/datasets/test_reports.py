"""From verdicts to the numbers and sentences of a report; no database."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.evaluate.report import Cell, Difference, Judged, Report, chance, read, signed
from datasets.evaluate.tally import OVERALL, Verdicts
from portal.wording import percent

TARGETS = ["first", "second"]
Row = tuple[int, str, int, float | None, bool | None, str]


def rows(outcomes: list[tuple[str, str]], grader: int = 1) -> Iterator[Row]:
    """One item per pair of letters: p passed, f failed, u ungraded, - no verdict at all."""
    meaning: dict[str, tuple[float | None, bool | None, str]] = {
        "p": (0.9, True, ""),
        "f": (0.1, False, ""),
        "u": (None, None, "There is no item.reference."),
    }
    for item, pair in enumerate(outcomes):
        for target, letter in zip(TARGETS, pair, strict=True):
            if letter in meaning:
                yield (item, target, grader, *meaning[letter])


def report(outcomes: list[tuple[str, str]], names: tuple[str, str] = ("teacher", "student")) -> Report:
    verdicts = Verdicts(TARGETS, [1])
    verdicts.add_all(rows(outcomes))
    targets = [
        {"key": key, "label": name, "kind": "stored"} for key, name in zip(TARGETS, names, strict=True)
    ]
    graders = [{"id": 1, "name": "Close", "cells": verdicts.cells(1), "pairs": verdicts.pairs(1)}]
    return read(
        {"items": len(outcomes), "left_out": 0, "targets": targets, "graders": graders, "ungraded": []},
        {1: {"threshold": 0.5}},
    )


def test_verdicts_are_counted_and_the_ungraded_apart() -> None:
    made = report([("p", "p"), ("p", "f"), ("f", "f"), ("u", "p"), ("p", "-")])
    first, second = made.graders[0].cells
    assert (first.passed, first.failed, first.ungraded, first.judged) == (3, 1, 1, 4)
    assert (second.passed, second.failed, second.ungraded) == (2, 2, 0)
    assert first.rate == 0.75


def test_a_pair_counts_only_where_both_were_judged() -> None:
    (difference,) = (
        report([("p", "p"), ("p", "f"), ("f", "p"), ("p", "f"), ("u", "p"), ("p", "u")])
        .graders[0]
        .differences
    )
    assert (difference.items, difference.only_first, difference.only_second) == (4, 2, 1)
    assert difference.points == -25


def test_a_clear_difference_is_said_with_its_interval_and_chance() -> None:
    made = report([("p", "f")] * 20 + [("p", "p")] * 70 + [("f", "p")] * 2 + [("f", "f")] * 8)
    assert made.headline == (
        "“student” passes “Close” 18.0 points less often than “teacher”"
        " (95% interval −26.4 to −8.9, 100 items, p\N{NO-BREAK SPACE}<\N{NO-BREAK SPACE}0.001)."  # noqa: RUF001  # a minus sign is meant
    )
    assert made.graders[0].differences[0].tone == "bad"


def test_a_chance_near_the_limit_shows_its_side() -> None:
    told = [
        chance(p).replace("\N{NO-BREAK SPACE}", " ") for p in (0.0496, 0.049996, 0.05, 0.0504, 0.0506, 0.5)
    ]
    assert told == ["p = 0.0496", "p = 0.049996", "p = 0.050", "p = 0.050", "p = 0.051", "p = 0.50"]


def test_what_is_nearly_all_or_hardly_any_is_not_rounded_to_all_or_none() -> None:
    nearly = Cell("a", "base", 49_987, 13, 0, None, ()), Cell("b", "student", 49_999, 1, 0, None, ())
    judged = Judged(1, "Close", nearly, (Difference("base", "student", 50_000, 0, 12),))
    found = Report(50_000, 0, (), (judged,), ())
    assert found.headline.startswith(
        "“student” passes “Close” 0.02 points more often than “base” (95% interval +0.01"
    )
    alone = replace(found, graders=(replace(judged, cells=nearly[1:], differences=()),))
    assert alone.headline.startswith("“student” passes “Close” on 99.998% of 50,000 items")
    assert [percent(share, 1) for share in (0, 1e-9, 0.0004, 0.5, 0.9996, 1)] == [
        "0.0%",
        "0.0%",
        "0.04%",
        "50.0%",
        "99.96%",
        "100.0%",
    ]


def test_a_target_that_has_no_item_in_common_with_the_first_is_told_by_itself() -> None:
    cells = [Cell(name, name, 8, 2, 0, None, ()) for name in ("base", "student", "other")]
    pairs = Difference("base", "student", 10, 1, 1), Difference("base", "other", 0, 0, 0)
    found = Report(20, 0, (), (Judged(1, "Close", tuple(cells), pairs),), ())
    assert found.headline.startswith("No difference can be told: “student”")
    assert found.headline.endswith(
        "“other” passes “Close” on 80.0% of 10 items (95% interval 49.0 to 94.3%)."
    )


def test_a_difference_that_may_be_chance_is_not_claimed() -> None:
    made = report([("p", "f")] * 3 + [("f", "p")] * 2 + [("p", "p")] * 95)
    assert made.headline.startswith(
        "No difference can be told: “student” passes “Close” on 97.0% of the items,"
    )
    assert made.graders[0].differences[0].tone == "none"


def test_rates_of_more_items_than_are_compared_are_told_apart_from_the_difference() -> None:
    made = report([("p", "f")] * 3 + [("f", "p")] * 2 + [("p", "p")] * 15 + [("u", "p")] * 20)
    assert "“student” passes “Close” on 92.5% of the items, “teacher” on 90.0%" in made.headline
    assert "(on the 20 items judged for both \N{MINUS SIGN}5.0 points, 95% interval " in made.headline


def test_a_target_of_which_nothing_could_be_judged_is_not_passed_over() -> None:
    made = report([("p", "u")] * 4)
    assert made.headline.startswith("“teacher” passes “Close” on 100.0% of 4 items (")
    assert made.headline.endswith(" Nothing of “student” could be judged.")
    apart = report([("p", "u"), ("u", "f")])
    assert "“teacher” passes “Close” on 100.0% of 1 item (" in apart.headline
    assert "“student” passes “Close” on 0.0% of 1 item (" in apart.headline


def test_what_the_interval_excludes_and_the_exact_test_does_not_is_hardly_told() -> None:
    made = report([("f", "p")] * 5 + [("p", "p")] * 6 + [("f", "f")])
    (difference,) = made.graders[0].differences
    assert difference.interval is not None
    assert difference.interval.low > 0
    assert difference.p > 0.05
    assert made.headline.startswith("A difference can hardly be told: “student” passes “Close” on 91.7%")
    assert "excludes zero; the exact test does not rule out chance (12 items, p" in made.headline
    assert difference.tone == "none"


@settings(max_examples=300, deadline=None)
@given(only_first=st.integers(0, 60), only_second=st.integers(0, 60), alike=st.integers(0, 2000))
def test_a_difference_is_claimed_only_where_test_and_interval_agree(
    only_first: int, only_second: int, alike: int
) -> None:
    made = Difference("first", "second", only_first + only_second + alike, only_first, only_second)
    if made.is_clear:
        assert made.interval is not None
        assert made.interval.low > 0 or made.interval.high < 0
        assert not made.is_close
    assert made.tone == ("none" if not made.is_clear else "ok" if only_second > only_first else "bad")


def test_equal_targets_are_called_equal() -> None:
    assert "on the same items (2 compared)" in report([("p", "p"), ("f", "f")]).headline


def test_a_run_in_which_nothing_could_be_judged_says_so() -> None:
    made = report([("u", "u")])
    assert made.headline == "Nothing could be judged."
    assert made.graders[0].cells[0].whisker is None


def test_one_target_is_reported_alone() -> None:
    verdicts = Verdicts(["stored"], [1])
    verdicts.add_all([(n, "stored", 1, 1.0, n < 8, "") for n in range(10)])
    summary: dict[str, Any] = {
        "items": 10,
        "targets": [{"key": "stored", "label": "Stored answers", "kind": "stored"}],
        "graders": [{"id": 1, "name": "Equal", "cells": verdicts.cells(1), "pairs": verdicts.pairs(1)}],
    }
    assert read(summary, {}).headline == (
        "“Stored answers” passes “Equal” on 80.0% of 10 items (95% interval 49.0 to 94.3%)."
    )


def test_an_item_passes_overall_only_if_it_passes_every_grader() -> None:
    verdicts = Verdicts(["stored"], [1, 2])
    pairs = [(True, True), (True, False), (False, None), (True, None)]
    verdicts.add_all(
        (item, "stored", grader, None, passed, "")
        for item, both in enumerate(pairs)
        for grader, passed in zip((1, 2), both, strict=True)
    )
    (cell,) = verdicts.cells(OVERALL)
    assert (cell["passed"], cell["failed"], cell["ungraded"]) == (1, 2, 1)


def test_scores_fall_into_twenty_equal_parts() -> None:
    verdicts = Verdicts(["stored"], [1])
    verdicts.add_all(
        [(n, "stored", 1, score, True, "") for n, score in enumerate((0.0, 0.049, 0.05, 0.5, 1.0))]
    )
    (cell,) = verdicts.cells(1)
    assert [place for place, n in enumerate(cell["bins"]) for _ in range(n)] == [0, 0, 1, 10, 19]
    assert cell["mean"] == pytest.approx(0.3198)


def test_a_distribution_fills_its_drawing() -> None:
    cell = report([("p", "p")] * 3 + [("f", "f")]).graders[0].cells[0]
    assert [(bar.x, bar.height) for bar in cell.bars] == [(20.5, 16), (180.5, 48)]
    assert sum(part["width"] for part in cell.parts) == pytest.approx(100)


@pytest.mark.parametrize(("number", "text"), [(1.25, "+1.2"), (-3.04, "−3.0"), (0.04, "0.0"), (-0.04, "0.0")])  # noqa: RUF001  # a minus sign is meant
def test_differences_carry_their_sign(number: float, text: str) -> None:
    assert signed(number) == text


def test_scores_that_move_are_said_with_their_interval_and_chance() -> None:
    verdicts = Verdicts(TARGETS, [1])
    for item in range(40):
        verdicts.add_all(
            [(item, "first", 1, 0.5, True, ""), (item, "second", 1, 0.6 + item / 1000, True, "")]
        )
    (pair,) = verdicts.pairs(1)
    assert (pair["scores"]["n"], round(pair["scores"]["mean"], 4)) == (40, 0.1195)
    assert pair["scores"]["low"] < 0.1195 < pair["scores"]["high"]
    assert pair["scores"]["p"] < 1e-6


def test_scores_that_only_say_passed_or_failed_are_not_said_twice() -> None:
    verdicts = Verdicts(TARGETS, [1])
    for item in range(5):
        verdicts.add_all([(item, "first", 1, 0.0, False, ""), (item, "second", 1, 1.0, True, "")])
    assert verdicts.pairs(1)[0]["scores"] is None


def test_an_item_scored_for_one_only_moves_nothing() -> None:
    verdicts = Verdicts(TARGETS, [1])
    verdicts.add_all([(1, "first", 1, 0.4, False, ""), (1, "second", 1, None, None, "No answer.")])
    verdicts.add_all([(2, "second", 1, 0.9, True, "")])
    assert verdicts.pairs(1)[0]["scores"] is None


def test_among_several_graders_a_difference_by_chance_stays_as_rare() -> None:
    graders = range(1, 7)
    verdicts = Verdicts(TARGETS, list(graders))
    for item in range(60):
        lost = {grader: item < (11 if grader == 1 else 0) for grader in graders}
        verdicts.add_all(
            row
            for grader in graders
            for row in (
                (item, "first", grader, 1.0, True, ""),
                (item, "second", grader, float(item >= 6 or grader > 1), not (item < 6 and lost[grader]), ""),
            )
        )
    summary = {
        "targets": [{"key": key, "label": key, "kind": "stored"} for key in TARGETS],
        "graders": [
            {"id": pk, "name": f"G{pk}", "cells": verdicts.cells(pk), "pairs": verdicts.pairs(pk)}
            for pk in (*graders, OVERALL)
        ],
    }
    made = read(summary, {})
    first, overall = made.graders[0].differences[0], made.graders[-1].differences[0]
    assert (first.only_first, round(first.p, 5), round(first.corrected or 0, 5)) == (6, 0.03125, 0.1875)
    assert not first.is_clear
    assert "0.19" in first.corrected_chance
    assert overall.corrected is None
    assert overall.is_clear
    assert made.is_corrected


def test_what_scores_say_is_corrected_among_the_graders_that_have_any() -> None:
    """Two of three graders have finer scores; the third could judge nothing, and asks nothing."""
    verdicts = Verdicts(TARGETS, [1, 2, 3])
    for item in range(8):
        rows: list[tuple[int, str, int, float | None, bool | None, str]] = [
            (item, "first", 3, None, None, "Away."),
            (item, "second", 3, None, None, "Away."),
        ]
        for grader, gain in ((1, 0.05), (2, 0.05 if item < 6 else -0.02)):
            first = 0.1 * grader + item / 100
            rows += [
                (item, "first", grader, first, False, ""),
                (item, "second", grader, first + gain, True, ""),
            ]
        verdicts.add_all(rows)
    summary = {
        "targets": [{"key": key, "label": key, "kind": "stored"} for key in TARGETS],
        "graders": [verdicts.entry(pk, f"G{pk}") for pk in (1, 2, 3)],
    }
    (one,), (two,), (none,) = (judged.differences for judged in read(summary, {}).graders)
    assert one.shift is not None
    assert two.shift is not None
    assert one.shift.p < two.shift.p
    assert (one.shift.corrected, two.shift.corrected) == (2 * one.shift.p, max(2 * one.shift.p, two.shift.p))
    assert one.shift.corrected_chance
    assert one.corrected == 2 * one.p, "the third is not counted among those that ask"
    assert (none.items, none.corrected) == (0, None)


def test_scores_are_drawn_from_the_lowest_to_the_highest_that_there_can_be() -> None:
    verdicts = Verdicts(["stored"], [1], {1: (-1.0, 1.0)})
    verdicts.add_all([(n, "stored", 1, score, True, "") for n, score in enumerate((-1.0, -0.05, 0.0, 1.0))])
    entry = verdicts.entry(1, "Near")
    assert [place for place, n in enumerate(entry["cells"][0]["bins"]) for _ in range(n)] == [0, 9, 10, 19]
    summary = {"targets": [{"key": "stored", "label": "Stored", "kind": "stored"}], "graders": [entry]}
    (judged,) = read(summary, {1: {"threshold": 0.5}}).graders
    assert (judged.threshold_x, judged.cells[0].bars[0].label) == (150, "-1.00 to -0.90: 1")


def test_a_report_of_an_older_summary_is_still_read() -> None:
    cell = {"target": "stored", "passed": 3, "failed": 1, "ungraded": 0, "mean": 0.75, "bins": [1] * 20}
    summary = {
        "targets": [{"key": "stored", "label": "Stored", "kind": "stored"}],
        "graders": [{"id": 1, "name": "Equal", "cells": [cell], "pairs": []}],
    }
    made = read(summary, {})
    assert made.headline.startswith("“Stored” passes “Equal” on 75.0% of 4 items")
    assert made.repetitions == 1
    assert made.graders[0].changed == []


def test_a_judge_that_only_prefers_says_the_result() -> None:
    verdicts = Verdicts(TARGETS, [1], apart=[1])
    verdicts.add_all((n, "second", 1, 1.0 if n < 18 else 0.5, True, "") for n in range(20))
    summary = {
        "targets": [{"key": key, "label": key, "kind": "stored"} for key in TARGETS],
        "graders": [verdicts.entry(1, "Better")],
    }
    made = read(summary, {})
    assert made.headline.startswith(
        "“second” is preferred to “first” on 95.0% of 20 items, ties counted as half"
    )
    assert made.rated == []
