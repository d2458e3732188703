"""A grader beside people: the figures against plain counting, the threshold, whose right it is to take it."""

import random
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from completions import labels, reviewing
from completions.agreement import kappa
from completions.models import Label, ReviewEvent, StoredCompletion
from completions.reviewing import Said
from datasets.evaluate import run as runs
from datasets.evaluate import setup, tally, thresholds
from datasets.evaluate.calibration import Pair, agreement_of, best_of, cuts_of, doubts, table_of
from datasets.evaluate.comparison import choices
from datasets.evaluate.comparison_match import graders_in
from datasets.evaluate.thresholds import graders_of, take
from datasets.models import Evaluation, Run
from portal.models import AuditEntry, Connection, User
from tests import factories
from tests.datasets import material, measured
from tests.datasets.compared import built, fresh, said, stored
from tests.datasets.measured import CLOSE, EQUAL

SignIn = Callable[[User], Client]


def pairs(*told: tuple[float, bool], threshold: float = 0.5) -> list[Pair]:
    return [Pair(n, score >= threshold, good, score) for n, (score, good) in enumerate(told, 1)]


def test_agreement_is_counted_and_corrected_for_chance() -> None:
    some = pairs(*[(0.9, True)] * 20, *[(0.9, False)] * 5, *[(0.1, True)] * 10, *[(0.1, False)] * 15)
    found = agreement_of(some)
    assert (found.pairs, found.alike, found.percent) == (50, 35, 0.7)
    # Cohen (1960) with p_o = 0.7 and p_e = (25 * 30 + 25 * 20) / 50².
    assert found.kappa == pytest.approx(0.4)
    assert found.words == "fair"
    assert table_of(some) == {"pass-good": 20, "pass-bad": 5, "fail-good": 10, "fail-bad": 15}


def test_the_best_threshold_is_the_one_that_counting_finds() -> None:
    draw = random.Random(5)
    for _ in range(20):
        told = [(round(draw.random(), 2), draw.random() > 0.5) for _ in range(40)]
        some = pairs(*told)
        best = best_of(some, 0.5)
        assert best is not None

        def alike(threshold: float, told: list[tuple[float, bool]] = told) -> float:
            return sum((score >= threshold) == good for score, good in told) / len(told)

        for cut in cuts_of(some, 0.5):
            ratings = [{"grader": int(score >= cut.threshold), "people": int(good)} for score, good in told]
            assert cut.agreement == agreement_of(some, cut.threshold)
            assert cut.agreement.kappa == pytest.approx(kappa(ratings))
        every = [agreement_of(some, cut / 1000).kappa or 0 for cut in range(1001)]
        assert best.agreement.kappa == pytest.approx(max(every))
        assert best.agreement.percent == pytest.approx(alike(best.threshold))


def test_a_threshold_is_a_short_number_between_two_scores() -> None:
    some = pairs((0.6123, False), (0.6344, True), (0.91, True), (3, True), (4, True))
    assert [cut.threshold for cut in cuts_of(some, 0.5)] == [0.5, 0.61, 0.62, 0.8, 2, 4]


def test_figures_that_say_little_say_so() -> None:
    assert "every one of these answers good" in doubts(pairs(*[(0.9, True)] * 80))
    assert "Only 12 reviewed answers" in doubts(pairs(*[(0.9, True)] * 6, *[(0.1, False)] * 6))
    assert "Only 5 answers that people call bad" in doubts(pairs(*[(0.9, True)] * 75, *[(0.1, False)] * 5))
    assert not doubts(pairs(*[(0.9, True)] * 40, *[(0.1, False)] * 40))
    assert best_of(pairs((0.9, True), (0.1, True)), 0.5) is None
    assert agreement_of(pairs(*[(0.9, True)] * 3)).kappa is agreement_of([]).kappa is None


# With rows, on the page.


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection("Library")


@pytest.fixture
def run(own_artifacts: None, builder: User, source: Connection) -> Run:
    """Ten stored answers; the scores of Close rise with the lines, 0.05, 0.15 … 0.95."""
    made = built(builder, measured.rows(source, 10), reference="meta:answer", graders=[EQUAL, CLOSE])
    scores = [(n / 10 + 0.05, n / 10 + 0.05 >= 0.7) for n in range(10)]
    return said(
        made,
        [stored()],
        {("stored", "Equal"): ["p"] * 9 + ["u"], ("stored", "Close"): [[one] for one in scores]},
    )


