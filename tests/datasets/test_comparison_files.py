"""What of a comparison can be taken along says what its page says, and to the same people."""

import csv
import io
import json
import re
from collections.abc import Callable
from copy import deepcopy
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from datasets.evaluate import comparison_rows, kept
from datasets.models import Call, Comparison, Counts, Result, Run
from portal.models import AuditEntry, Connection, Operation, Price, User
from tests import factories
from tests.datasets import material, measured
from tests.datasets.compared import built, fresh, said, stored
from tests.datasets.measured import CLOSE, EQUAL
from tests.pages import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_artifacts")]
SignIn = Callable[[User], Client]

MINUS = "\N{MINUS SIGN}"
BEFORE, AFTER = "ppppppfffu", "pfffffpfpp"
SHOWS = {"regressions": 5, "improvements": 2, "disagreements": 7, "all": 10}


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection("Library")


@pytest.fixture
def runs(builder: User, source: Connection) -> tuple[Run, Run]:
    """A model in two runs, called the same in both; the second time it answers three times."""
    made = built(builder, measured.rows(source, 10), reference="meta:answer", graders=[EQUAL])
    target = fresh(source, "first", "student")
    thrice = [letter * 2 + "f" for letter in AFTER]
    return (
        said(made, [target], {("first", "Equal"): BEFORE}),
        said(made, [target], {("first", "Equal"): thrice}, repetitions=3),
    )


def compare(client: Client, *runs: Run) -> Comparison:
    client.post(reverse("datasets:comparison_new"), {"run": [run.pk for run in runs]})
    found: Comparison = Comparison.objects.latest("pk")
    return found


def address(name: str, comparison: Comparison, *rest: str) -> str:
    return reverse(f"datasets:{name}", args=[comparison.pk, *rest])


