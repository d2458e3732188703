"""Files, fine-tuning jobs, deployments, and what a student learns from its file."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.fine_tuning import FineTuningJob

from portal.sandbox import Sandbox
from tests.portal.sandbox_client import (
    STUDENT,
    _close_clients,  # noqa: F401  # a fixture that runs by itself
    advance,
    client,
    control,
    examples,
    faults,
    jsonl,
    manage,
    share_right,
    train,
)

PERSONALITIES = ("azure-v1", "azure-dated", "openai")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(None, rows=20, rows_elsewhere=20, now=1.8e9) as running:
        yield running


def status_of(job: FineTuningJob) -> str:
    """Azure has states that the SDK does not know."""
    return job.status


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_a_file_goes_through_its_states(sandbox: Sandbox, personality: str) -> None:
    api = client(sandbox, personality)
    file = api.files.create(file=jsonl(examples(12)), purpose="fine-tune")
    assert file.status == ("processed" if personality == "openai" else "pending")
    advance(sandbox, 1.3)
    assert api.files.retrieve(file.id).status == ("processed" if personality == "openai" else "running")
    advance(sandbox, 5)
    assert api.files.retrieve(file.id).status == "processed"
    assert [f.id for f in api.files.list(purpose="fine-tune").data] == [file.id]
    assert api.files.list(purpose="batch").data == []
    assert api.files.content(file.id).read() == jsonl(examples(12))[1].getvalue()
    assert api.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        api.files.retrieve(file.id)


def test_a_file_of_many_megabytes_arrives_whole(sandbox: Sandbox) -> None:
    body = b"".join(b'{"item": {"n": %d, "text": "%s"}}\n' % (i, b"x" * 1000) for i in range(9000))
    for personality in ("azure-v1", "openai"):
        api = client(sandbox, personality)
        file = api.files.create(file=("items.jsonl", body), purpose="evals")
        assert api.files.content(file.id).read() == body
    assert list((sandbox.folder / "incoming").iterdir()) == []


def test_files_that_are_no_json_lines_end_in_error(sandbox: Sandbox) -> None:
    api = client(sandbox)
    broken = api.files.create(file=("a.jsonl", b'{"messages": [\n'), purpose="fine-tune")
    advance(sandbox, 5)
    broken = api.files.retrieve(broken.id)
    assert broken.status == "error"
    assert "Line 1" in (broken.status_details or "")
    with pytest.raises(openai.BadRequestError):
        api.fine_tuning.jobs.create(model=STUDENT, training_file=broken.id)
    with pytest.raises(openai.BadRequestError):
        api.files.create(file=("a.jsonl", b"{}\n"), purpose="vision")
    with pytest.raises(openai.BadRequestError):
        client(sandbox, "openai").files.create(file=("a.txt", b"{}\n"), purpose="fine-tune")


def test_azure_wants_a_processed_file_and_a_versioned_model(sandbox: Sandbox) -> None:
    api = client(sandbox)
    file = api.files.create(file=jsonl(examples(12)), purpose="fine-tune")
    with pytest.raises(openai.BadRequestError, match="has not finished importing"):
        api.fine_tuning.jobs.create(model=STUDENT, training_file=file.id)
    advance(sandbox, 5)
    with pytest.raises(openai.BadRequestError, match="does not support fine-tuning"):
        api.fine_tuning.jobs.create(model="gpt-4.1-mini", training_file=file.id)
    with pytest.raises(openai.BadRequestError, match="was not found"):
        api.fine_tuning.jobs.create(model=STUDENT, training_file="file-none")
    other = api.files.create(file=jsonl([{"item": {}}]), purpose="evals")
    advance(sandbox, 5)
    with pytest.raises(openai.BadRequestError, match="purpose"):
        api.fine_tuning.jobs.create(model=STUDENT, training_file=other.id)
    with pytest.raises(openai.BadRequestError, match="suffix"):
        api.fine_tuning.jobs.create(model=STUDENT, training_file=file.id, suffix="no dots.")
    assert status_of(api.fine_tuning.jobs.create(model=STUDENT, training_file=file.id)) == "pending"
    plain = client(sandbox, "openai")
    file = plain.files.create(file=jsonl(examples(12)), purpose="fine-tune")
    job = plain.fine_tuning.jobs.create(model="gpt-4.1-mini", training_file=file.id)
    assert (job.status, job.model) == ("validating_files", STUDENT)


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_a_job_runs_by_the_clock_to_a_model_and_its_results(sandbox: Sandbox, personality: str) -> None:
    api = client(sandbox, personality)
    file = api.files.create(file=jsonl(examples(40)), purpose="fine-tune")
    check = api.files.create(file=jsonl(examples(12)), purpose="fine-tune")
    advance(sandbox, 5)
    job: Any = api.fine_tuning.jobs.create(
        model=STUDENT, training_file=file.id, validation_file=check.id, suffix="short", metadata={"mark": "a"}
    )
    seen = [job.status]
    for _ in range(8):
        advance(sandbox, 8)
        seen.append(api.fine_tuning.jobs.retrieve(job.id).status)
    states = list(dict.fromkeys(seen))
    waiting = ["validating_files", "queued"] if personality == "openai" else ["pending"]
    assert states in ([*waiting, "running", "succeeded"], [waiting[0], "running", "succeeded"])
    job = api.fine_tuning.jobs.retrieve(job.id)
    assert job.trained_tokens
    assert job.finished_at == job.created_at + 60
    model = job.fine_tuned_model or ""
    if personality == "openai":
        assert model.startswith(f"ft:{STUDENT}:sandbox:short:")
    else:
        assert model.startswith(f"{STUDENT}.ft-")
        assert model.endswith("-short")
    assert model in {item.id for item in api.models.list()}
    events = list(api.fine_tuning.jobs.list_events(job.id, limit=7))
    assert len({event.id for event in events}) == len(events)
    assert [e.created_at for e in events] == sorted((e.created_at for e in events), reverse=True)
    metrics: list[Any] = [event.data for event in events if event.type == "metrics"]
    losses = [m["train_loss"] for m in sorted(metrics, key=lambda m: m["step"])]
    assert len(losses) == metrics[0]["total_steps"]
    assert losses[-1] < losses[0] / 2
    assert any("valid_loss" in m for m in metrics)
    checkpoints = list(api.fine_tuning.jobs.checkpoints.list(job.id))
    assert len(checkpoints) == 3
    assert checkpoints[0].metrics.train_loss
    table = list(csv.DictReader(io.StringIO(api.files.content(job.result_files[0]).text)))
    assert len(table) == len(losses)
    assert "validation_mean_token_accuracy" in table[0]
    assert {row["valid_loss"] for row in table} > {""}
    assert [j.id for j in api.fine_tuning.jobs.list(metadata={"mark": "a"})] == [job.id]
    assert list(api.fine_tuning.jobs.list(metadata={"mark": "b"})) == []


def test_a_job_pauses_resumes_and_is_cancelled(sandbox: Sandbox) -> None:
    api = client(sandbox)
    file = api.files.create(file=jsonl(examples(40)), purpose="fine-tune")
    advance(sandbox, 5)
    job = api.fine_tuning.jobs.create(model=STUDENT, training_file=file.id)
    with pytest.raises(openai.ConflictError):
        api.fine_tuning.jobs.pause(job.id)
    advance(sandbox, 30)
    assert status_of(api.fine_tuning.jobs.pause(job.id)) == "pausing"
    advance(sandbox, 500)
    assert status_of(api.fine_tuning.jobs.retrieve(job.id)) == "paused"
    assert status_of(api.fine_tuning.jobs.resume(job.id)) == "resuming"
    advance(sandbox, 10)
    assert status_of(api.fine_tuning.jobs.retrieve(job.id)) == "running"
    advance(sandbox, 30)
    done = api.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded"
    assert done.finished_at == pytest.approx(done.created_at + 560, abs=2)
    second = api.fine_tuning.jobs.create(model=STUDENT, training_file=file.id)
    assert api.fine_tuning.jobs.cancel(second.id).status == "cancelled"
    advance(sandbox, 500)
    assert api.fine_tuning.jobs.retrieve(second.id).fine_tuned_model is None
    with pytest.raises(openai.ConflictError):
        api.fine_tuning.jobs.cancel(second.id)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (examples(9), "9 example(s)"),
        ([*examples(12), {"messages": []}], "Line 13"),
        ([*examples(12), {"messages": [{"role": "user", "content": "x"}]}], "no assistant message"),
        ([*examples(12), {"messages": [{"role": "developer", "content": "x"}]}], "no known role"),
        (
            [*examples(12), {"messages": [{"role": "assistant", "content": "x", "refusal": None}]}],
            "unrecognized",
        ),
    ],
    ids=["too few", "empty", "no answer", "developer", "unknown key"],
)
@pytest.mark.parametrize("personality", ["azure-v1", "openai"])
def test_a_job_with_a_bad_file_fails_with_the_reason(
    sandbox: Sandbox, personality: str, lines: list[dict[str, Any]], words: str
) -> None:
    api = client(sandbox, personality)
    job = api.fine_tuning.jobs.retrieve(train(sandbox, personality, lines))
    assert job.status == "failed"
    assert job.error is not None
    assert words in job.error.message
    assert job.fine_tuned_model is None
    assert "error" in {event.level.lower() for event in api.fine_tuning.jobs.list_events(job.id)}


def deploy(sandbox: Sandbox, account: str, name: str, model: str) -> None:
    body = {
        "sku": {"name": "GlobalStandard", "capacity": 10},
        "properties": {"model": {"format": "OpenAI", "name": model, "version": "1"}},
    }
    status, answer = manage(sandbox, "PUT", f"/{account}/deployments/{name}", body)
    assert status == 201, answer
    assert answer["properties"]["provisioningState"] == "Accepted"


def test_a_deployment_is_created_by_the_clock_and_answers_a_little_later(sandbox: Sandbox) -> None:
    api = client(sandbox)
    model = api.fine_tuning.jobs.retrieve(train(sandbox, "azure-v1", examples(100))).fine_tuned_model or ""
    assert manage(sandbox, "GET", "/azure-v1/deployments/student")[0] == 404
    deploy(sandbox, "azure-v1", "student", model)
    asked: Any = [{"role": "user", "content": "hello"}]
    seen = []
    for _ in range(6):
        advance(sandbox, 2.2)
        _, answer = manage(sandbox, "GET", "/azure-v1/deployments/student")
        try:
            called = api.chat.completions.create(model="student", messages=asked).model
        except openai.NotFoundError as error:
            called = str(error.code)
        seen.append((answer["properties"]["provisioningState"], called))
    assert seen[0] == ("Creating", "DeploymentNotFound")
    assert ("Succeeded", "DeploymentNotFound") in seen
    assert seen[-1] == ("Succeeded", model)
    with pytest.raises(openai.ConflictError):
        api.models.delete(model)
    listed = manage(sandbox, "GET", "/azure-v1/deployments")[1]["value"]
    assert {d["name"] for d in listed} >= {"gpt-4o", "gpt-4.1", "gpt-4.1-mini", "gpt-4o-mini", "student"}
    assert manage(sandbox, "DELETE", "/azure-v1/deployments/student")[0] == 200
    assert manage(sandbox, "DELETE", "/azure-v1/deployments/student")[0] == 204
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.create(model="student", messages=asked)
    assert api.models.delete(model).deleted


def test_management_refuses_what_it_should(sandbox: Sandbox) -> None:
    wrong = {"sku": {"name": "GlobalStandard", "capacity": 1}, "properties": {"model": {"name": "none-1"}}}
    assert manage(sandbox, "PUT", "/azure-v1/deployments/student", wrong)[0] == 400
    assert manage(sandbox, "PUT", "/azure-v1/deployments/student", {"sku": 1})[0] == 400
    assert manage(sandbox, "GET", "/elsewhere/deployments")[0] == 404


def test_students_are_as_good_as_their_training_files(sandbox: Sandbox) -> None:
    """By a hundred good examples: nearly the teacher. By ten: as before. By shuffled ones: no better."""
    api = client(sandbox, "openai")
    teacher, base = share_right(api, "gpt-4.1"), share_right(api, STUDENT)
    assert teacher > 0.9
    assert base < 0.4

    def taught_by(lines: list[dict[str, Any]]) -> float:
        job = api.fine_tuning.jobs.retrieve(train(sandbox, "openai", lines))
        return share_right(api, job.fine_tuned_model or "")

    assert taught_by(examples(100)) > teacher - 0.1
    assert taught_by(examples(10)) == base
    assert taught_by(examples(100, shuffled=True)) < 0.4
    assert base < taught_by(examples(45)) < teacher
    assert taught_by(examples(20) * 5) < teacher - 0.2


def test_a_student_learns_only_the_kinds_that_it_was_shown(sandbox: Sandbox) -> None:
    api = client(sandbox, "openai")
    job = api.fine_tuning.jobs.retrieve(train(sandbox, "openai", examples(100, ["summary"])))
    model = job.fine_tuned_model or ""
    assert share_right(api, model, ["summary"]) > 0.85
    assert share_right(api, model, ["extraction"]) == share_right(api, STUDENT, ["extraction"])


def test_a_student_learns_from_the_story_itself(sandbox: Sandbox) -> None:
    with Sandbox(None, rows=600, rows_elsewhere=20) as large:
        api = client(large)
        lines = []
        wanted = {"category": "docs-test"}
        for row in api.chat.completions.list(limit=100, model="gpt-4o-2024-08-06", metadata=wanted):
            message = row.choices[0].message
            shown = control(large, "GET", f"/state?resource=azure-v1&id={row.id}")["messages"]
            if message.content and {m["role"] for m in shown} <= {"system", "user", "assistant"}:
                lines.append({"messages": [*shown, {"role": "assistant", "content": message.content}]})
        assert len(lines) > 70
        job = api.fine_tuning.jobs.retrieve(train(large, "azure-v1", lines[:120]))
        deploy(large, "azure-v1", "student", job.fine_tuned_model or "")
        advance(large, 60)
        assert share_right(api, "student", ["summary"]) > share_right(api, "gpt-4.1-mini", ["summary"]) + 0.4


def test_jobs_may_lag_and_lose_their_marks(sandbox: Sandbox) -> None:
    api = client(sandbox)
    file = api.files.create(file=jsonl(examples(12)), purpose="fine-tune")
    advance(sandbox, 5)
    faults(
        sandbox,
        {"kind": "lag", "path": "/fine_tuning/jobs", "method": "GET", "seconds": 60},
        {"kind": "drop_marks", "path": "/fine_tuning/jobs*"},
    )
    job = api.fine_tuning.jobs.create(
        model=STUDENT, training_file=file.id, suffix="mark", metadata={"m": "1"}
    )
    assert job.metadata is None
    assert list(api.fine_tuning.jobs.list()) == []
    advance(sandbox, 61)
    listed: Any = next(iter(api.fine_tuning.jobs.list()))
    assert listed.id == job.id
    assert listed.training_file == file.id
    assert (listed.metadata, listed.user_provided_suffix) == (None, None)