def rows_of(run: Run) -> list[StoredCompletion]:
    found = run.evaluation.version.examples.filter(line__isnull=False).order_by("line")
    return [row.completion for row in found.select_related("completion") if row.completion is not None]


def review(person: User, rows: list[StoredCompletion], value: Any, label: Label | None = None) -> None:
    kind = ReviewEvent.Kind.LABEL if label else ReviewEvent.Kind.RATING
    for row in rows:
        reviewing.record(row, [Said(kind, value, label)], person)


def page_of(client: Client, run: Run, query: str = "") -> str:
    answer = client.get(reverse("datasets:calibrate", args=[run.evaluation_id, run.number]) + query)
    assert answer.status_code == 200
    return text_of(answer)


def text_of(answer: Any) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


@pytest.mark.django_db
def test_before_anybody_reviews_the_page_says_what_to_do(
    builder: User, client_of: SignIn, run: Run, source: Connection
) -> None:
    client = client_of(builder)
    assert "Nobody has reviewed these answers yet" in page_of(client, run)
    other = said(run.evaluation, [fresh(source, "first", "student")], {})
    assert "This run has no stored answers" in page_of(client, other)
    Run.objects.filter(pk=run.pk).update(state=Run.State.RUNNING)
    assert "The run is not done" in page_of(client, run)


@pytest.mark.django_db
def test_ratings_are_compared_and_each_cell_leads_to_its_answers(
    builder: User, client_of: SignIn, run: Run
) -> None:
    rows = rows_of(run)
    review(builder, rows[4:], "good")
    review(builder, rows[:4], "bad")
    client = client_of(builder)
    close = run.evaluation.graders.get(name="Close")
    page = page_of(client, run, f"?grader={close.pk}")
    # Passed are lines 8 to 10, good are lines 5 to 10: three are passed and good, three failed and good.
    assert "“Close” agrees with people on 70.0% of 10 answers" in page
    assert "fair (Cohen's κ = 0.44)" in page or "moderate (Cohen's κ = 0.44)" in page
    assert "Grader passes 3 0 Grader fails 3 4" in page
    assert "Passing from 0.4 on would agree best beyond chance: κ = 1.00, on 100.0% of 10" in page
    assert "Only 10 reviewed answers" in page
    assert "What they do not agree on 3" in page
    cell = page_of(client, run, f"?grader={close.pk}&cell=fail-bad")
    assert "Both say it is bad 4" in cell
    assert re.findall(r"Item Prompt Answer People Grader 1 ", cell)
    # What the grader could not judge is in no cell.
    equal = run.evaluation.graders.get(name="Equal")
    assert "agrees with people on 55.6% of 9 answers" in page_of(client, run, f"?grader={equal.pk}")


@pytest.mark.django_db
@pytest.mark.engines
def test_answers_to_a_label_count_as_a_person_says(builder: User, client_of: SignIn, run: Run) -> None:
    rows = rows_of(run)
    asked = Label(connection=rows[0].connection, name="tone", options=["formal", "casual", "rude"])
    label = labels.save(asked, builder)
    for part, value in ((rows[:2], "rude"), (rows[2:7], "casual"), (rows[7:], "formal")):
        review(builder, part, [value], label)
    client = client_of(builder)
    close = run.evaluation.graders.get(name="Close")
    address = f"?grader={close.pk}&by=label-{label.pk}"
    assert "on 100.0% of 10 answers" in page_of(client, run, address)
    both = page_of(client, run, f"{address}&good=formal&good=casual")
    assert "on 50.0% of 10 answers" in both
    assert "Grader passes 3 0 Grader fails 5 2" in both


