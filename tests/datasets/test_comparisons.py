"""Comparisons: the numbers on the page are those of the rows; who may read them; what is left of them."""

import random
import re
from collections.abc import Callable
from html import unescape
from math import comb
from statistics import mean
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets.evaluate import comparison as compared
from datasets.evaluate import tally
from datasets.evaluate.comparison_count import counted
from datasets.evaluate.comparison_match import graders_in
from datasets.evaluate.report_words import chance
from datasets.evaluate.statistics import paired_difference, wilson
from datasets.models import Comparison, Evaluation, Result, Run
from portal.models import AuditEntry, Connection, Price, User
from tests import factories
from tests.datasets import measured
from tests.datasets.compared import built, fresh, said, stored
from tests.datasets.measured import CLOSE, EQUAL
from tests.pages import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_artifacts")]

SignIn = Callable[[User], Client]


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection("Library")


@pytest.fixture
def made(builder: User, source: Connection) -> Evaluation:
    return built(builder, measured.rows(source, 30), reference="meta:answer", graders=[EQUAL, CLOSE])


def test_columns_whose_runs_are_called_the_same_keep_their_own_numbers(
    builder: User, source: Connection
) -> None:
    rows = measured.rows(source, 4)
    columns = []
    for verdicts in ("pppf", "pfff"):
        one = built(builder, rows, reference="meta:answer", graders=[EQUAL])
        run = said(one, [fresh(source, "first", "gpt-4o")], {("first", "Equal"): verdicts})
        columns += compared.choices(run)
    assert columns[0].name == columns[1].name
    shared, _ = graders_in(columns)
    report = counted(columns, shared).report(shared)
    first, second = (cell.label for cell in report.graders[0].cells)
    assert first != second
    assert f"“{second}” passes “Equal” on 25.0% of the items, “{first}” on 75.0%" in report.headline


def letters(draw: random.Random, passes: float) -> list[str]:
    return ["p" if draw.random() < passes else "f" for _ in range(30)]


@pytest.fixture
def two_runs(made: Evaluation, source: Connection) -> tuple[Run, Run]:
    """The teacher and the base in one run, the student in another with three answers to each item."""
    draw = random.Random(3)
    teacher, base = fresh(source, "first", "teacher"), fresh(source, "second", "base")
    one = said(
        made,
        [teacher, base],
        {
            ("first", "Equal"): letters(draw, 0.9),
            ("first", "Close"): [[(0.5 + draw.random() / 2, True)] for _ in range(30)],
            ("second", "Equal"): letters(draw, 0.3),
            ("second", "Close"): [[(draw.random(), draw.random() > 0.5)] for _ in range(30)],
        },
    )
    words = ["".join(draw.choice("ppf") for _ in range(3)) for _ in range(29)] + ["pfu"]
    other = said(
        made,
        [fresh(source, "first", "student")],
        {
            ("first", "Equal"): words,
            ("first", "Close"): [[(draw.random(), True) for _ in range(3)] for _ in range(30)],
        },
        repetitions=3,
    )
    return one, other


def compare(client: Client, *runs: Run) -> Comparison:
    answer = client.post(reverse("datasets:comparison_new"), {"run": [run.pk for run in runs]})
    assert answer.status_code == 302, text_of(answer)
    found: Comparison = Comparison.objects.get(pk=answer["Location"].split("/")[2])
    return found


def by_hand(run: Run, target: str, grader: str) -> dict[int, tuple[float, bool]]:
    """The mean score of each item and whether most of its answers pass, from the rows; a tie fails."""
    found: dict[int, list[Result]] = {}
    for result in Result.objects.filter(run=run, target=target, grader__name=grader, passed__isnull=False):
        found.setdefault(result.example_id, []).append(result)
    return {
        item: (
            mean(each.score or 0.0 for each in some),
            sum(bool(each.passed) for each in some) > sum(not each.passed for each in some),
        )
        for item, some in found.items()
    }


def coin(heads: int, tails: int) -> float:
    """How likely a fair coin falls as unevenly as that, either way."""
    n = heads + tails
    return min(1.0, 2 * sum(comb(n, k) for k in range(min(heads, tails) + 1)) / 2.0**n)


def said_as(p: float) -> str:
    return " ".join(chance(p).split())


