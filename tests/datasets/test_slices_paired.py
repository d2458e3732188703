"""How far each target is behind the first within a slice, item by item: what is counted, claimed and said."""

import json
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from completions.models import StoredCompletion
from datasets.evaluate import slices, slices_kept
from datasets.evaluate.slice_cells import LEAST, Cell, Slices, Value
from datasets.evaluate.slice_counts import SliceCounts, Tally
from datasets.evaluate.slices import _compared
from datasets.evaluate.statistics import holm, mcnemar
from datasets.evaluate.targets import Target
from datasets.models import Run
from portal import steps
from portal.models import Connection, User
from tests import factories
from tests.datasets import material, measured
from tests.datasets.compared import built, fresh, said, stored
from tests.datasets.measured import CLOSE, EQUAL
from tests.datasets.reported import reported
from tests.pages import text_of

SignIn = Callable[[User], Client]
ITEMS = 60
KINDS = ("plain", "odd", "rare")
TARGETS = ("stored", "first", "second")


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection("Library")


def kind_of(number: int) -> str:
    return "rare" if number % 10 == 0 else KINDS[number % 2]


def items(source: Connection) -> list[StoredCompletion]:
    return [
        measured.row(source, number, metadata={"answer": "a", "kind": kind_of(number)})
        for number in range(ITEMS)
    ]


def values_of(found: Slices, name: str) -> tuple[Value, ...]:
    return next((each.values for each in found.dimensions if each.name == name), ())


def every(found: Slices) -> list[Cell]:
    return [cell for each in found.dimensions for value in each.values for cell in value.cells]


def together(verdicts: Sequence[str]) -> str:
    return "f" if "f" in verdicts else "p" if set(verdicts) == {"p"} else "u"


@pytest.mark.engines
@pytest.mark.usefixtures("own_artifacts")
def test_pairs_are_those_of_plain_python(
    builder: User, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "AT_ONCE", 25)
    made = built(builder, items(source), reference="meta:answer", graders=[EQUAL, CLOSE])
    draw = Random(3)
    lines = made.version.examples.filter(line__isnull=False).order_by("line")
    kinds = [told["kind"] for told in lines.values_list("completion__metadata", flat=True)]
    verdicts = {
        (target, grader): draw.choices(["p", "f", "u", ""], [6, 3, 1, 1], k=ITEMS)
        for target in TARGETS
        for grader in ("Equal", "Close")
    }
    run = said(made, [stored(), fresh(source, "first", "student"), fresh(source, "second", "base")], verdicts)
    for target in TARGETS:
        both = zip(verdicts[target, "Equal"], verdicts[target, "Close"], strict=True)
        verdicts[target, ""] = [together(each) for each in both]
    keys = {grader.name: grader.pk for grader in made.graders.all()} | {"": 0}
    # Nothing that was counted may be lost between two steps.
    counting, parts = slices.Counting(run), 0
    while not counting.go_on(lambda: False):
        counting, parts = slices.Counting(run, json.loads(json.dumps(counting.as_data()))), parts + 1
    assert parts == 3
    for name, grader in keys.items():
        found = counting.found()[grader]
        compared: dict[str, list[tuple[Cell, float]]] = {}
        for value in values_of(found, "meta:kind"):
            places = [number for number in range(ITEMS) if kinds[number] == value.value]
            for cell in value.cells:
                pairs = [(verdicts["stored", name][n], verdicts[cell.target, name][n]) for n in places]
                wanted = [pairs.count(("p", "p")) + pairs.count(("f", "f")), pairs.count(("p", "f"))]
                wanted.append(pairs.count(("f", "p")))
                if cell.target == "stored" or not sum(wanted):
                    assert cell.pair is None
                    continue
                assert cell.pair is not None
                told = cell.pair.items, cell.pair.only_first, cell.pair.only_second
                assert told == (sum(wanted), *wanted[1:])
                assert cell.is_compared == (sum(wanted) >= LEAST)
        for cell in every(found):
            if cell.pair is not None and cell.is_compared:
                p = mcnemar(cell.pair.only_first, cell.pair.only_second)
                compared.setdefault(cell.target, []).append((cell, p))
            elif cell.pair is not None:
                assert not cell.pair.is_clear
        assert set(compared) == {"first", "second"}
        for each in compared.values():
            assert [cell.pair and cell.pair.corrected for cell, _ in each] == holm([p for _, p in each])
        assert not any(cell.pair for value in values_of(found, "length") for cell in value.cells)


