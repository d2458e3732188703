"""A provider's refusal in words, and what to do about it; when validation parts from training."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from datasets.finetune import parting
from datasets.finetune.advice import advise

CLOSING = "takes no new fine-tuning jobs"


@pytest.mark.parametrize(
    ("error", "title"),
    [
        (
            {"kind": "forbidden", "message": "Fine-tuning is no longer available to your organization."},
            CLOSING,
        ),
        (
            {"kind": "forbidden", "message": "Your organization is not eligible to create fine-tuning jobs."},
            CLOSING,
        ),
        ({"kind": "bad_request", "message": "This API no longer supports fine-tuning."}, CLOSING),
        ({"kind": "not_found", "message": "Fine-tuning has been shut down."}, CLOSING),
        ({"kind": "bad_request", "message": "Fine-tuning and its endpoints are winding down."}, CLOSING),
        (
            {"kind": "forbidden", "code": "PermissionDenied", "message": "lacks the required action"},
            "A right is missing",
        ),
        ({"kind": "auth", "message": "invalid key"}, "A right is missing"),
        ({"kind": "closed", "message": "no"}, CLOSING),
        ({"kind": "unavailable", "message": "no"}, "cannot be fine-tuned here"),
        ({"kind": "bad_request", "message": "The model is not available in this region."}, "region"),
        (
            {
                "kind": "bad_request",
                "code": "invalidPayload",
                "message": "The region 'uksouth' does not support gpt-4.1.",
            },
            "region",
        ),
        (
            {"message": "The specified base model 'x' does not support fine-tuning."},
            "cannot be fine-tuned here",
        ),
        (
            {"message": "Model x is not available for fine-tuning or does not exist."},
            "cannot be fine-tuned here",
        ),
        ({"kind": "quota", "message": "You exceeded your current quota"}, "quota"),
        ({"kind": "job", "code": "exceeded_quota", "message": "no"}, "quota"),
        (
            {"code": "invalidPayload", "message": "The specified file 'f' has not finished importing."},
            "had not imported",
        ),
        (
            {"kind": "job", "code": "x", "message": "This training file violates our usage policies."},
            "safety check",
        ),
        ({"kind": "job", "code": "contentFilter", "message": ""}, "safety check"),
        ({"kind": "job", "code": "invalid_training_file", "message": "bad"}, "could not use the file"),
        ({"kind": "job", "code": "jsonlValidationFailed", "message": ""}, "could not use the file"),
        ({"kind": "server", "message": "oops"}, "failed on its side"),
        ({"kind": "lost", "message": "gone"}, "cannot be found"),
    ],
)
def test_each_refusal_is_told_in_words_with_what_to_do(error: dict[str, Any], title: str) -> None:
    found = advise(error, azure=title != CLOSING)
    assert found is not None
    assert title in found.title
    assert found.text


@pytest.mark.parametrize(
    "error", [{}, {"message": None}, {"kind": 5, "code": [], "message": {}}, {"message": "hm"}]
)
def test_what_is_not_known_gets_no_advice(error: dict[str, Any]) -> None:
    assert advise(error, azure=False) is None


def test_a_key_is_advised_otherwise_than_an_identity() -> None:
    error = {"kind": "forbidden", "message": "no"}
    on_azure, elsewhere = advise(error, azure=True), advise(error, azure=False)
    assert on_azure is not None
    assert elsewhere is not None
    assert "role" in on_azure.text
    assert "key" in elsewhere.text


# Validation and training


def rows(validation: Sequence[float | None], training: list[float] | None = None) -> list[dict[str, float]]:
    falling = training or [2 * math.exp(-0.1 * step) for step in range(len(validation))]
    return [
        {"step": float(step), "train_loss": loss} | ({} if valid is None else {"valid_loss": valid})
        for step, (valid, loss) in enumerate(zip(validation, falling, strict=True), start=1)
    ]


DOWN = [1.5 - 0.1 * step for step in range(8)]
UP = [0.8 + 0.05 * step for step in range(8)]


def test_validation_that_turns_while_training_falls_is_told_with_its_step() -> None:
    found = parting.of(rows(DOWN + UP), saved=[4, 8, 16])
    assert found is not None
    assert 7 <= found.step <= 9
    assert found.checkpoint == 8
    assert found.now > found.lowest
    assert found.training_now < found.training_then
    assert "learn its rows by heart" in found.text
    assert "checkpoint at step 8" in found.text


def test_the_last_checkpoint_is_no_way_out() -> None:
    found = parting.of(rows(DOWN + UP), saved=[16])
    assert found is not None
    assert found.checkpoint is None


@pytest.mark.parametrize(
    "curve",
    [
        rows([]),
        rows(DOWN),  # still falls
        rows(DOWN[:2] + UP[:1]),  # too little
        rows([*DOWN, 0.81, 0.8, 0.81, 0.8]),  # flat
        rows([*DOWN[:4], 3.0, *DOWN[4:]]),  # one odd step
        rows([*DOWN, 1.4, 1.5, 1.2, 0.9, 0.75, 0.7]),  # came back
        rows([None] * 16),
        rows(DOWN + UP, training=[1 + 0.1 * step for step in range(16)]),  # both rise
        [{"step": 1.0}] * 20,
    ],
)
def test_nothing_is_said_without_a_reason(curve: list[dict[str, float]]) -> None:
    assert parting.of(curve) is None


def test_whole_validation_counts_before_samples_of_it() -> None:
    curve = [row | {"full_valid_loss": 0.5} for row in rows(DOWN + UP)]
    assert parting.of(curve) is None


def test_sparse_validation_is_enough() -> None:
    thin = [value if place % 2 else None for place, value in enumerate(DOWN + UP + [1.3, 1.4])]
    assert parting.of(rows(thin)) is not None