def test_the_numbers_on_the_page_are_those_of_the_rows(
    builder: User, client_of: SignIn, two_runs: tuple[Run, Run]
) -> None:
    one, other = two_runs
    client = client_of(builder)
    kept = compare(client, one, other)
    assert kept.name == "teacher / base / student on Summaries"
    page = text_of(client.get(reverse("datasets:comparison", args=[kept.pk])))
    for run, target, label in ((one, "second", "base"), (other, "first", "student")):
        first, second = by_hand(one, "first", "Equal"), by_hand(run, target, "Equal")
        both = [(first[item][1], second[item][1]) for item in first if item in second]
        passed = sum(theirs for _, theirs in both)
        interval = wilson(passed, len(both))
        assert interval is not None
        said_of = f"{100 * passed / len(both):.1f}% {100 * interval.low:.1f}% to {100 * interval.high:.1f}%"
        assert said_of in page, label
        only_first = sum(ours and not theirs for ours, theirs in both)
        only_second = sum(theirs and not ours for ours, theirs in both)
        assert f"{abs(100 * (only_second - only_first) / len(both)):.1f} points" in page
        between = paired_difference(only_first, only_second, len(both))
        assert between is not None
        low, high = abs(100 * between.low), abs(100 * between.high)
        assert re.search(rf"\D{low:.1f} to \D?{high:.1f}", page)
        assert f"Only the baseline passes {only_first} Only this one passes {only_second}" in page
        close, theirs = by_hand(one, "first", "Close"), by_hand(run, target, "Close")
        shift = mean(theirs[item][0] - close[item][0] for item in close)
        assert re.search(rf"Mean score \D?{abs(shift):.3f} ", page)
        pairs = [(close[item][1], theirs[item][1]) for item in close]
        worse, better = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
        p, another = coin(only_first, only_second), coin(worse, better)
        assert f"McNemar {said_as(p)}" in page
        # Holm over two graders: the smaller counts twice, the other is no smaller than that.
        corrected = min(1.0, 2 * p) if p <= another else max(p, min(1.0, 2 * another))
        assert corrected == p or f"Corrected (Holm) {said_as(corrected)}" in page
    assert "passes every grader" in page


def test_a_comparison_within_a_run_says_what_its_report_says(
    builder: User, two_runs: tuple[Run, Run]
) -> None:
    for run in two_runs:
        columns = compared.choices(run)
        shared, apart = graders_in(columns)
        assert not apart
        found, own = counted(columns, shared).report(shared), tally.report_of(run)
        for ours, theirs in zip(found.graders, own.graders, strict=True):
            told = [(c.passed, c.failed, c.ungraded) for c in ours.cells]
            assert told == [(c.passed, c.failed, c.ungraded) for c in theirs.cells], ours.name
            assert [(d.points, d.p, d.corrected, d.shift) for d in ours.differences] == [
                (d.points, d.p, d.corrected, d.shift) for d in theirs.differences
            ]


def test_items_are_found_by_what_became_of_them(
    builder: User, client_of: SignIn, made: Evaluation, source: Connection
) -> None:
    first, second = fresh(source, "first", "teacher"), fresh(source, "second", "student")
    outcomes = ["pp"] * 10 + ["pf"] * 7 + ["fp"] * 4 + ["ff"] * 8 + ["pu"]
    run = said(
        made,
        [first, second],
        {
            ("first", "Equal"): [pair[0] for pair in outcomes],
            ("second", "Equal"): [pair[1] for pair in outcomes],
            ("first", "Close"): ["p"] * 30,
            ("second", "Close"): ["p"] * 30,
        },
    )
    client = client_of(builder)
    kept = compare(client, run)
    address = reverse("datasets:comparison", args=[kept.pk])
    for show, n in (("regressions", 7), ("improvements", 4), ("disagreements", 11), ("all", 30)):
        page = client.get(f"{address}?show={show}").content.decode()
        assert f"{n} item" in page
        assert page.count("data-row=") == min(n, 25)
    assert client.get(f"{address}?grader=2").content.decode().count("data-row=") == 0

    page = client.get(f"{address}?show=all").content.decode()
    (after,) = set(re.findall(r"after=(\d+)", page)) - {"0"}
    second_page = client.get(f"{address}?show=all&after={after}").content.decode()
    assert second_page.count("data-row=") == 5
    (before,) = set(re.findall(r"before=(\d+)", second_page)) - {"0"}
    assert client.get(f"{address}?show=all&before={before}").content.decode().count("data-row=") == 25

    item = client.get(reverse("datasets:comparison_item", args=[kept.pk, 11])).content.decode()
    assert "more answer" not in item
    assert "<del>" in item
    assert "<ins>" in item
    assert "/items/12/" in item
    assert "/completions/" in item
    assert client.get(reverse("datasets:comparison_item", args=[kept.pk, 999])).status_code == 404


