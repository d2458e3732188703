"""The rules about a row by itself: what each leaves out, and in which order."""

from dataclasses import replace
from typing import Any

import pytest

from completions.conversation import parse
from datasets.build.facts import facts_of, group_of, rank_of
from datasets.build.lines import REASONS, in_words
from datasets.build.material import Material
from datasets.build.rules import declines, refuse
from datasets.models import Purpose
from datasets.recipe import DROPS, Cap, Pairs, Recipe, Sample, Split

SYSTEM, USER = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}


def row(answer: Any = "Because.", finish: str = "stop", **fields: Any) -> Material:
    """A row whose answer says this; further fields are those of Material, or of the stored item."""
    message = {"role": "assistant", "content": answer, **fields.pop("message", {})}
    item = {"choices": [{"index": 0, "finish_reason": finish, "message": message}], **fields.pop("item", {})}
    messages = fields.pop("messages", [SYSTEM, USER])
    return Material("library/one", parse(item, messages), **fields)


CALL = {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
JSON = {"response_format": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("drop", "material", "reason"),
    [
        ("refusal", row(None, message={"refusal": "No."}), "dropped_refusal"),
        ("refusal", row("I'm sorry, but I can\u2019t help with that."), "dropped_refusal"),
        ("refusal", row("Sorry, I am unable to assist with this request."), "dropped_refusal"),
        ("refusal", row("I can't help but admire it."), ""),
        ("refusal", row("I'm sorry to hear that. Try a restart."), ""),
        ("refusal", row("I can help with that."), ""),
        ("refusal", row(f"I cannot provide the whole list. {'But here is a part of it. ' * 20}"), ""),
        ("truncated", row(finish="length"), "dropped_truncated"),
        ("truncated", row(), ""),
        ("filtered", row(finish="content_filter"), "dropped_filtered"),
        ("empty", row(" \n"), "dropped_empty"),
        ("empty", row(None, item={"choices": []}), "dropped_empty"),
        ("empty", row(None, message=CALL), ""),
        ("error", row(None, item={"error": {"code": "server_error"}}), "dropped_error"),
        ("error", row(item={"error": None}), ""),
        ("not_json", row("Sure: {}", item=JSON), "dropped_not_json"),
        ("not_json", row('{"a": 1}', item=JSON), ""),
        ("not_json", row(None, item=JSON, message=CALL), ""),
        ("not_json", row("Sure"), ""),
    ],
)
def test_a_rule_leaves_out_what_it_names_and_nothing_else(drop: str, material: Material, reason: str) -> None:
    assert refuse(material, Recipe(drop=(drop,))) == reason
    assert refuse(material, Recipe()) == ""


def test_every_rule_that_a_recipe_offers_has_words() -> None:
    assert {f"dropped_{name}" for name in DROPS} <= REASONS.keys()


@pytest.mark.parametrize(
    ("recipe", "material", "reason"),
    [
        (Recipe(shortest=5), row("x" * 16), "too_short_answer"),
        (Recipe(shortest=4), row("x" * 16), ""),
        (Recipe(shortest=5), row("x" * 16, completion_tokens=5), ""),
        (Recipe(longest=5), row("short", completion_tokens=6), "too_long_answer"),
        (Recipe(longest=5), row("x" * 21), "too_long_answer"),
        (Recipe(shortest=2), row(None, message=CALL), "too_short_answer"),
        (Recipe(only_approved=True), row(state="needs_review"), "not_approved"),
        (Recipe(only_approved=True), row(), "not_approved"),
        (Recipe(only_approved=True), row(state="approved"), ""),
        (Recipe(excluded=(("library/one", "a test"),)), row(state="approved"), "by_hand:a test"),
        (Recipe(excluded=(("library/two", "a test"),)), row(), ""),
    ],
)
def test_lengths_approval_and_hands(recipe: Recipe, material: Material, reason: str) -> None:
    assert refuse(material, recipe) == reason


def test_a_reason_by_hand_is_told_in_the_persons_words() -> None:
    assert in_words("by_hand:a test") == "Left out by hand: a test"


BETTER = {"text": "Because it is so.", "tool_calls": None}


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (Recipe(use_corrections=True), ""),
        (Recipe(), "dropped_truncated"),
        (Recipe(purpose=Purpose.PREFERENCE), ""),
        (Recipe(purpose=Purpose.PREFERENCE, pairs=Pairs("ratings")), "dropped_truncated"),
        (Recipe(purpose=Purpose.REINFORCEMENT, reference="correction"), ""),
        (Recipe(purpose=Purpose.EVALUATION, use_corrections=True), "dropped_truncated"),
    ],
)
def test_where_the_correction_is_used_the_rules_look_at_it(recipe: Recipe, reason: str) -> None:
    cut = row("I cannot help", "length", correction=BETTER)
    assert refuse(cut, replace(recipe, drop=("refusal", "truncated"))) == reason


def test_rows_are_ranked_by_what_people_said_of_them() -> None:
    good_to_bad = [
        row(state="approved", rating="bad"),
        row(rating="good"),
        row(correction=BETTER, rating="bad"),
        row(),
        row(state="needs_review"),
        row(rating="bad"),
        row(state="rejected", rating="good"),
    ]
    ranks = [rank_of(each) for each in good_to_bad]
    assert ranks == sorted(set(ranks), reverse=True)
    assert rank_of(row(correction=BETTER)) == ranks[2]


@pytest.mark.parametrize(
    ("by", "group"),
    [
        ("model", "gpt-4o"),
        ("connection", "library"),
        ("system", "Be brief."),
        ("meta.team", "sales"),
        ("meta.other", ""),
        ("label.tone", "formal"),
        ("label.other", ""),
    ],
)
def test_groups_are_what_a_row_says_of_itself(by: str, group: str) -> None:
    told = row(model="gpt-4o", connection="library", metadata={"team": "sales"}, labels={"tone": "formal"})
    assert group_of(told, by) == group
    recipe = Recipe(cap=Cap(by, 1), sample=Sample(1, 0, by), split=Split(10, 0, even=by))
    found = facts_of(told, told, recipe)
    assert (found.capped_by, found.sampled_by, found.even, found.stratum) == (group,) * 4


def test_rows_that_ask_the_same_are_known_whatever_is_answered() -> None:
    recipe = Recipe(duplicates="exact")
    one, other = row(messages=[SYSTEM, {"role": "user", "content": "Why? "}]), row("Well.")
    first, second = facts_of(one, one, recipe), facts_of(other, other, recipe)
    assert first.prompt_key == second.prompt_key
    assert first.conversation == second.conversation
    assert first.exact != second.exact
    asked = replace(recipe, purpose=Purpose.REINFORCEMENT)
    assert facts_of(one, one, asked).exact == facts_of(other, other, asked).exact


def test_windows_of_one_conversation_are_known_by_how_it_began() -> None:
    later = [SYSTEM, USER, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}]
    whole, window = row(messages=later), row(messages=[SYSTEM, later[3]])
    recipe = Recipe(last_turns=1)
    assert facts_of(whole, window, recipe).conversation == facts_of(row(), row(), recipe).conversation
    assert facts_of(whole, window, recipe).prompt_key == facts_of(window, window, recipe).prompt_key


def test_declining_is_told_from_saying_sorry() -> None:
    assert declines("Unfortunately, I won't be discussing this.") is False
    assert declines("As an AI language model, I cannot generate that.")
    assert declines("I apologize, but I'm not able to share it.")
    assert not declines("I could not find it, so I wrote to them.")
