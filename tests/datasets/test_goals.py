"""What a goal asks for, in words and held against a report."""

from dataclasses import replace

import pytest

from datasets.evaluate.goals import Goal, NoSuchGrader, judged_by, misses
from datasets.evaluate.report import Cell, Difference, Judged, Report
from datasets.evaluate.report_preferences import Preference


def cell(label: str, passed: int, failed: int, ungraded: int = 0) -> Cell:
    return Cell(label, label, passed, failed, ungraded, None, ())


def report(*cells: Cell, only_first: int = 0, only_second: int = 0) -> Report:
    pairs = tuple(Difference(cells[0].label, each.label, 200, only_first, only_second) for each in cells[1:])
    judged = Judged(1, "Close", cells, pairs)
    return Report(200, 0, (), (judged,), ())


def test_nothing_asked_for_is_nothing_missed() -> None:
    assert misses(report(cell("base", 0, 200)), Goal()) == []
    assert Goal.read({"grader": "Close"}).as_dict() == {}
    assert Goal().in_words == ""


def test_each_target_must_pass_often_enough_and_exactly_enough_is() -> None:
    found = report(cell("teacher", 180, 20), cell("student", 179, 21))
    assert misses(found, Goal("", 0.9)) == ["student passes “Close” on 89.5% of 200, asked for are 90%."]
    assert misses(found, Goal("Close", 0.895)) == []


def test_a_rate_that_misses_by_little_is_not_rounded_to_what_was_asked_for() -> None:
    found = report(cell("student", 89_996, 10_004))
    assert misses(found, Goal("", 0.9)) == [
        "student passes “Close” on 89.996% of 100,000, asked for are 90%."
    ]
    found = report(cell("student", 2, 1))
    assert misses(found, Goal("", 0.666667)) == [
        "student passes “Close” on 66.66667% of 3, asked for are 66.6667%."
    ]


def test_a_target_of_which_nothing_could_be_judged_misses_and_one_that_is_not_asked_about_does_not() -> None:
    found = report(cell("teacher", 0, 0), cell("student", 0, 0, 200))
    assert misses(found, Goal("", 0.0)) == ["student: nothing could be judged by “Close”."]
    assert misses(report(cell("teacher", 0, 0)), Goal("", 0.1)) == ["Nothing was judged by “Close”."]


def test_worse_counts_only_where_it_is_clear() -> None:
    cells = cell("teacher", 180, 20), cell("student", 170, 30)
    clear = report(*cells, only_first=30, only_second=5)
    assert misses(clear, Goal(no_worse=True))[0].startswith("student is worse than teacher: −12.5 points")  # noqa: RUF001  # a minus sign is meant
    assert misses(report(*cells, only_first=6, only_second=4), Goal(no_worse=True)) == []
    assert misses(report(*cells, only_first=5, only_second=30), Goal(no_worse=True)) == []


def test_what_could_not_be_compared_is_never_called_no_worse() -> None:
    none = "student: nothing could be judged by “Close”."
    no_worse = Goal(no_worse=True)
    assert misses(report(cell("teacher", 180, 20), cell("student", 0, 0, 200)), no_worse) == [none]
    apart = Difference("teacher", "student", 0, 0, 0)
    judged = Judged(1, "Close", (cell("teacher", 9, 1, 9), cell("student", 9, 0, 10)), (apart,))
    found = replace(report(cell("teacher", 1, 0)), graders=(judged,))
    assert misses(found, no_worse) == ["No item was judged by “Close” for teacher and student alike."]


def test_a_judge_that_prefers_the_first_target_clearly_calls_the_other_worse() -> None:
    cells = cell("teacher", 0, 0), cell("student", 5, 35)

    def preferring(wins: int, losses: int) -> Report:
        each = Preference("teacher", "student", wins, 0, losses, 0)
        return replace(report(*cells), graders=(Judged(1, "Better", cells, (), preferences=(each,)),))

    (miss,) = misses(preferring(5, 35), Goal(no_worse=True))
    assert miss.startswith("“student” is only preferred to “teacher” on 12.5% of 40 items")
    assert misses(preferring(35, 5), Goal(no_worse=True)) == []
    assert misses(preferring(18, 22), Goal(no_worse=True)) == []


def test_a_grader_that_is_not_there_is_said_and_missed() -> None:
    found = report(cell("base", 200, 0))
    with pytest.raises(NoSuchGrader, match="there are “Close”"):
        judged_by(found, "Another")
    assert misses(found, Goal("Another", 0.1)) == ["There is no grader “Another”; there are “Close”."]
    assert misses(replace(found, graders=()), Goal("", 0.1)) == ["Nothing was judged."]


def test_it_is_said_in_words() -> None:
    both = Goal("Close", 0.925, no_worse=True)
    assert both.in_words == (
        "Each target passes “Close” on at least 92.5%, and none is clearly worse than the first one."
    )
    assert Goal("Close", no_worse=True).in_words == "None is clearly worse than the first one by “Close”."
    assert Goal.read(both.as_dict()) == both