def text_in(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode("utf-8-sig")


def table(client: Client, comparison: Comparison, query: str = "?show=all") -> list[dict[str, str]]:
    answer = client.get(address("comparison_export", comparison, "csv") + query)
    return list(csv.DictReader(io.StringIO(text_in(answer), newline="")))


def objects(client: Client, comparison: Comparison, query: str = "?show=all") -> list[dict[str, Any]]:
    answer = client.get(address("comparison_export", comparison, "jsonl") + query)
    return [json.loads(line) for line in text_in(answer).split("\n") if line]


@pytest.mark.engines
def test_both_files_have_the_answers_and_verdicts_of_every_column(
    builder: User, client_of: SignIn, runs: tuple[Run, Run]
) -> None:
    client = client_of(builder)
    kept_one = compare(client, *runs)
    rows, items = table(client, kept_one), objects(client, kept_one)
    names = [column["column"] for column in items[0]["columns"]]
    assert names == [f"student ({run})" for run in runs], "two columns of one name are told apart"
    assert [row["item"] for row in rows] == [str(item["item"]) for item in items]
    assert len(rows) == 10
    word = {"p": "passed", "f": "failed", "u": "ungraded"}
    for row, item, before, after in zip(rows, items, BEFORE, AFTER, strict=True):
        # Of three answers one fails: most pass where two do.
        for name, column, state in zip(names, item["columns"], (before, after), strict=True):
            assert row[f"{name}: verdict"] == row[f"{name}: Equal: verdict"] == word[state]
            assert column["verdict"] == column["verdicts"][0]["verdict"] == word[state]
        example = runs[0].evaluation.version.examples.get(line=item["item"])
        for run, name, column in zip(runs, names, item["columns"], strict=True):
            calls = Call.objects.filter(run=run, example=example).order_by("repetition")
            texts = [call.output_text for call in calls]
            assert [answer["text"] for answer in column["answers"]] == texts
            heads = [f"{name}: answer{'' if n == 1 else f' {n}'}" for n in range(1, len(texts) + 1)]
            assert [row[head] for head in heads] == texts
        assert item["reference"] == row["reference"] != ""
        assert row["prompt"] == item["input"][-1]["content"]
    reasons, scores = f"{names[1]}: Equal: reason", f"{names[1]}: Equal: score"
    assert rows[0][reasons] == "1: As the test says.\n2: As the test says.\n3: As the test says."
    assert [round(float(row[scores]), 6) for row in rows[:2]] == [0.666667, 0]
    assert rows[9][f"{names[0]}: Equal: reason"] == "There is no item.reference."


def test_files_have_the_items_that_the_page_shows(
    builder: User, client_of: SignIn, runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison_rows, "AT_ONCE", 4)  # so that a file is read several at a time
    client = client_of(builder)
    kept_one = compare(client, *runs)
    for baseline in ("", f"baseline={runs[1].pk}%3Afirst&"):
        for show, n in SHOWS.items():
            page = client.get(f"{address('comparison', kept_one)}?{baseline}show={show}").content.decode()
            (link,) = set(re.findall(r'href="[^"?]+/items/jsonl/(\??[^"]*)">JSONL', page))
            expected = {"regressions": 2, "improvements": 5}.get(show, n) if baseline else n
            query = link.replace("&amp;", "&")
            shown = [int(line) for line in re.findall(r'data-row="(\d+)"', page)]
            found = [item["item"] for item in objects(client, kept_one, query)]
            assert (len(found), found) == (expected, shown), (baseline, show)
            assert [int(row["item"]) for row in table(client, kept_one, query)] == found
        (link,) = set(re.findall(r'href="[^"?]+/items/csv/(\??[^"]*)">All', page))
        assert link.replace("&amp;", "&") == f"?{baseline}show=all"
    answer = client.get(address("comparison_export", kept_one, "csv"))
    assert answer["Content-Disposition"] == (
        'attachment; filename="student-2-times-on-summaries-regressions.csv"'
    )


def test_what_models_and_people_wrote_is_no_formula_and_no_markup(
    builder: User, client_of: SignIn, source: Connection
) -> None:
    bad = "=cmd|' /C calc'!A1 <script>alert(1)</script> {{ 7|add:7 }}"
    rows = [
        measured.row(source, 1, prompt=bad, answer=bad, metadata={"answer": bad}),
        measured.row(source, 2),
    ]
    graders = [dict(EQUAL, name="+<b>Equal</b>"), dict(CLOSE, name="Close")]
    made = built(builder, rows, reference="meta:answer", graders=graders)
    named = fresh(source, "first", "@<img src=x>")
    run = said(made, [stored(), named], {("first", "+<b>Equal</b>"): "pf", ("stored", "Close"): "pu"})
    Result.objects.filter(run=run).update(reason=f"-{bad}\x1f", error=bad)
    Call.objects.filter(run=run).update(output_text=f"\t{bad}\r\n\N{LINE SEPARATOR}x")
    client = client_of(builder)
    kept_one = compare(client, run)
    Comparison.objects.update(name=f"{bad}\N{RIGHT-TO-LEFT OVERRIDE}")
    found = table(client, kept_one)
    cells = [cell for row in found for cell in (*row, *row.values())]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert len(found) == 2
    answer = client.get(address("comparison_export", kept_one, "jsonl") + "?show=all")
    assert len(text_in(answer).splitlines()) >= 2
    said_by = objects(client, kept_one)[0]["columns"][1]
    assert said_by["column"] == "@<img src=x>", "JSON keeps every text as it is"
    assert said_by["answers"][0]["text"] == f"\t{bad}\r\n\N{LINE SEPARATOR}x"
    page = client.get(address("comparison_page", kept_one)).content.decode()
    assert not re.search(r"<script|<link|<img|src=x>\"|@import|url\(|<b>Equal|<form|style=", page)
    assert "{{ 7|add:7 }}" in page


def test_a_comparison_is_taken_along_as_a_page_that_stands_alone(
    builder: User, client_of: SignIn, source: Connection
) -> None:
    Price.objects.all().delete()
    made = built(builder, measured.rows(source, 30), reference="meta:answer", graders=[EQUAL, CLOSE])
    targets = [fresh(source, key, key) for key in ("first", "second", "third")]
    scores = [[(n / 30, n > 20)] for n in range(30)]
    verdicts: dict[tuple[str, str], Any] = {
        ("first", "Equal"): "p" * 25 + "f" * 5,
        ("second", "Equal"): "p" * 10 + "f" * 19 + "u",
        ("third", "Equal"): "p" * 24 + "f" * 6,
        ("first", "Close"): [[(1 - n / 60, True)] for n in range(30)],
        ("second", "Close"): scores,
        ("third", "Close"): scores,
    }
    client = client_of(builder)
    kept_one = compare(client, said(made, targets, verdicts))
    shown = client.get(address("comparison", kept_one))
    page = client.get(address("comparison_page", kept_one))
    assert page["Content-Disposition"].startswith("attachment")
    assert "default-src 'none'; style-src 'unsafe-inline'" in page.content.decode().replace("&#x27;", "'")
    on_page, printed = text_of(shown), text_of(page)
    shapes = (
        r"\d+\.\d% \d+\.\d% to \d+\.\d%",
        rf"[+{MINUS}]\d+\.\d points [+{MINUS}]?\d+\.\d to [+{MINUS}]?\d+\.\d",
        rf"Mean score ([+{MINUS}]\d\.\d{{3}} \([+{MINUS}]\d\.\d{{3}} to [+{MINUS}]\d\.\d{{3}}\))",
        r"(?:Corrected \(Holm\)|McNemar|Wilcoxon) (p\s[<=]\s\d\.\d+)",
        r"first 83\.3% 30 .{1,40}? \d+ ms \d+ ms",  # what its answers took
    )
    for shape in shapes:
        found = set(re.findall(shape, on_page))
        assert found, shape
        assert [each for each in found if each not in printed] == [], shape
    (sentence,) = re.findall(r'class="headline[^"]*"><p>([^<]+)</p>', shown.content.decode())
    assert " ".join(unescape(sentence).split()) in printed
    assert "n = 29" in printed
    for part in ("Columns", "first baseline", "Pass rates", "Quality beside price and time", "Printed"):
        assert part in printed
    assert "numbers are missing" not in printed
    verb = AuditEntry.objects.filter(verb="comparison.downloaded", actor=builder)
    assert [entry.details["what"] for entry in verb] == ["page"]


def test_what_is_not_alike_in_two_evaluations_is_told_and_taken_along(
    builder: User, client_of: SignIn, source: Connection
) -> None:
    rows = measured.rows(source, 6)
    strict: Any = deepcopy(CLOSE)
    strict["params"]["pass_threshold"] = 0.9
    one = built(builder, rows, reference="meta:answer", graders=[EQUAL, CLOSE])
    other = built(builder, rows[2:], reference="meta:expected", graders=[EQUAL, strict])
    verdicts = {("stored", "Equal"): "pppppp", ("stored", "Close"): "ffffff"}
    client = client_of(builder)
    kept_one = compare(client, said(one, [stored()], verdicts), said(other, [stored()], verdicts))
    items, rows_in_file = objects(client, kept_one), table(client, kept_one)
    baseline = {each.source_key: each.line for each in one.version.examples.all()}
    common = {each.source_key for each in other.version.examples.all()}
    assert {item["source"]: item["item"] for item in items} == {key: baseline[key] for key in common}
    assert len(items) == 4
    for item, row in zip(items, rows_in_file, strict=True):
        assert item["reference"] == row["reference"] == item["metadata"]["answer"], "as the baseline has it"
        left, right = item["columns"]
        assert left["answers"][0]["text"] == right["answers"][0]["text"] != ""
        assert [each["verdict"] for each in (*left["verdicts"], *right["verdicts"])] == [
            "passed",
            "failed",
        ] * 2
        verdict_of = [row[f"{column['column']}: Close: verdict"] for column in item["columns"]]
        assert verdict_of == ["failed", "failed"], "what is not compared is not lost"
    printed = text_of(client.get(address("comparison_page", kept_one)))
    for part in (
        "4 of the baseline's 6 items are compared",
        "“Summaries” has 4",
        "4 of them do not have the same text in all",
        "The evaluations have different references",
        "Not compared Close",
        "Its parameters are not the same in every run.",
        "pass_threshold",
        "passes 0.0% of 6",
    ):
        assert part in printed, part


def test_what_a_worker_has_still_to_count_is_said_to_be_missing(
    builder: User, client_of: SignIn, runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(builder)
    kept_one = compare(client, *runs)
    Counts.objects.all().delete()
    monkeypatch.setattr(kept, "AT_ONCE", 1)
    shown = client.get(address("comparison", kept_one) + "?show=all").content.decode()
    assert "All items as CSV" in shown
    printed = text_of(client.get(address("comparison_page", kept_one)))
    assert "The numbers are missing on this page: they were still being counted" in printed
    assert "Summaries run 1" in printed
    answer = client.get(address("comparison_export", kept_one, "csv") + "?show=all&grader=9")
    assert (answer.status_code, answer["Location"]) == (302, address("comparison", kept_one) + "?show=all")
    Operation.objects.update(state="failed")
    assert "they could not be counted" in text_of(client.get(address("comparison_page", kept_one)))
    Operation.objects.all().delete()
    client.get(address("comparison", kept_one))
    material.drain()
    assert "points" in text_of(client.get(address("comparison_page", kept_one)))
    assert len(table(client, kept_one)) == 10


def test_who_may_not_read_a_comparison_takes_nothing_along(
    client_of: SignIn, builder: User, outsider: User, source: Connection, runs: tuple[Run, Run]
) -> None:
    kept_one = compare(client_of(builder), *runs)
    hidden = fresh(factories.connection("Hidden"), "first", "secret-student")
    mixed = compare(
        client_of(builder), runs[0], said(runs[0].evaluation, [hidden], {("first", "Equal"): "p"})
    )
    factories.grant(outsider, "reader", source)
    client = client_of(outsider)
    assert client.get(address("comparison_page", kept_one)).status_code == 200, "its sources are readable"
    stranger = client_of(factories.user("stranger"))
    for who, which in ((client, mixed), (stranger, kept_one), (stranger, mixed)):
        assert who.get(address("comparison_page", which)).status_code == 404
        for form in ("csv", "jsonl"):
            assert who.get(address("comparison_export", which, form)).status_code == 404
    assert client.get(address("comparison_export", kept_one, "xlsx")).status_code == 404
    Run.objects.filter(pk=runs[1].pk).update(state=Run.State.RUNNING)
    for name, rest in (("comparison_page", ()), ("comparison_export", ("csv",))):
        assert client.get(address(name, kept_one, *rest)).status_code == 404, "there is nothing to compare"
    assert "Export" not in client.get(address("comparison", kept_one)).content.decode()
