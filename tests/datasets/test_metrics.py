"""The text metrics against the implementations they follow (see reference/README.md)."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.evaluate.metrics import FOLLOWS, MAX_CHARS, METRICS, TooLong, similarity
from datasets.evaluate.metrics.porter import stem
from tests.datasets.metric_pairs import PAIRS, pairs


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((Path(__file__).parent / "reference" / "metrics.json").read_text())
    return table


def test_the_pairs_are_those_that_the_reference_saw(reference: dict[str, Any]) -> None:
    assert hashlib.sha256(json.dumps(pairs()).encode()).hexdigest() == reference["texts"]
    assert len(reference["scores"]) == PAIRS


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_agrees_with_its_reference_on_a_thousand_pairs(
    metric: str, reference: dict[str, Any]
) -> None:
    column = reference["columns"].index(metric)
    wrong = [
        (text, wanted)
        for (text, wanted), scores in zip(pairs(), reference["scores"], strict=True)
        if abs(similarity(metric, text, wanted) - scores[column]) > 1e-6
    ]
    assert wrong == []


def test_stems_agree_with_their_reference(reference: dict[str, Any]) -> None:
    assert {word: stem(word) for word in reference["stems"]} == reference["stems"]


@pytest.mark.parametrize("metric", METRICS)
@given(text=st.text(max_size=200), wanted=st.text(max_size=200))
def test_a_score_is_from_0_to_1_whatever_the_texts(metric: str, text: str, wanted: str) -> None:
    assert 0 <= similarity(metric, text, wanted) <= 1


@pytest.mark.parametrize("metric", METRICS)
def test_the_longest_text_allowed_is_compared_and_a_longer_one_refused(metric: str) -> None:
    longest = ("y" * 999 + " ") * (MAX_CHARS // 1000)
    assert 0 <= similarity(metric, longest, longest) <= 1
    with pytest.raises(TooLong, match="The answer has 100,001 characters"):
        similarity(metric, longest + "x", "short")
    with pytest.raises(TooLong, match="The reference has"):
        similarity(metric, "short", longest + "x")


def test_every_metric_says_what_it_follows() -> None:
    assert set(FOLLOWS) == set(METRICS)
