"""What an evaluation is measured on: parts of datasets, files of one's own; and what stays as it was."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from completions import correcting, reviewing
from completions.models import StoredCompletion
from completions.reviewing import Said
from datasets import received
from datasets.build import files
from datasets.evaluate import prefill, setup, sources
from datasets.evaluate.items import Items
from datasets.evaluate.prefill import Student
from datasets.evaluate.targets import stored
from datasets.models import Dataset, DatasetVersion, Evaluation, Result, Run
from datasets.recipe import Recipe, Split
from portal.models import Connection, User
from portal.sandbox import Sandbox
from tests import factories
from tests.datasets import material, measured, provider
from tests.datasets.measured import EQUAL
from tests.pages import text_of

ANSWERS = {
    "name": "Answers",
    "kind": "check",
    "params": {"input": "{{ sample.output_text }}", "check": "answers", "value": ""},
}
SignIn = Callable[[User], Client]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]


@pytest.fixture
def source() -> Connection:
    return factories.connection("Library")


def step(made: Evaluation, name: str) -> str:
    return reverse("datasets:evaluate", args=[made.pk, name])


def upload(client: Client, source: Connection, lines: list[Any], name: str = "Mine") -> Evaluation:
    """Upload a file as the page does; it is looked at, and nothing is taken."""
    body = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    told = {"name": name, "connections": [source.pk], "file": SimpleUploadedFile("rows.jsonl", body)}
    answer = client.post(reverse("datasets:evaluate_file"), told)
    assert answer.status_code == 303, answer.context["problem"] or answer.context["form"].errors
    made: Evaluation = Evaluation.objects.select_related("version").latest("id")
    assert answer["Location"] == step(made, "data")
    return made


def read(client: Client, made: Evaluation, **columns: str) -> Evaluation:
    """Say which column is what, have the file read, and go on."""
    told = {"name": made.name, **columns}
    assert client.post(step(made, "data"), told)["Location"] == step(made, "data")
    assert "being" in client.get(step(made, "data")).content.decode()
    material.drain(kinds=[received.KIND])
    assert client.post(step(made, "data"), told)["Location"] == step(made, "reference")
    found: Evaluation = Evaluation.objects.select_related("version__dataset").get(pk=made.pk)
    return found


def items(made: Evaluation) -> list[dict[str, Any]]:
    rows = made.version.examples.filter(line__isnull=False).order_by("line")
    with Items(made) as opened:
        return [opened.of(example) for example in rows]


@pytest.mark.engines
def test_a_file_is_shown_then_read_and_its_columns_are_what_somebody_said(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    client = client_of(builder)
    lines = [
        {"question": "What is a tide?", "said": "A rise.", "label": "rise", "tags": ["sea", {"deep": "yes"}]},
        b'{"question": broken',
        {"question": "What is a fjord?", "said": "A bay.", "label": "inlet", "tags": ["land", {}]},
    ]
    made = upload(client, source, lines)
    page = client.get(step(made, "data")).content.decode()
    assert "What is a tide?" in page
    assert "Line 2" in page
    assert made.version.state == "draft"
    assert not Dataset.objects.get().versions.get().examples.exists()
    assert client.get(step(made, "reference"))["Location"] == step(made, "data")

    wrong = client.post(step(made, "data"), {"name": "Mine", "input": "question", "output": "question"})
    assert wrong.status_code == 422
    made = read(client, made, input="question", output="said", reference="label")
    page = client.get(step(made, "data")).content.decode()
    assert "1 line left out" in page
    assert "Line 2" in page
    assert [item["input"][0]["content"] for item in items(made)] == ["What is a tide?", "What is a fjord?"]
    assert [item["output"] for item in items(made)] == ["A rise.", "A bay."]
    assert [item["reference"] for item in items(made)] == ["rise", "inlet"]

    assert 'value="column:label" checked' in client.get(step(made, "reference")).content.decode()
    client.post(step(made, "reference"), {"reference": "column:label"})
    client.post(step(made, "targets"), {"stored": "on"})
    deep = {"name": "Deep", "kind": "string_check", "operation": "eq"}
    deep |= {"input": "{{ item.tags[1].deep }}", "reference": "yes"}
    holds = {"name": "Holds", "kind": "string_check", "operation": "ilike"}
    holds |= {"input": "{{ sample.output_text }}", "reference": "{{ item.reference }}"}
    told = {f"g{n}-{name}": value for n, each in enumerate((deep, holds)) for name, value in each.items()}
    tried = client.post(step(made, "graders"), told | {"try": "stored"}).content.decode()
    assert "What is a fjord?" in tried
    assert client.post(step(made, "graders"), told)["Location"] == step(made, "review")
    review = client.get(step(made, "review"))
    assert review.context["estimate"].items == 2
    assert client.post(step(made, "review")).status_code == 302
    material.drain()
    run = Run.objects.get()
    assert run.state == "done"
    verdicts = Result.objects.filter(run=run).order_by("example__line", "grader__position")
    assert list(verdicts.values_list("passed", flat=True)) == [True, True, None, False]
    ungraded = verdicts.get(passed=None)
    assert "item.tags[1].deep" in ungraded.error
    # Nobody is told that a completion is gone, or to review one: there never was any.
    row = text_of(client.get(reverse("datasets:run_row", args=[made.pk, run.number, 1])))
    assert "A row of an uploaded file" in row
    assert "no longer here" not in row
    calibrate = text_of(client.get(reverse("datasets:calibrate", args=[made.pk, run.number])))
    assert "Nobody can review the rows of a file" in calibrate


def test_a_number_that_cannot_be_read_is_told_at_its_line(
    source: Connection, client_of: SignIn, builder: User
) -> None:
    client = client_of(builder)
    good = {"question": "How deep is it?", "said": "Deep.", "metres": 1e300}
    odd = [b'{"question": "How far?", "metres": %s}' % number for number in (b"1e999", b"NaN", b"-Infinity")]
    made = upload(client, source, [good, *odd, good | {"metres": -4}])
    told = text_of(client.get(step(made, "data")))
    assert "Line 2 It holds 1e999, a number that is too large to be read" in told
    assert "Line 3 It holds NaN, which is no number in JSON" in told
    assert "Line 4 It holds -Infinity, which is no number in JSON" in told
    made = read(client, made, input="question", output="said", reference="metres")
    assert [item["metres"] for item in items(made)] == [1e300, -4]
    left = text_of(client.get(step(made, "data")))
    assert "3 lines left out" in left
    assert "It holds 1e999" in left


def test_answers_beside_items_are_the_stored_ones(
    source: Connection, builder: User, client_of: SignIn
) -> None:
    client = client_of(builder)
    lines = [
        {"item": {"input": "One?", "reference": "1"}, "sample": {"output_text": "One."}},
        {
            "item": {
                "messages": [{"role": "user", "content": "Two?"}, {"role": "assistant", "content": "Two."}]
            }
        },
        {"item": {"input": [{"role": "user", "content": "Three?"}]}},
    ]
    made = read(client, upload(client, source, lines), input="input", output="output", reference="")
    first, second, third = items(made)
    assert (first["input"], first["output"]) == ([{"role": "user", "content": "One?"}], "One.")
    assert second["unsendable"]
    assert "output" not in third
    sources.name_columns(made, {"input": "messages", "output": "output"})
    assert items(made)[1]["input"] == [{"role": "user", "content": "Two?"}]
    assert items(made)[1]["output"] == "Two."
    run = measured.ran(_graded(made), [stored()], builder)
    assert run.state == "done"
    said = Result.objects.filter(run=run, passed=None).values_list("error", flat=True)
    assert any("no stored one" in text for text in said)


def test_lines_behind_many_empty_ones_are_found(source: Connection, builder: User, client_of: SignIn) -> None:
    client = client_of(builder)
    blank: list[Any] = [b"", b" \r", b"\t"] * 20
    made = read(client, upload(client, source, [*blank, {"input": "One?"}, *blank]), input="input")
    assert [item["input"][0]["content"] for item in items(made)] == ["One?"]


def test_a_file_with_no_good_line_measures_nothing_and_says_so(
    source: Connection, builder: User, client_of: SignIn
) -> None:
    client = client_of(builder)
    made = upload(client, source, [b'{"a": broken', b"{also"])
    client.post(step(made, "data"), {"name": "Mine"})
    material.drain(kinds=[received.KIND])
    page = client.get(step(made, "data")).content.decode()
    assert "There is nothing to measure on" in page
    assert "Line 1" in page
    assert client.get(step(made, "reference"))["Location"] == step(made, "data")


def test_a_file_that_was_never_read_goes_with_its_evaluation(
    source: Connection, builder: User, client_of: SignIn
) -> None:
    client = client_of(builder)
    made = upload(client, source, [{"input": "One?"}])
    assert files.artifacts().exists(made.version.source["path"])
    client.post(reverse("datasets:evaluation_delete", args=[made.pk]))
    assert not files.artifacts().exists(made.version.source["path"])
    assert not Dataset.objects.exists()


def test_the_test_part_of_a_dataset_becomes_items_that_lead_back(
    source: Connection, builder: User, client_of: SignIn
) -> None:
    rows = [material.stored(source) for _ in range(20)]
    whole = material.built(builder, rows, Recipe(split=Split(test=30, seed=1)))
    part = whole.part("test")
    assert part is not None
    client = client_of(builder)
    address = reverse("datasets:evaluate_version", args=[whole.pk])
    assert 'value="test"' in client.get(address).content.decode()
    for _ in range(2):
        answer = client.post(address, {"name": "Held back", "part": "test"})
    made = Evaluation.objects.select_related("version").get()
    assert answer["Location"] == step(made, "data")
    material.drain(kinds=[received.KIND])
    made = Evaluation.objects.select_related("version__dataset").get()
    assert made.version.rows == part.rows
    examples = made.version.examples.filter(line__isnull=False).order_by("line")
    before = whole.examples.filter(line__gte=part.first_line, line__lt=part.first_line + part.rows)
    assert list(examples.values_list("source_key", "completion")) == list(
        before.order_by("line").values_list("source_key", "completion")
    )
    for item, example in zip(items(made), before.order_by("line"), strict=True):
        *asked, said = files.read_line(whole, example)["messages"]
        assert (item["input"], item["output"]) == (asked, said["content"])
        assert item["metadata"] == {"category": "docs-test"}
    about = client.get(reverse("datasets:version", args=[made.version.dataset_id, 1]) + "?show=about")
    assert "Taken from" in about.content.decode()
    assert "Held back" in client.get(reverse("datasets:evaluations")).content.decode()

    client.post(step(made, "data"), {"name": "Held back"})
    page = client.get(step(made, "reference")).content.decode()
    assert 'value="answer" checked' in page
    setup.set_reference(made, "answer")
    told = setup.estimate(made, (measured.fresh(source),), 2)
    assert (told.items, told.calls, told.left_out) == (part.rows, 2 * part.rows, 0)
    assert told.prompt_each
    assert told.completion_each


def test_a_version_of_items_is_shared_and_outlives_its_evaluations(
    source: Connection, builder: User, client_of: SignIn
) -> None:
    client = client_of(builder)
    body = b"\n".join(
        json.dumps({"item": {"question": f"{n}?", "good": str(n), "bad": "x"}}).encode() for n in range(3)
    )
    told = {"name": "Quiz", "purpose": "evaluation", "connections": [source.pk]}
    client.post(reverse("datasets:upload"), told | {"file": SimpleUploadedFile("quiz.jsonl", body)})
    material.drain(kinds=[received.KIND])
    version = DatasetVersion.objects.get()
    digest = version.sha256
    for name, column in (("One", "good"), ("Two", "bad")):
        made = sources.begin_version(version, sources.WHOLE, name, builder)
        client.post(step(made, "data"), {"name": name, "input": "question", "output": column})
        made.refresh_from_db()
        made.setup["from"] = name  # as if begun on another day
        made.save()
    one, two = Evaluation.objects.select_related("version__dataset").order_by("pk")
    assert one.version_id == two.version_id == version.pk
    assert [item["output"] for item in items(one)] == ["0", "1", "2"]
    assert [item["output"] for item in items(two)] == ["x"] * 3
    gone = client.post(reverse("datasets:version_delete", args=[version.dataset_id, 1]))
    assert gone.status_code == 409
    for made in (one, two):
        client.post(reverse("datasets:evaluation_delete", args=[made.pk]))
    version.refresh_from_db()
    assert (version.sha256, version.rows, version.dataset.name) == (digest, 3, "Quiz")
    assert not Evaluation.objects.exists()


@pytest.mark.engines
def test_the_reference_is_the_correction_else_the_stored_answer_else_a_key(
    source: Connection, builder: User, client_of: SignIn
) -> None:
    rows = measured.rows(source, 4)
    first = {"text": rows[0].metadata["answer"], "tool_calls": []}
    correcting.save(rows[0], {"text": "Mended.", "tool_calls": None}, first, builder, None)
    reviewing.record(rows[1], [Said("rating", "bad")], builder)
    client = client_of(builder)
    frozen = material.frozen(builder, rows)
    made = setup.begin(frozen, "Corrected", builder)
    page = client.get(step(made, "reference")).content.decode()
    assert "1 of 4 rows has a correction" in page
    assert "1 is rejected or rated bad" in page
    client.post(step(made, "reference"), {"reference": "correction"})
    made.refresh_from_db()
    assert setup.estimate(made, ()).items == 3
    client.post(step(made, "reference"), {"reference": "correction", "else_key": "expected"})
    made = Evaluation.objects.select_related("version__dataset").get()
    assert setup.estimate(made, ()).items == 4
    tried = [tried.item["reference"] for tried in setup.rows_to_try(made) if tried.item]
    run = measured.ran(_graded(made), [stored()], builder)
    assert run.state == "done"
    made = Evaluation.objects.select_related("version__dataset").get()
    by_row = dict(zip(made.version.examples.values_list("completion", flat=True), items(made), strict=True))
    found = {row.pk: by_row[row.pk]["reference"] for row in rows}
    assert found[rows[0].pk] == "Mended."
    assert found[rows[1].pk] == rows[1].metadata["expected"]
    assert found[rows[2].pk] == by_row[rows[2].pk]["output"]
    assert tried == [item["reference"] for item in items(made)][: setup.TRIED]


def test_a_student_is_measured_on_a_part_whose_completions_are_gone(
    source: Connection, builder: User
) -> None:
    whole = material.built(builder, material.many(source, 20), Recipe(split=Split(test=30, seed=1)))
    StoredCompletion.objects.all().delete()
    made = prefill.begin(whole, [Student(source.pk, "ft:mine")], builder, "Again")
    assert prefill.begin(whole, [Student(source.pk, "ft:mine")], builder, "Again") == made
    material.drain(kinds=[received.KIND])
    made = Evaluation.objects.select_related("version__dataset").get()
    part = whole.part("test")
    assert part is not None
    assert (made.version.rows, made.reference) == (part.rows, "answer")
    assert [target.model for target in setup.targets_of(made)] == ["ft:mine"]


def test_only_who_may_act_measures_on_a_version(
    source: Connection, builder: User, reader: User, client_of: SignIn
) -> None:
    whole = material.built(builder, material.many(source, 12))
    client = client_of(reader)
    assert client.get(reverse("datasets:evaluate_version", args=[whole.pk])).status_code == 403
    assert client.get(reverse("datasets:evaluate_file")).status_code == 403
    page = client.get(reverse("datasets:evaluate_new")).content.decode()
    assert str(whole.dataset.name) not in page
    outside = client_of(factories.user("outside"))
    assert outside.get(reverse("datasets:evaluate_version", args=[whole.pk])).status_code == 404
    assert outside.get(reverse("datasets:evaluate_new")).status_code == 404


def test_fresh_answers_to_items_of_a_file(
    sandbox: Sandbox, connect_to: Callable[..., Connection], builder: User, client_of: SignIn
) -> None:
    there = connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")
    client = client_of(builder)
    lines = [{"prompt": "Say hello.", "n": 1}, {"n": 2}]
    made = read(client, upload(client, there, lines), input="prompt", output="", reference="")
    refused = client.get(step(made, "reference")).content.decode()
    assert 'value="answer"' not in refused
    client.post(step(made, "reference"), {"reference": "none"})
    assert "no stored answers" in client.get(step(made, "targets")).content.decode()
    run = measured.ran(_graded(made), [measured.fresh(there)], builder)
    assert run.state == "done"
    assert sum(measured.answered(sandbox).values()) == 1
    errors = Result.objects.filter(run=run, passed=None).values_list("error", flat=True)
    assert any("nothing to send" in text for text in errors)


def _graded(made: Evaluation) -> Evaluation:
    setup.set_graders(made, [EQUAL if made.reference else ANSWERS])
    found: Evaluation = Evaluation.objects.select_related("version__dataset").get(pk=made.pk)
    return found


@pytest.mark.parametrize("point", ["written", "committed", "published"])
def test_a_worker_that_dies_leaves_the_same_items(
    source: Connection, builder: User, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.receiving.CHUNK", 3)
    whole = material.built(builder, material.many(source, 20), Recipe(split=Split(test=50, seed=1)))
    died: list[str] = []

    def die(name: str) -> None:
        if name == f"dataset.receive.{point}" and not died:
            died.append(name)
            raise KeyboardInterrupt

    monkeypatch.setattr("datasets.receiving.crashpoint", die)
    made = sources.begin_version(whole, "test", "Held back", builder)
    with pytest.raises(KeyboardInterrupt):
        material.drain(kinds=[received.KIND])
    provider.restart()
    material.drain(kinds=[received.KIND])
    version = DatasetVersion.objects.get(pk=made.version_id)
    part = whole.part("test")
    assert part is not None
    assert (version.state, version.rows, version.examples.count()) == ("ready", part.rows, part.rows)
    lines = whole.examples.filter(line__gte=part.first_line, line__lt=part.first_line + part.rows)
    keys = lines.order_by("line").values_list("source_key", flat=True)
    assert list(version.examples.order_by("line").values_list("source_key", flat=True)) == list(keys)


def test_who_may_only_read_is_not_led_to_what_builders_do(
    source: Connection, builder: User, reader: User, client_of: SignIn
) -> None:
    new, listed = reverse("datasets:evaluate_new"), reverse("datasets:evaluations")
    assert "New evaluation" in text_of(client_of(builder).get(listed))
    client = client_of(reader)
    assert "New evaluation" not in text_of(client.get(listed))
    assert "Whoever is builder of a connection can begin one" in text_of(client.get(listed))
    refused = text_of(client.get(new))
    assert "Evaluating takes the role Builder" in refused
    assert "No datasets yet" not in refused
