"""Recipes in words: every rule says something, and nothing else does."""

from dataclasses import replace
from typing import Any

import pytest

from datasets import recipe_words
from datasets.models import Purpose
from datasets.recipe import Cap, Pairs, Personal, Recipe, Sample, Split, SystemPrompt

RULES: list[dict[str, Any]] = [
    {"only_approved": True},
    {"drop": ("refusal", "truncated")},
    {"shortest": 5},
    {"longest": 5},
    {"excluded": (("a/b", "wrong"),)},
    {"use_corrections": True},
    {"system_prompt": SystemPrompt("remove")},
    {"system_prompt": SystemPrompt("replace", "Be brief.")},
    {"prefix": "Q:"},
    {"last_turns": 2},
    {"personal": Personal(("email",))},
    {"personal": Personal((), (("order", "A-[0-9]+"),), "leave_out")},
    {"token_limit": 100},
    {"token_limit": 100, "leave_out_long": True},
    {"duplicates": "exact"},
    {"duplicates": "near"},
    {"cap": Cap("meta.team", 3)},
    {"sample": Sample(10, 7, "label.Tone")},
    {"split": Split(10, 5, 3, "near", "model")},
    {"byte_order_mark": True},
    {"reference": "meta:gold"},
    {"columns": ("meta.team",)},
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(rule))
def test_every_rule_adds_its_own_sentence(rule: dict[str, Any]) -> None:
    plain = Recipe(purpose=Purpose.EVALUATION)
    found = recipe_words.sentences(replace(plain, **rule))
    assert found != recipe_words.sentences(plain)
    assert all(sentence.endswith(".") and sentence[0].isupper() for sentence in found)


def test_what_the_model_is_trained_on_is_always_said() -> None:
    assert recipe_words.sentences(Recipe()) == ["The model is trained on every answer."]
    assert "last answer" in recipe_words.sentences(Recipe(train_on="last"))[0]


def test_where_pairs_come_from_is_told() -> None:
    models = Recipe(purpose=Purpose.PREFERENCE, pairs=Pairs("models", "teacher", "student"))
    assert "teacher, preferred over one of student" in recipe_words.sentences(models)[0]


def test_of_an_uploaded_file_only_what_applies_is_told() -> None:
    data = Recipe(purpose=Purpose.PREFERENCE, excluded=(("upload/1", "so"),)).as_data()
    assert recipe_words.of_version(data, uploaded=True) == [
        "Every good line of the file is a row, as it is.",
        "One row excluded by hand.",
    ]


def test_long_texts_are_cut_and_kept_on_one_line() -> None:
    told = recipe_words.sentences(Recipe(prefix="line\n" * 500))[0]
    assert len(told) < 200
    assert "\n" not in told


def test_a_recipe_of_another_version_is_told_as_unreadable() -> None:
    assert "does not know" in recipe_words.of_version({"purpose": "supervised", "sparkle": 1})[0]