def test_a_page_asks_as_little_for_many_items_as_for_one(
    builder: User, client_of: SignIn, two_runs: tuple[Run, Run]
) -> None:
    client = client_of(builder)
    address = reverse("datasets:comparison", args=[compare(client, *two_runs).pk])
    client.get(address)

    def asked(query: str) -> tuple[int, int]:
        with CaptureQueriesContext(database) as queries:
            page = client.get(f"{address}?{query}").content.decode()
        return len(queries), page.count("data-row=")

    many, shown = asked("show=all")
    few, rows = asked("show=all&after=29")
    assert (shown, rows) == (25, 1)
    assert many == few


def test_a_baseline_is_looked_at_by_address_and_kept_by_button(
    builder: User, client_of: SignIn, two_runs: tuple[Run, Run]
) -> None:
    client = client_of(builder)
    kept = compare(client, *two_runs)
    address = reverse("datasets:comparison", args=[kept.pk])
    student = f"{two_runs[1].pk}:first"
    page = client.get(f"{address}?baseline={student}")
    assert "than “student”" in text_of(page)
    assert "Keep as the baseline" in text_of(page)
    kept.refresh_from_db()
    assert kept.columns[0]["label"] == "teacher"
    client.post(reverse("datasets:comparison_baseline", args=[kept.pk]), {"column": student})
    kept.refresh_from_db()
    assert [column["label"] for column in kept.columns] == ["student", "teacher", "base"]
    item = text_of(client.get(reverse("datasets:comparison_item", args=[kept.pk, 1])))
    assert "2 more answers" in item
    assert re.search(r"\d of 3 passed", item)
    assert "Keep as the baseline" not in text_of(client.get(address))


def test_a_double_click_makes_one_comparison(
    builder: User, client_of: SignIn, two_runs: tuple[Run, Run]
) -> None:
    client = client_of(builder)
    assert compare(client, *two_runs) == compare(client, *two_runs)
    assert compare(client, two_runs[0]) != compare(client, *two_runs)
    assert Comparison.objects.count() == 2


def test_columns_that_are_none_are_refused_in_words(
    builder: User, client_of: SignIn, two_runs: tuple[Run, Run]
) -> None:
    client, new = client_of(builder), reverse("datasets:comparison_new")
    kept = compare(client, *two_runs)
    change = reverse("datasets:comparison_columns", args=[kept.pk])
    for wrong in ("9" * 30, "9" * 5000, "²", "-1", ""):
        for address in (new, change):
            answer = client.post(address, {"column": [f"{wrong}:first", f"{two_runs[0].pk}:first"]})
            assert answer.status_code == 422, wrong
            assert "is not there any more" in text_of(answer)
    named = client.post(new, {"run": [run.pk for run in two_runs], "name": "a\0b"})
    assert named.status_code == 302
    assert Comparison.objects.latest("pk").name == "ab"


def test_columns_come_and_go_until_two_are_left(
    builder: User, client_of: SignIn, two_runs: tuple[Run, Run]
) -> None:
    one, other = two_runs
    client = client_of(builder)
    kept = compare(client, one)
    choose = reverse("datasets:comparison_columns", args=[kept.pk])
    page = client.get(choose).content.decode()
    assert page.count(" checked>") == 2
    client.post(choose, {"column": [f"{other.pk}:first", f"{one.pk}:first", f"{one.pk}:second"]})
    kept.refresh_from_db()
    assert [column["label"] for column in kept.columns] == ["teacher", "base", "student"]
    remove = reverse("datasets:comparison_remove", args=[kept.pk])
    client.post(remove, {"column": f"{one.pk}:second"})
    answer = client.post(remove, {"column": f"{one.pk}:first"}, follow=True)
    assert "needs two columns" in text_of(answer)
    kept.refresh_from_db()
    assert [column["label"] for column in kept.columns] == ["teacher", "student"]
    assert client.post(choose, {"column": [f"{one.pk}:first"]}).status_code == 422
    client.post(reverse("datasets:comparison_rename", args=[kept.pk]), {"name": "  The <b>spring</b> one "})
    page = client.get(reverse("datasets:comparisons")).content.decode()
    assert "The &lt;b&gt;spring&lt;/b&gt; one" in page
    client.post(reverse("datasets:comparison_delete", args=[kept.pk]))
    assert not Comparison.objects.exists()
    assert Run.objects.count() == 2
    verbs = AuditEntry.objects.filter(verb__startswith="comparison.").values_list("verb", flat=True)
    assert {"comparison.created", "comparison.renamed", "comparison.deleted"} <= set(verbs)