def drawn(draw: np.random.Generator, groups: int, size: int, behind: float = 0.0) -> Slices:
    """Slices of as many items each, in which two targets differ by chance; in the first one by more."""
    data = {}
    for group in range(groups):
        lost = 0.15 + (behind if group == 0 else 0)
        neither, second, first, both = draw.multinomial(size, [0.2, 0.15, lost, 0.65 - lost])
        counts = {
            (0, "a"): [int(neither + second), int(first + both), 0, 0, 0, 0],
            (0, "b"): [0, 0, *map(int, (neither, second, first, both))],
        }
        data[f"{group}"] = Tally(size, counts)
    found = SliceCounts()
    found.values["meta:group"] = data
    for key in ((0, "a"), (0, "b")):
        found.total.by[key] = [
            sum(column) for column in zip(*(one.by[key] for one in data.values()), strict=True)
        ]
    return _compared(found, [Target("a", "fresh", "teacher"), Target("b", "fresh", "student")], 0)


def test_a_slice_in_which_both_are_alike_is_seldom_called_behind() -> None:
    draw, rounds, alarms, caught = np.random.Generator(np.random.PCG64(7)), 120, 0, 0
    for _ in range(rounds):
        alarms += any(cell.pair.is_clear for cell in every(drawn(draw, 12, 60)) if cell.pair)
    assert alarms / rounds <= 0.05 + 3 * (0.05 * 0.95 / rounds) ** 0.5
    for _ in range(20):
        (sentence,) = drawn(draw, 12, 60, behind=0.5).behind
        caught += sentence.startswith("“student” is furthest behind “teacher” where group is 0: −")  # noqa: RUF001  # a minus sign is meant
    assert caught >= 18


@pytest.mark.usefixtures("own_artifacts")
def test_where_a_target_is_furthest_behind_is_said(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    run = reported(builder, source, repetitions=1)
    equal = run.evaluation.graders.get(name="Equal").pk
    first = slices_kept.slices_of(run, equal).behind[0]
    assert first.startswith("“student” is furthest behind “Stored answers” where category is refund: ")
    assert "75.0 points on 12 items judged for both, 95% interval " in first
    where = reverse("datasets:run_slices", args=[run.evaluation_id, run.number])
    client = client_of(builder)
    page = client.get(where, {"grader": str(equal)})
    assert first.replace("\N{NO-BREAK SPACE}", " ") in text_of(page)
    assert "n = 12 judged for both: 9 passed only by Stored answers, 0 only by student; p" in page.text
    printed = text_of(client.get(reverse("datasets:run_page", args=[run.evaluation_id, run.number])))
    assert slices_kept.slices_of(run).behind[0].replace("\N{NO-BREAK SPACE}", " ") in printed


def test_several_targets_that_are_nowhere_clearly_behind_share_a_sentence() -> None:
    found = SliceCounts()
    keys, even = "abcd", [0, 0, 5, 5, 5, 5]
    tally = Tally(20, {(0, key): even if key != "a" else [10, 10, 0, 0, 0, 0] for key in keys})
    better = Tally(20, {(0, key): [0, 0, 5, 5, 4, 6] if key != "a" else [10, 10, 0, 0, 0, 0] for key in keys})
    found.values["language"] = {"de": tally, "fr": better}
    found.total.by = {(0, key): [0, 0, 10, 10, 9, 11] if key != "a" else [20, 20, 0, 0, 0, 0] for key in keys}
    targets = [Target(key, "fresh", key.upper()) for key in keys]
    told = _compared(found, targets, 0)
    assert told.behind == ("In no slice is “B”, “C” or “D” clearly behind “A”.",)
    assert told.worst == ("No slice of “B”, “C” or “D” is clearly worse than the rest.",)
    assert _compared(found, targets[:2], 0).behind == ("In no slice is “B” behind “A”.",)
    tally.by[0, "b"] = [0, 0, 5, 3, 6, 6]
    (sentence,) = _compared(found, targets[:2], 0).behind
    assert sentence.startswith(
        "In no slice is “B” clearly behind “A”. The furthest is where the language is de: "
    )
    assert sentence.endswith(
        "which may well be chance (p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}1.00, corrected for 2 slices)."
    )


@pytest.mark.usefixtures("own_artifacts")
def test_a_count_begun_before_pairs_were_counted_is_begun_anew(
    builder: User, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Run = reported(builder, source, repetitions=1)
    operation = slices_kept.begin(run, builder)
    monkeypatch.setattr(slices, "AT_ONCE", 10)
    monkeypatch.setattr("portal.operations.Working.time_left", lambda *_: False)
    assert steps.work_on(operation.pk)
    operation.refresh_from_db()
    counted = operation.cursor["counted"]
    for tally in (counted["counts"]["total"], *counted["counts"]["values"]["meta:category"].values()):
        tally[1] = [[*of, judged, passed] for *of, judged, passed, _, _, _, _ in tally[1]]
    del operation.cursor["form"]
    operation.save()
    material.drain()
    kept = slices_kept.look(run, builder).slices
    assert kept is not None
    assert kept.dimensions == slices_kept.slices_of(run).dimensions
    assert sum(cell.judged for cell in values_of(kept, "meta:category")[0].cells) == 36
