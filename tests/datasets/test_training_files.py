"""Files of each purpose, made by the real build, are trained on; bad ones come back explained."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from django.core.files.storage import storages

from completions import correcting, reviewing
from completions.models import ReviewEvent, StoredCompletion
from completions.reviewing import Said
from datasets.build import validate
from datasets.models import DatasetVersion, Purpose
from datasets.recipe import Pairs, Recipe, Split
from portal.models import Connection, User
from portal.sandbox import Sandbox, formats
from tests import factories
from tests.datasets import material
from tests.datasets.broken_rows import CALL, DPO, GOOD, RFT, ROWS, SFT, TOOL, Broken, pair, talk
from tests.portal.sandbox_client import (
    _close_clients,  # noqa: F401  # a fixture that runs by itself
    advance,
    client,
)

METHODS: dict[str, str] = {SFT: "supervised", DPO: "dpo", RFT: "reinforcement"}
MODELS: dict[str, str] = {
    SFT: "gpt-4.1-mini-2025-04-14",
    DPO: "gpt-4.1-mini-2025-04-14",
    RFT: "o4-mini-2025-04-16",
}
GRADER = {
    "type": "string_check",
    "name": "same",
    "operation": "ilike",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.reference }}",
}
USER = {"role": "user", "content": "Hi"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(None, rows=20, rows_elsewhere=20, now=1.8e9) as running:
        yield running


@pytest.fixture
def source(settings: Any, tmp_path: Path) -> Connection:
    """Where the rows come from; artifacts of this test alone."""
    folder = settings.STORAGES["artifacts"]["OPTIONS"] | {"location": str(tmp_path / "files")}
    settings.STORAGES = settings.STORAGES | {
        "artifacts": settings.STORAGES["artifacts"] | {"OPTIONS": folder}
    }
    return factories.connection("Library")


def part_of(version: DatasetVersion, name: str) -> bytes | None:
    part = version.part(name)
    if part is None:
        return None
    with storages["artifacts"].open(version.path) as file:
        file.seek(part.offset)
        return bytes(file.read(part.size))


def job_of(
    sandbox: Sandbox, personality: str, purpose: str, training: bytes, validation: bytes | None = None
) -> Any:
    """What a job with these files comes to."""
    api = client(sandbox, personality)
    kind = METHODS[purpose]
    sent = [
        None if data is None else api.files.create(file=("a.jsonl", io.BytesIO(data)), purpose="fine-tune").id
        for data in (training, validation)
    ]
    advance(sandbox, 5)
    options: dict[str, Any] = {"hyperparameters": {"n_epochs": 2}}
    if purpose == RFT:
        options["grader"] = GRADER
    job: Any = api.fine_tuning.jobs.create(
        model=MODELS[purpose],
        training_file=sent[0] or "",
        extra_body={"method": {"type": kind, kind: options}}
        | ({"validation_file": sent[1]} if sent[1] else {}),
    )
    advance(sandbox, 100)
    return api.fine_tuning.jobs.retrieve(job.id)


def say(row: StoredCompletion, author: User, kind: str, value: Any) -> None:
    reviewing.record(row, [Said(kind, value)], author)


def corrected(row: StoredCompletion, author: User) -> None:
    first = {"text": row.answer_preview, "tool_calls": None}
    correcting.save(row, {"text": f"Better: {row.answer_preview}", "tool_calls": None}, first, author, None)


# Accepted.

REINFORCED = Recipe(purpose=RFT, reference="answer", columns=("meta.category",), split=Split(validation=30))


def supervised_rows(source: Connection, author: User) -> list[StoredCompletion]:
    rows = material.many(source, 14)
    hostile = material.stored(
        source, question="{{ item.x }} <b>\u2028</b>", answer="a\u2029b\x85c \U0001f600"
    )
    corrected(rows[0], author)
    return [*rows, hostile]


def corrected_rows(source: Connection, author: User) -> list[StoredCompletion]:
    rows = material.many(source, 14)
    for row in rows[:12]:
        corrected(row, author)
    return rows


def rated_rows(source: Connection, author: User) -> list[StoredCompletion]:
    rows = []
    for number in range(12):
        for rating in ("good", "bad"):
            row = material.stored(source, question=f"Which is number {number}?", answer=f"A {rating} answer.")
            say(row, author, ReviewEvent.Kind.RATING, rating)
            rows.append(row)
    return rows


def many_rows(source: Connection, author: User) -> list[StoredCompletion]:
    return material.many(source, 40)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("recipe", "rows_of", "written"),
    [
        (Recipe(use_corrections=True, split=Split(validation=20)), supervised_rows, 15),
        (Recipe(purpose=DPO), corrected_rows, 12),
        (Recipe(purpose=DPO, pairs=Pairs("ratings")), rated_rows, 12),
        (REINFORCED, many_rows, 40),
    ],
    ids=["supervised", "corrections", "ratings", "reinforcement"],
)  # fmt: skip
def test_what_is_built_for_a_purpose_is_trained_on_by_both_providers(
    builder: User,
    source: Connection,
    sandbox: Sandbox,
    recipe: Recipe,
    rows_of: Callable[[Connection, User], list[StoredCompletion]],
    written: int,
) -> None:
    version = material.built(builder, rows_of(source, builder), recipe)
    assert (version.state, version.rows) == (DatasetVersion.State.READY, written), version.refusal
    training = part_of(version, "train")
    assert training is not None
    for personality, provider in (("azure-v1", "azure"), ("openai", "openai")):
        problems = validate.scan(training.splitlines(keepends=True), recipe.purpose, provider=provider)
        assert [problem for problem in problems if problem.severity == "error"] == []
        job = job_of(sandbox, personality, recipe.purpose, training, part_of(version, "validation"))
        assert (job.status, job.fine_tuned_model is None) == ("succeeded", False), job.error


# Rejected.


@pytest.mark.parametrize("personality", ["azure-v1", "openai"])
@pytest.mark.parametrize(
    ("purpose", "line", "reason"),
    [
        (SFT, talk({"role": "developer", "content": "x"}, USER), "no known role"),
        (SFT, talk(USER), "no assistant message"),
        (SFT, pair(), "no list of messages"),
        (SFT, talk(USER, {"role": "assistant", "tool_calls": [CALL]}), "defines none"),
        (DPO, talk(USER, {"role": "assistant", "content": "x"}), "unrecognized keys"),
        (DPO, pair(preferred_output=[USER]), "'preferred_output' message 0 has a role"),
        (DPO, pair(preferred_output=[]), "'preferred_output' has no list"),
        (RFT, talk(USER, {"role": "assistant", "content": "x"}, reference="x"), "end with a message of the"),
        (RFT, talk(USER), "has no 'reference', which the grader looks at"),
    ],
)  # fmt: skip
def test_a_bad_file_fails_its_job_with_the_line_and_the_reason(
    sandbox: Sandbox, personality: str, purpose: str, line: dict[str, Any], reason: str
) -> None:
    good = [json.dumps(GOOD[purpose]).encode() + b"\n"] * 11
    data = b"".join([*good, json.dumps(line).encode(), b"\n"])
    job = job_of(sandbox, personality, purpose, data, b"".join(good))
    assert (job.status, job.error.code, job.error.param) == (
        "failed", "invalid_training_file", "training_file",
    )  # fmt: skip
    assert "Line 12: " in job.error.message
    assert reason in job.error.message
    if purpose == RFT:
        job = job_of(sandbox, personality, purpose, b"".join(good), data)
        assert (job.status, job.error.code) == ("failed", "invalid_validation_file")
        assert "Line 12: " in job.error.message


def test_images_in_pairs_are_refused_where_pairs_are_text_only(sandbox: Sandbox) -> None:
    line = json.dumps(ROWS["image_in_pair"][0].value).encode() + b"\n"
    assert job_of(sandbox, "azure-v1", DPO, line * 12).status == "succeeded"
    refused = job_of(sandbox, "openai", DPO, line * 12)
    assert "holds an image" in refused.error.message


# What the provider cannot see, or takes as it is.
UNSEEN = {"bom", "image_too_large", "image_model", "image_in_pair", "missing_field", "half_character"}
ERRORS = [
    (code, broken)
    for code, rows in ROWS.items()
    for broken in rows
    if validate.RULES[code].severity == "error" and code not in UNSEEN and broken.purpose in METHODS
]


@pytest.mark.parametrize(("code", "broken"), ERRORS, ids=[code for code, _ in ERRORS])
def test_what_is_called_an_error_here_is_one_there_and_none_once_it_is_mended(
    code: str, broken: Broken
) -> None:
    assert judged(broken.line, broken.purpose) is not None
    mended = validate.fixed(broken.line, code, broken.purpose)
    if mended:
        assert judged(mended, broken.purpose) is None


def judged(line: bytes, purpose: str) -> str | None:
    problem, example = formats.read(line)
    return problem if example is None else formats.problem_of(example, METHODS[purpose])


# The create call.


@pytest.mark.parametrize(
    ("purpose", "options", "param"),
    [
        (SFT, {"hyperparameters": {"n_epochs": 51}}, "n_epochs"),
        (SFT, {"hyperparameters": {"batch_size": 0}}, "batch_size"),
        (SFT, {"hyperparameters": {"learning_rate_multiplier": 0}}, "learning_rate_multiplier"),
        (SFT, {"hyperparameters": {"beta": 1}}, "beta"),
        (SFT, {"hyperparameters": {"n_epochs": True}}, "n_epochs"),
        (DPO, {"hyperparameters": {"beta": 2.5}}, "beta"),
        (RFT, {"grader": GRADER, "hyperparameters": {"compute_multiplier": 11}}, "compute_multiplier"),
        (RFT, {"grader": GRADER, "hyperparameters": {"reasoning_effort": "most"}}, "reasoning_effort"),
        (RFT, {"grader": GRADER, "hyperparameters": {"eval_samples": 0}}, "eval_samples"),
        (RFT, {}, "grader"),
        (RFT, {"grader": {**GRADER, "operation": "contains"}}, "operation"),
        (RFT, {"grader": {**GRADER, "input": "{{ row.x }}"}}, "grader"),
        (RFT, {"grader": {"type": "multi", "name": "m", "graders": {"a": GRADER}, "calculate_output": "b"}},
         "calculate_output"),
        (RFT, {"grader": GRADER}, "validation_file"),
    ],
)  # fmt: skip
def test_the_create_call_refuses_what_is_out_of_range_or_missing(
    sandbox: Sandbox, purpose: str, options: dict[str, Any], param: str
) -> None:
    api = client(sandbox, "openai")
    line = json.dumps(GOOD[purpose]).encode() + b"\n"
    file = api.files.create(file=("a.jsonl", io.BytesIO(line * 12)), purpose="fine-tune")
    method = {"type": METHODS[purpose], METHODS[purpose]: options}
    with pytest.raises(openai.BadRequestError) as refused:
        api.fine_tuning.jobs.create(
            model=MODELS[purpose], training_file=file.id, extra_body={"method": method}
        )
    assert str(refused.value.param).endswith(param)


@pytest.mark.parametrize(
    ("purpose", "model"),
    [
        (RFT, "gpt-4.1-mini-2025-04-14"), (SFT, "o4-mini-2025-04-16"), (DPO, "gpt-4o-mini-2024-07-18"),
    ],
)  # fmt: skip
def test_a_model_is_refused_for_a_method_that_it_does_not_have(
    sandbox: Sandbox, purpose: str, model: str
) -> None:
    api = client(sandbox, "openai")
    line = json.dumps(GOOD[purpose]).encode() + b"\n"
    file = api.files.create(file=("a.jsonl", io.BytesIO(line * 12)), purpose="fine-tune")
    method: Any = {"type": METHODS[purpose], METHODS[purpose]: {"grader": GRADER} if purpose == RFT else {}}
    with pytest.raises(openai.BadRequestError, match="does not support fine-tuning by"):
        api.fine_tuning.jobs.create(
            model=model, training_file=file.id, validation_file=file.id, extra_body={"method": method}
        )


def test_tools_of_a_line_are_read_by_both(sandbox: Sandbox) -> None:
    called = {"role": "assistant", "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "42"}
    line = talk(
        USER, called, result, {"role": "assistant", "content": "42"}, tools=[TOOL], parallel_tool_calls=False
    )
    data = json.dumps(line).encode()
    assert validate.of_line(1, data, Purpose.SUPERVISED) == []
    assert judged(data, SFT) is None