def test_whoever_may_not_read_one_source_sees_nothing(
    builder: User, client_of: SignIn, made: Evaluation, source: Connection, outsider: User
) -> None:
    hidden = factories.connection("Hidden")
    run = said(made, [fresh(source, "first", "a"), fresh(hidden, "second", "b")], {})
    kept = compare(client_of(builder), run)
    factories.grant(outsider, "builder", source)
    client = client_of(outsider)
    assert kept.name not in text_of(client.get(reverse("datasets:comparisons")))
    addresses = [
        reverse("datasets:comparison", args=[kept.pk]),
        reverse("datasets:comparison_item", args=[kept.pk, 1]),
        reverse("datasets:comparison_columns", args=[kept.pk]),
    ]
    assert [client.get(address).status_code for address in addresses] == [404, 404, 404]
    refused = client.post(
        reverse("datasets:comparison_new"), {"column": [f"{run.pk}:first", f"{run.pk}:second"]}
    )
    assert refused.status_code == 422
    assert client.post(reverse("datasets:comparison_delete", args=[kept.pk])).status_code == 404


def test_a_reader_reads_and_changes_only_what_is_theirs(
    builder: User, reader: User, client_of: SignIn, two_runs: tuple[Run, Run]
) -> None:
    theirs = compare(client_of(builder), *two_runs)
    client = client_of(reader)
    page = text_of(client.get(reverse("datasets:comparison", args=[theirs.pk])))
    assert "passes every grader" in page
    assert "Rename" not in page
    assert client.post(reverse("datasets:comparison_delete", args=[theirs.pk])).status_code == 403
    own = compare(client, *two_runs)
    assert client.post(reverse("datasets:comparison_delete", args=[own.pk])).status_code == 302
    assert list(Comparison.objects.all()) == [theirs]


def test_a_comparison_stays_readable_when_a_run_is_deleted(
    builder: User, client_of: SignIn, two_runs: tuple[Run, Run]
) -> None:
    one, other = two_runs
    client = client_of(builder)
    kept = compare(client, one, other)
    address = reverse("datasets:comparison", args=[kept.pk])
    other.delete()
    page = text_of(client.get(address))
    assert "student · Summaries run 2 is not compared" in page
    assert "“base” passes every grader" in page
    one.delete()
    page = text_of(client.get(address))
    assert "There are not two columns left" in page
    assert "teacher · Summaries run 1" in page
    assert client.get(reverse("datasets:comparison_item", args=[kept.pk, 1])).status_code == 404


@pytest.mark.engines
def test_runs_of_different_evaluations_meet_in_the_items_of_one_source(
    builder: User, client_of: SignIn, source: Connection
) -> None:
    chosen = measured.rows(source, 12)
    graders = [EQUAL, CLOSE]
    first = built(builder, chosen[:10], reference="meta:answer", graders=graders)
    close: dict[str, Any] = dict(CLOSE)
    stricter = close | {"params": close["params"] | {"pass_threshold": 0.9}}
    other = built(builder, chosen[4:], reference="meta:answer", graders=[EQUAL, stricter])
    # Both have the same six rows; in the order of their own items, the newest first.
    one = said(first, [stored()], {("stored", "Equal"): ["p"] * 10, ("stored", "Close"): ["p"] * 10})
    two = said(
        other,
        [fresh(source, "first", "student")],
        {("first", "Equal"): ["f", "f", *"pppfff"], ("first", "Close"): ["p"] * 8},
    )
    client = client_of(builder)
    kept = compare(client, one, two)
    page = text_of(client.get(reverse("datasets:comparison", args=[kept.pk])))
    assert "6 of 10 items are compared" in page
    common = {example.source_key for example in first.version.examples.all()} & {
        example.source_key for example in other.version.examples.all()
    }
    failed = Result.objects.filter(run=two, passed=False, example__source_key__in=common).count()
    assert f"Only the baseline passes {failed} Only this one passes 0" in page
    assert "Its parameters are not the same in every run." in page
    assert re.search(r"pass_threshold Summaries run 1 ?: 0\.7 Summaries run 1 ?: 0\.9", page)
    assert "All graders" not in page
    assert "different references" not in page
    Evaluation.objects.filter(pk=other.pk).update(reference="meta:expected")
    assert "different references" in text_of(client.get(reverse("datasets:comparison", args=[kept.pk])))