@pytest.mark.django_db
def test_a_threshold_holds_for_the_next_run_and_not_for_the_runs_that_there_are(
    builder: User, reader: User, client_of: SignIn, run: Run
) -> None:
    review(builder, rows_of(run)[4:], "good")
    review(builder, rows_of(run)[:4], "bad")
    made, close = run.evaluation, run.evaluation.graders.get(name="Close")
    address = reverse("datasets:calibrate_take", args=[made.pk, run.number])
    told = {"grader": close.pk, "by": "rating", "threshold": "0.4"}
    assert client_of(reader).post(address, told).status_code == 403
    client = client_of(builder)
    for nonsense in ("nan", "7", "-1", "inf", ""):
        assert client.post(address, told | {"threshold": nonsense}).status_code == 302
    close.refresh_from_db()
    assert close.params["pass_threshold"] == 0.7
    client.post(address, told)
    client.post(address, told)  # twice is once
    close.refresh_from_db()
    assert close.params["pass_threshold"] == 0.4
    entry = AuditEntry.objects.get(verb="grader.threshold_taken")
    assert (entry.details["before"], entry.details["threshold"]) == (0.7, 0.4)

    def thresholds(of: Run) -> list[float]:
        of = Run.objects.get(pk=of.pk)
        return [each.params["pass_threshold"] for each in graders_of(of) if each.name == "Close"]

    after = said(Evaluation.objects.get(pk=made.pk), [stored()], {("stored", "Close"): ["p"] * 10})
    assert (thresholds(run), thresholds(after)) == ([0.7], [0.4])
    take(close, 0.6, builder, seen_in=after)
    last = said(Evaluation.objects.get(pk=made.pk), [stored()], {("stored", "Close"): ["p"] * 10})
    assert [thresholds(each) for each in (run, after, last)] == [[0.7], [0.4], [0.6]]
    for one, held in ((run, 0.7), (after, 0.4), (last, 0.6)):
        for name in ("run", "run_page"):  # the page that is printed too
            page = text_of(client.get(reverse(f"datasets:{name}", args=[made.pk, one.number])))
            assert f"rouge_l of {{{{ sample.output_text }}}} and {{{{ item.reference }}}} ≥ {held}" in page
    assert tally.report_of(Run.objects.get(pk=run.pk)).graders[1].threshold == 0.7
    page = page_of(client, run, f"?grader={close.pk}")
    assert "From 0.7 on, as in this run, it is κ = 0.44, on 70.0%" in page

    # So runs before and after are not taken for the same measurement.
    ones = [column for each in (run, last) for column in choices(Run.objects.get(pk=each.pk))]
    shared, apart = graders_in(ones)
    assert [each.name for each in shared] == ["Equal"]
    assert apart[0].differences[0][0] == "pass_threshold"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("own_artifacts")
def test_a_run_that_goes_on_judges_with_the_threshold_it_began_with(
    builder: User, source: Connection
) -> None:
    rows = [measured.row(source, 1), measured.row(source, 2, answer="Quite another answer.")]
    made = built(builder, rows, reference="meta:answer", graders=[CLOSE])
    begun = runs.start(made, [stored()], builder)
    take(made.graders.get(), 0.0, builder, seen_in=begun)
    # A step that was under way holds the run and its evaluation as they were before.
    assert [each.params["pass_threshold"] for each in graders_of(begun)] == [0.7]
    material.drain()
    later = measured.ran(Evaluation.objects.get(pk=made.pk), [stored()], builder)
    passed = {
        each.number: list(each.results.order_by("example__line").values_list("passed", flat=True))
        for each in (begun, later)
    }
    assert set(passed[begun.number]) == {False, True}
    assert passed[later.number] == [True, True]


@pytest.mark.django_db
def test_a_step_that_is_kept_meanwhile_keeps_the_threshold_that_earlier_runs_had(
    builder: User, run: Run
) -> None:
    close = run.evaluation.graders.get(name="Close")
    seen = Evaluation.objects.get(pk=run.evaluation_id)
    take(close, 0.2, builder, seen_in=run)
    looking = Evaluation.objects.get(pk=run.evaluation_id)
    take(close, 0.3, builder, seen_in=run)
    looking.setup.pop("coverage", None)
    setup.stored_refusal(looking)  # looks through the first rows, and keeps what it saw
    assert "coverage" in Evaluation.objects.get(pk=seen.pk).setup
    assert len(Evaluation.objects.get(pk=seen.pk).setup[thresholds.BEFORE]) == 2
    setup.finish(seen, "targets", targets=[])
    (held,) = [each for each in graders_of(Run.objects.get(pk=run.pk)) if each.pk == close.pk]
    assert held.params["pass_threshold"] == 0.7
    assert "targets" in seen.setup
