"""Report pages: what is counted over repetitions, slices, filters of rows, files to take along; who may."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import time
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from completions.models import ReviewState, StoredCompletion
from datasets.evaluate import rows, schedules, tally
from datasets.evaluate.report_costs import costs_of
from datasets.evaluate.row_filters import Filter
from datasets.evaluate.slices_kept import slices_of
from datasets.models import Call, Evaluation, Grader, Result, Run
from portal.models import AuditEntry, Connection, User
from tests import factories
from tests.datasets import measured
from tests.datasets.compared import built, fresh, said, stored
from tests.datasets.measured import CLOSE, EQUAL
from tests.datasets.reported import ITEMS, reported
from tests.pages import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_artifacts")]

SignIn = Callable[[User], Client]


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection("Library")


@pytest.fixture
def run(builder: User, source: Connection) -> Run:
    return reported(builder, source)


def address(name: str, run: Run, *more: Any) -> str:
    return reverse(f"datasets:{name}", args=[run.evaluation_id, run.number, *more])


def lines_of(run: Run, **asked: str) -> list[int]:
    page = rows.page_of(run, Filter.read(asked, run), 0, 0)
    return [row.example.line or 0 for row in page.rows]


def grader(run: Run, name: str) -> Grader:
    found: Grader = run.evaluation.graders.get(name=name)
    return found


@pytest.mark.engines
def test_a_report_says_what_a_run_found(client_of: SignIn, builder: User, run: Run) -> None:
    page = text_of(client_of(builder).get(address("run", run)))
    assert "“student” passes every grader" in page
    assert "1 of 36 items changed their verdict between repetitions." in page
    assert (
        "No preference can be told: “student” is preferred to “Stored answers” on 50.0% of 36 items" in page
    )
    assert "36 7,200 1,080 unknown" in page
    assert "0.03 USD" in page
    assert "Stopped by the content filter 1" in page


def test_a_preference_is_none_of_all_graders_and_has_a_rate(run: Run) -> None:
    made = tally.report_of(run)
    assert [judged.name for judged in made.rated] == ["Equal", "Close", "Alike", "All graders"]
    (preference,) = made.preferred
    student, base = preference.preferences
    assert (student.wins, student.ties, student.losses, student.rate) == (12, 12, 12, 0.5)
    assert [student.is_clear, base.is_clear, base.rate] == [False, True, 0.0]
    overall = made.rated[-1].cells[0]
    assert (overall.passed, overall.failed, overall.ungraded) == (ITEMS, 0, 0)


def test_scores_of_a_judge_are_drawn_over_its_own_range(run: Run) -> None:
    alike = next(judged for judged in tally.report_of(run).graders if judged.name == "Alike")
    assert list(alike.span) == [1, 5]
    assert alike.threshold_x == 150
    assert [bar.x for bar in alike.cells[0].bars] == [150.5, 190.5]  # only fours and fives


def test_prices_are_said_where_they_are_known(run: Run) -> None:
    student, base, alike, better = costs_of(run, tally.report_of(run)).lines
    assert student.cost == Decimal("0.02592")  # 3 answers of 100 and 20 tokens to each, 2 for a million
    assert base.cost is None
    assert alike.told["tokens"] == {"prompt_tokens": 7_200, "completion_tokens": 1_080}
    assert better.told["answered"] == 0


@pytest.mark.engines
def test_the_worst_slice_is_named(run: Run) -> None:
    found = slices_of(run, grader(run, "Equal").pk)
    category = next(each for each in found.dimensions if each.label == "category")
    refund = next(each for each in category.values if each.value == "refund")
    (_, student, _) = refund.cells
    assert (student.passed, student.judged, student.rest_passed, student.rest_judged) == (3, 12, 24, 24)
    assert found.worst[0].startswith(
        "On category = refund, “student” passes 25% of 12, 75 points below the rest"
    )
    assert f"corrected for {found.looked} such comparisons" in found.worst[0]
    assert "number" in found.varied or all(each.label != "number" for each in found.dimensions)


def test_slices_by_labels_and_from_the_file_where_there_is_no_completion(run: Run) -> None:
    examples = run.evaluation.version.examples
    for number, row in enumerate(StoredCompletion.objects.filter(examples__in=examples.all())):
        labels = {"tone": ["formal", "long"] if number % 2 else ["formal"]}
        ReviewState.objects.create(completion=row, connection=row.connection, labels=labels)
    said = {each.name: [value.value for value in each.values] for each in slices_of(run).dimensions}
    assert said["label:tone"] == ["long"]  # all are formal, so there is no rest
    assert set(said) == {"meta:category", "label:tone", "model", "length"}
    examples.update(completion=None)
    Run.objects.filter(pk=run.pk).update(finished=timezone.now())
    run.refresh_from_db()
    said = {each.name: [value.value for value in each.values] for each in slices_of(run).dimensions}
    assert said["meta:category"] == ["billing", "orders", "refund"]
    assert "model" not in said
    assert lines_of(run, slice="meta:category", value="orders")


def test_slices_of_few_items_are_not_compared(builder: User, source: Connection) -> None:
    chosen = [
        measured.row(source, number, metadata={"answer": "a", "kind": "rare" if number < 3 else "usual"})
        for number in range(15)
    ]
    made = built(builder, chosen, reference="meta:answer", graders=[EQUAL])
    run = said(made, [stored()], {("stored", "Equal"): ["f"] * 3 + ["p"] * 12})
    found = slices_of(run)
    assert [each.label for each in found.dimensions] == []
    assert found.worst == ()


@pytest.mark.engines
def test_an_item_counts_once_over_its_repetitions(builder: User, source: Connection) -> None:
    made = built(builder, measured.rows(source, 4), reference="meta:answer", graders=[EQUAL, CLOSE])
    student = fresh(source, "first", "student")
    run = said(
        made,
        [stored(), student],
        {
            ("stored", "Equal"): ["p", "p", "f", "p"],
            ("stored", "Close"): ["p"] * 4,
            ("first", "Equal"): ["pfpf", "ppfu", "fuuu", "uuuu"],
            ("first", "Close"): [
                [(0.2, False), (0.8, True), (0.8, True), (0.6, True)],
                "pppp",
                "pppp",
                "pppp",
            ],
        },
        repetitions=4,
    )
    equal, close, overall = tally.report_of(run).graders
    cell = equal.cells[1]
    assert (cell.passed, cell.failed, cell.ungraded) == (
        1,
        2,
        1,
    )  # a tie fails, what is ungraded does not count
    assert (cell.repeated, cell.changed) == (2, 2)
    assert close.cells[1].mean == pytest.approx((0.6 + 3) / 4)
    assert equal.differences[0].items == 3
    assert (overall.cells[1].repeated, overall.cells[1].changed) == (4, 2)
    assert lines_of(run, show="failed", target="first", grader=str(equal.id)) == [1, 3]
    assert lines_of(run, show="passed", target="first", grader=str(equal.id)) == [2]
    assert lines_of(run, show="ungraded", target="first", grader=str(equal.id)) == [4]
    assert lines_of(run, show="disagreed", grader=str(equal.id)) == [1]
    assert lines_of(run, show="disagreed", grader=str(equal.id), target="stored") == [1]
    assert lines_of(run, show="disagreed", grader=str(equal.id), target="first") == [1]
    assert lines_of(run, show="changed") == [1, 2]
    assert lines_of(run, show="changed", grader=str(equal.id), **{"from": "0.6"}) == [2]
    assert lines_of(run, **{"from": "0.5", "to": "0.7", "grader": str(close.id)}) == [1]
    (row,) = rows.read_rows(run, list(rows.examples_of(run)[:1]))
    assert (row.answers[1].state, row.answers[1].times) == ("failed", "1 of 4 passed")


def test_many_runs_are_listed_with_as_many_queries_as_few(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    def evaluated() -> Evaluation:
        rows = measured.rows(source, 1)
        found = built(builder, rows, reference="meta:answer", graders=[EQUAL, CLOSE])
        said(found, [stored()], {("stored", "Equal"): "p", ("stored", "Close"): "p"})
        return found

    made, client = evaluated(), client_of(builder)
    addresses = reverse("datasets:evaluations"), reverse("datasets:evaluation", args=[made.pk])

    def queries(address: str) -> int:
        with CaptureQueriesContext(database) as asked:
            assert "passes every grader on 100.0% of 1 item" in text_of(client.get(address))
        return len(asked)

    few = [queries(address) for address in addresses]
    evaluated()
    for _ in range(3):
        said(made, [stored()], {("stored", "Equal"): "p", ("stored", "Close"): "p"})
    assert [queries(address) for address in addresses] == few


def test_disagreements_of_a_target_are_those_in_which_it_takes_part(
    builder: User, source: Connection
) -> None:
    made = built(builder, measured.rows(source, 4), reference="meta:answer", graders=[EQUAL])
    verdicts = {("stored", "Equal"): "ppff", ("first", "Equal"): "pfpf", ("second", "Equal"): "ppff"}
    run = said(made, [stored(), fresh(source, "first", "a"), fresh(source, "second", "b")], verdicts)
    assert lines_of(run, show="disagreed") == [2, 3]
    for target in ("stored", "first", "second"):
        assert lines_of(run, show="disagreed", target=target) == [2, 3]
    Result.objects.filter(run=run, target="second", example__line=3).update(passed=True)
    Result.objects.filter(run=run, target="stored", example__line=2).update(passed=False)
    assert lines_of(run, show="disagreed", target="stored") == [2, 3]
    assert lines_of(run, show="disagreed", target="second") == [2, 3]
    Result.objects.filter(run=run, target="first").update(passed=None)
    assert lines_of(run, show="disagreed", target="first") == []
    assert lines_of(run, show="disagreed", target="stored") == [2, 3]


def test_a_score_that_is_asked_for_is_the_same_on_every_page() -> None:
    chosen = Filter(low=0.8333334, high=123456789.0)
    assert (chosen.query["from"], chosen.query["to"]) == ("0.8333334", "123456789")
    assert Filter(low=1.0).address() == "?show=all&from=1"


@pytest.mark.engines
def test_page_table_lines_and_printed_page_say_the_same_numbers(
    client_of: SignIn, builder: User, source: Connection
) -> None:
    made = built(builder, measured.rows(source, 12), reference="meta:answer", graders=[EQUAL])
    run = said(made, [fresh(source, "first", "student")], {("first", "Equal"): list("pppffpufpppp")})
    calls = list(Call.objects.filter(run=run).order_by("example__line"))
    for number, call in enumerate(calls):
        call.latency_ms, call.answer["usage"] = 10 * number * number, {"prompt_tokens": number + 1}
        if number == 6:
            call.state, call.error, call.answer = "failed", {"kind": "timeout", "text": "Too late."}, {}
        call.save()
    run.summary = tally.summarise(run)
    run.save()
    client = client_of(builder)
    csv_file = client.get(address("run_export", run, "csv"))
    text = b"".join(csv_file.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]  # a stream
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    lines = client.get(address("run_export", run, "jsonl"))
    text = b"".join(lines.streaming_content).decode()  # type: ignore[attr-defined]  # a stream
    items = [json.loads(line) for line in text.split("\n") if line]
    verdicts = Counter(row["Equal: verdict"] for row in table)
    assert verdicts == Counter(item["targets"][0]["verdicts"][0]["verdict"] for item in items)
    assert verdicts == {"passed": 8, "failed": 3, "ungraded": 1}
    times = [10 * n * n for n in range(12) if n != 6]
    assert [int(row["latency_ms"]) for row in table if not row["error_kind"]] == times
    assert [row["error_kind"] for row in table if row["error_kind"]] == ["timeout"]
    told = [
        "72.7% 43.4% to 90.3%",  # Wilson's interval of 8 in 11
        f"{sorted(times)[5]} ms",  # the median of eleven
        f"{times[-1]:,} ms",
        str(sum(n + 1 for n in range(12) if n != 6)),
        "No answer in time",
    ]
    for page in (client.get(address("run", run)), client.get(address("run_page", run))):
        shown = text_of(page)
        assert [part for part in told if part not in shown] == []


def test_half_of_the_answers_come_within_the_median(builder: User, source: Connection) -> None:
    made = built(builder, measured.rows(source, 20), reference="meta:answer", graders=[EQUAL])
    run = said(made, [fresh(source, "first", "student")], {})
    calls = Call.objects.filter(run=run)
    for place, call in enumerate(calls, 1):
        calls.filter(pk=call.pk).update(latency_ms=place * 100)
    (told,) = tally.summarise(run)["targets"]
    assert told["latency"] == {"p50": 1050, "p95": 1900}  # 19 of 20 came within 1.9 seconds
    calls.exclude(latency_ms__in=(100, 2000)).delete()
    (told,) = tally.summarise(run)["targets"]
    assert told["latency"] == {"p50": 1050, "p95": 2000}


def test_rows_are_narrowed_down(builder: User, source: Connection) -> None:
    run = reported(builder, source, repetitions=1)
    equal, alike = grader(run, "Equal").pk, grader(run, "Alike").pk
    refunds = [line for line in range(1, ITEMS + 1) if rows_category(run, line) == "refund"]
    asked = {"slice": "meta:category", "value": "refund"}
    assert lines_of(run, **asked) == refunds
    failing = lines_of(run, **asked, show="failed", grader=str(equal), target="first")
    assert failing
    assert set(failing) < set(refunds)
    assert lines_of(run, show="failed", grader=str(equal), target="stored") == []
    low = lines_of(run, **{"grader": str(alike), "target": "first", "from": "1", "to": "3.5"})
    assert low == list(
        run.results.filter(grader=alike, target="first", score__lte=3.5)
        .order_by("example__line")
        .values_list("example__line", flat=True)[: rows.PAGE]
    )
    assert lines_of(run, q="STUDENT says 17 in") == [18]
    assert lines_of(run, q="student says 17 in", target="stored") == []
    assert lines_of(run, q="student says 17 in", show="failed", grader="999", target="nobody") in ([], [18])
    assert len(lines_of(run, slice="length", value="up to 100", target="second")) == rows.PAGE


def rows_category(run: Run, line: int) -> str:
    found = StoredCompletion.objects.get(examples__version=run.evaluation.version, examples__line=line)
    return str(found.metadata["category"])


def test_a_search_looks_through_so_many_rows_and_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "SCAN", 15)
    chosen = Filter(text="student says 31 in its")
    page, seen = rows.page_of(run, chosen, 0, 0), 0
    while not page.rows:
        assert page.looked == 15
        assert page.next is not None
        seen += 1
        page = rows.page_of(run, chosen, page.next, 0)
    assert (seen, [row.example.line for row in page.rows]) == (2, [32])
    back = rows.page_of(run, Filter(text="student says 1 in its"), 0, 32)
    assert back.rows == []
    assert back.previous == 17


def test_pages_of_a_slice_go_forth_and_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PAGE", 5)
    chosen = Filter(dimension="meta:category", value="orders")
    first = rows.page_of(run, chosen, 0, 0)
    second = rows.page_of(run, chosen, first.next or 0, 0)
    assert (len(first.rows), len(second.rows)) == (5, 5)
    again = rows.page_of(run, chosen, 0, second.previous or 0)
    assert [row.example.line for row in again.rows] == [row.example.line for row in first.rows]
    line = second.rows[0].example.line or 0
    assert rows.neighbours(run, chosen, line) == (
        first.rows[-1].example.line,
        second.rows[1].example.line,
    )


def test_filters_stay_in_the_address_of_a_row(client_of: SignIn, builder: User, run: Run) -> None:
    client = client_of(builder)
    page = client.get(address("run", run), {"show": "failed", "slice": "meta:category", "value": "refund"})
    assert "rows/" in page.content.decode()
    assert "?show=failed&amp;slice=meta%3Acategory&amp;value=refund" in page.content.decode()
    assert "category = refund" in text_of(page)
    part = client.get(
        address("run", run), {"show": "all"}, headers={"HX-Request": "true", "HX-Target": "rows"}
    )
    assert part.content.decode().lstrip().startswith('<section id="rows"')


HOSTILE = "<script>alert(1)</script>=1+1{{ item.x }}\x00"


@pytest.fixture
def hostile(builder: User, source: Connection) -> Run:
    text = HOSTILE.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return reported(builder, source, repetitions=1, hostile=f"=cmd|' /C calc'!A1 {text}")


def test_a_judges_reason_is_text(client_of: SignIn, builder: User, hostile: Run) -> None:
    shown = client_of(builder).get(address("run_row", hostile, 1)).content.decode()
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown


def test_rows_are_taken_along_as_csv_and_jsonl(client_of: SignIn, builder: User, hostile: Run) -> None:
    client = client_of(builder)
    answer = client.get(address("run_export", hostile, "csv"))
    assert answer["Content-Disposition"] == 'attachment; filename="summaries-run-1.csv"'
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]  # a stream
    found = list(csv.DictReader(io.StringIO(text)))
    assert len(found) == 3 * ITEMS
    assert not any((cell or "").startswith(("=", "+", "-", "@")) for row in found for cell in row.values())
    student = found[1]
    assert student["answer"].startswith("'=cmd|")
    assert [row["Better: verdict"] for row in found[1:10:3]] == ["not preferred", "tie", "preferred"]
    assert (student["target"], student["Equal: verdict"], student["tokens_in"]) == (
        "student",
        "passed",
        "100",
    )

    answer = client.get(
        address("run_export", hostile, "jsonl"), {"slice": "meta:category", "value": "refund"}
    )
    lines = b"".join(answer.streaming_content).decode().splitlines()  # type: ignore[attr-defined]  # a stream
    items = [json.loads(line) for line in lines]
    assert {item["metadata"]["category"] for item in items} == {"refund"}
    assert len(items) == ITEMS // 3
    assert items[0]["targets"][1]["answers"][0]["verdicts"][0]["grader"] == "Equal"
    assert AuditEntry.objects.filter(verb="run.downloaded", actor=builder).count() == 2


def test_a_report_is_taken_along_as_a_page_that_stands_alone(
    client_of: SignIn, builder: User, hostile: Run
) -> None:
    hostile.evaluation.name = "<b>Bold</b>"
    hostile.evaluation.save()
    answer = client_of(builder).get(address("run_page", hostile))
    text = answer.content.decode()
    assert answer["Content-Disposition"].startswith("attachment")
    assert not re.search(r"<script|<link|src=|@import|url\(|<b>Bold", text)
    assert "&lt;b&gt;Bold&lt;/b&gt;" in text
    page = text_of(answer)
    for part in ("passes every grader", "Pass rates", "Slices", "category = refund", "Graders", "Printed"):
        assert part in page


def test_a_stranger_sees_nothing_of_a_run(client_of: SignIn, run: Run) -> None:
    client = client_of(factories.user("stranger"))
    for where in (
        address("run", run),
        address("run_slices", run),
        address("run_page", run),
        address("run_export", run, "csv"),
        address("run_row", run, 1),
    ):
        assert client.get(where).status_code == 404


def test_what_a_run_found_is_hidden_from_who_may_not_read_a_connection_that_it_asks(
    client_of: SignIn, builder: User, outsider: User, source: Connection, run: Run
) -> None:
    hidden = factories.connection("Hidden")
    other = said(run.evaluation, [stored(), fresh(hidden, "first", "secret-model")], {})
    weekly = schedules.When("week", time(6), "UTC")
    targets = [stored(), fresh(hidden, "first", "secret-model")]
    schedules.save(run.evaluation, builder, weekly, targets=targets, repetitions=1, goal={})
    factories.grant(outsider, "builder", source)
    client = client_of(outsider)
    overview = client.get(reverse("datasets:evaluation", args=[run.evaluation_id]))
    assert "passes every grader" in text_of(overview)
    assert "1 further run asks connections that you may not read." in text_of(overview)
    assert "secret-model" not in overview.text
    listed = text_of(client.get(reverse("datasets:evaluations")))
    assert "“student” passes every grader 50.0 points less often" in listed
    for name in ("run", "run_slices", "run_page"):
        assert client.get(address(name, other)).status_code == 404
    assert "secret-model" in client_of(builder).get(address("run", other)).text


def test_a_run_that_goes_on_has_nothing_to_take_along(client_of: SignIn, builder: User, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(state=Run.State.RUNNING)
    client = client_of(builder)
    assert client.get(address("run_page", run)).status_code == 404
    assert client.get(address("run_export", run, "jsonl")).status_code == 404
    assert client.get(address("run_export", run, "xlsx")).status_code == 404


def test_slices_are_their_own_page_too(client_of: SignIn, builder: User, run: Run) -> None:
    client = client_of(builder)
    whole = client.get(address("run_slices", run), {"grader": str(grader(run, "Equal").pk)})
    assert "Where answers are worse" in text_of(whole)
    assert "75 points below the rest" in text_of(whole)
    part = client.get(address("run_slices", run), headers={"HX-Request": "true", "HX-Target": "slices"})
    assert part.content.decode().startswith("<section")