def test_price_and_time_stand_beside_quality(
    builder: User, client_of: SignIn, two_runs: tuple[Run, Run], source: Connection
) -> None:
    client = client_of(builder)
    address = reverse("datasets:comparison", args=[compare(client, *two_runs).pk])
    # Without prices it is drawn over time, unless somebody asks for prices.
    assert "Median time of an answer" in text_of(client.get(address))
    assert "Fewer than two columns have a price" in text_of(client.get(f"{address}?x=price"))
    for model, amount in (("teacher", 10), ("base", 1), ("student", 2)):
        for kind in (Price.Kind.INPUT, Price.Kind.OUTPUT):
            Price.objects.create(model=model, kind=kind, amount=amount, as_of="2026-11-01")
    page = client.get(address)
    # 120 tokens an answer at 10 for a million: 1.20 for a thousand answers.
    assert "1.20 USD" in text_of(page)
    assert page.content.decode().count("<circle") == 3
    timed = client.get(f"{address}?x=time").content.decode()
    assert "Median time of an answer" in timed
    assert timed.count("<circle") == 3


def test_numbers_are_counted_anew_once_a_run_has_another_end(
    builder: User, client_of: SignIn, two_runs: tuple[Run, Run]
) -> None:
    one, other = two_runs
    client = client_of(builder)
    address = reverse("datasets:comparison", args=[compare(client, one, other).pk])
    client.get(address)  # which says in passing that it is kept
    before = text_of(client.get(address))
    Result.objects.filter(run=other).update(passed=False)
    assert text_of(client.get(address)) == before
    assert other.finished is not None
    other.finished = other.finished.replace(year=2030)
    other.save()
    assert "0.0% 0.0% to" in text_of(client.get(address))
    Run.objects.filter(pk=other.pk).update(state=Run.State.RUNNING)
    assert "Run 2 is not done" in text_of(client.get(address))


def test_what_models_and_people_wrote_is_shown_as_text(
    builder: User, client_of: SignIn, source: Connection
) -> None:
    script = "<script>alert(1)</script> {{ 7|add:7 }} {% debug %}"
    chosen = [
        measured.row(source, 1, prompt=script, answer=f"{script} one", metadata={"answer": script}),
        measured.row(source, 2, answer="long " * 200_000, metadata={"answer": "short"}),
    ]
    named = dict(EQUAL, name="<b>Equal</b>")
    made = built(builder, chosen, reference="meta:answer", graders=[named])
    hostile = fresh(source, "second", "<img src=x onerror=alert(2)>")
    verdicts = {("stored", "<b>Equal</b>"): "pp", ("second", "<b>Equal</b>"): "ff"}
    run = said(made, [stored(), hostile], verdicts)
    client = client_of(builder)
    kept = compare(client, run)
    address = reverse("datasets:comparison", args=[kept.pk])
    pages = [reverse("datasets:comparisons"), reverse("datasets:comparison_new"), address]
    pages += [reverse("datasets:comparison_item", args=[kept.pk, line]) for line in (1, 2)]
    pages.append(reverse("datasets:calibrate", args=[made.pk, run.number]))
    for each in pages:
        answer = client.get(each)
        assert answer.status_code == 200, each
        page = answer.content.decode()
        assert "<script>alert" not in page, each
        assert "<img src=x" not in page, each
        assert "<b>Equal" not in page, each
        assert len(page) < 4_000_000, each
    assert "{{ 7|add:7 }}" in unescape(client.get(pages[4]).content.decode())
