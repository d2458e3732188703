"""What a row says is changed as the recipe wants it, and nothing else of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completions.conversation import parse
from datasets.build import rewrite
from datasets.build.convert import supervised
from datasets.build.lines import Line, Refusal
from datasets.build.material import Material
from datasets.build.rewrite import common_prefix, rewritten
from datasets.build.tokens import Counter
from datasets.recipe import Recipe, SystemPrompt
from tests.datasets.rows import ASKED, HOSTILE, answer, row

RIGHT = {"text": "Right.", "tool_calls": None}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def said(material: Material) -> list[tuple[str, str]]:
    conversation = material.conversation
    assert conversation.messages is not None
    return [(message.role, message.text) for message in conversation.messages]


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def told(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "content": "Be brief."}


def test_a_recipe_that_rewrites_nothing_gives_the_row_itself() -> None:
    material = row(correction=RIGHT)
    assert rewritten(material, Recipe()) is material
    same = Recipe(
        system_prompt=SystemPrompt("replace", "Be brief."), prefix="No such beginning", last_turns=9
    )
    assert rewritten(material, same) is material


def test_a_correction_takes_the_place_of_the_answer_and_ends_it() -> None:
    material = rewritten(row(answer("Wro", finish="length"), correction=RIGHT), Recipe(use_corrections=True))
    assert material.edited
    assert material.conversation.answer is not None
    assert material.conversation.answer.text == "Right."
    made = supervised(material, Recipe(use_corrections=True), Counter.plain())
    assert isinstance(made, Line)
    assert (made.data["messages"][-1]["content"], made.warnings, made.how) == ("Right.", (), "guessed")


@pytest.mark.parametrize("purpose", ["preference", "evaluation"])
def test_where_both_answers_count_the_original_stays(purpose: str) -> None:
    material = row(answer("Wrong."), correction=RIGHT)
    assert rewritten(material, Recipe(purpose=purpose, use_corrections=True)) is material


@pytest.mark.parametrize(
    ("wanted", "result"),
    [
        (SystemPrompt("remove"), [("user", "How are you?")]),
        (SystemPrompt("replace", "Rhyme."), [("system", "Rhyme."), ("user", "How are you?")]),
        (SystemPrompt("replace", "  "), [("user", "How are you?")]),
    ],
)
def test_the_system_prompt_is_removed_or_replaced(
    wanted: SystemPrompt, result: list[tuple[str, str]]
) -> None:
    assert said(rewritten(row(), Recipe(system_prompt=wanted))) == result


def test_a_row_without_a_system_prompt_is_given_the_one_that_replaces_the_others() -> None:
    material = rewritten(row(messages=[user("Hi")]), Recipe(system_prompt=SystemPrompt("replace", "Rhyme.")))
    assert said(material) == [("system", "Rhyme."), ("user", "Hi")]


def test_a_developers_prompt_is_replaced_as_one_and_everywhere_in_the_conversation() -> None:
    messages = [{"role": "developer", "content": "a"}, user("b"), SYSTEM, user("c")]
    material = rewritten(row(messages=messages), Recipe(system_prompt=SystemPrompt("replace", "x")))
    assert said(material) == [("developer", "x"), ("user", "b"), ("user", "c")]


def test_a_prefix_is_cut_off_the_first_message_of_the_user_only() -> None:
    messages = [SYSTEM, user("Summarise: tides"), told("…"), user("Summarise: combs")]
    material = rewritten(row(messages=messages), Recipe(prefix="Summarise: "))
    assert [text for _, text in said(material)] == ["Be brief.", "tides", "…", "Summarise: combs"]
    assert [message.index for message in material.conversation.everything] == [0, 1, 2, 3, 4]


def test_images_behind_a_prefix_stay() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    message = user([{"type": "text", "text": "Look: "}, image])
    material = rewritten(row(messages=[message]), Recipe(prefix="Look: "))
    assert material.conversation.messages is not None
    assert [part.kind for part in material.conversation.messages[0].parts] == ["image"]


def test_a_row_that_asks_nothing_but_the_prefix_is_left_out_with_that_reason() -> None:
    material = rewritten(row(messages=[SYSTEM, user("Summarise: ")]), Recipe(prefix="Summarise:"))
    assert supervised(material, Recipe(), Counter.plain()) == Refusal("nothing_left")


def test_a_window_keeps_the_system_prompt_and_whole_turns() -> None:
    messages = [SYSTEM, user("1"), told("a"), user("2"), told("b"), user("3")]
    material = rewritten(row(messages=messages), Recipe(last_turns=2))
    assert [text for _, text in said(material)] == ["Be brief.", "2", "b", "3"]


def test_a_window_begins_where_the_call_of_each_result_is_in_it() -> None:
    asks = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "42"}
    messages = [SYSTEM, user("0"), told("z"), user("1"), asks, user("Well?"), result, told("a"), user("2")]
    two = rewritten(row(messages=messages), Recipe(last_turns=2))
    assert [text for _, text in said(two)] == ["Be brief.", "1", "", "Well?", "42", "a", "2"]
    one = rewritten(row(messages=messages), Recipe(last_turns=1))
    assert [text for _, text in said(one)] == ["Be brief.", "2"]


roles = st.sampled_from(["system", "developer", "user", "assistant", "tool"])


@given(
    st.lists(st.tuples(roles, st.sampled_from(["a", "b", "c"]), st.integers(0, 3)), max_size=9),
    st.integers(1, 4),
)
def test_no_window_holds_a_result_without_its_call_that_the_whole_has(
    talk: list[tuple[str, str, int]], turns: int
) -> None:
    messages: list[dict[str, Any]] = []
    for role, text, call in talk:
        message: dict[str, Any] = {"role": role, "content": text}
        if role == "assistant" and call:
            message["tool_calls"] = [CALL | {"id": f"c{call}"}]
        if role == "tool":
            message["tool_call_id"] = f"c{call}"
        messages.append(message)
    whole = parse(answer(), messages).messages or ()
    window = rewrite.last_turns(whole, turns)
    assert [m for m in window if m.role in rewrite.SYSTEM] == [m for m in whole if m.role in rewrite.SYSTEM]
    if not orphans(whole):
        assert not orphans(window)
    if window is not whole:
        assert sum(message.role == "user" for message in window) >= turns


def orphans(messages: Any) -> bool:
    called: set[str] = set()
    for message in messages:
        if message.role == "tool" and message.tool_call_id not in called:
            return True
        called.update(call.id for call in message.tool_calls)
    return False


def test_training_on_the_last_answer_gives_the_earlier_ones_no_weight() -> None:
    material = row(messages=[*ASKED, told("a"), user("And?")])
    made = supervised(material, Recipe(train_on="last"), Counter.plain())
    assert isinstance(made, Line)
    weights = [m.get("weight") for m in made.data["messages"] if m["role"] == "assistant"]
    assert weights == [0, None]


def test_hostile_texts_of_a_recipe_and_a_row_pass_unchanged() -> None:
    recipe = Recipe(system_prompt=SystemPrompt("replace", HOSTILE), prefix="{{ item.x }}")
    material = rewritten(row(messages=[user("{{ item.x }}" + HOSTILE)]), recipe)
    assert said(material) == [("system", HOSTILE), ("user", HOSTILE)]


# What is proposed as a prefix.

ASK = "You are given a text. Summarise it in one sentence.\n\nText: "


def test_a_shared_beginning_is_proposed_up_to_the_end_of_a_line() -> None:
    texts = [f"{ASK}{name} and more" for name in ("Tides", "Tokens", "Tea")]
    assert common_prefix(texts) == "You are given a text. Summarise it in one sentence.\n\n"


def test_a_shared_beginning_without_lines_ends_with_a_word() -> None:
    assert common_prefix([f"Translate this into German: {name}" for name in ("they", "those")]) == (
        "Translate this into German: "
    )


def test_a_few_other_texts_do_not_hide_a_prefix() -> None:
    texts = [f"{ASK}text {n}" for n in range(40)] + ["Hello", "What?"]
    assert common_prefix(texts).startswith("You are given")


@pytest.mark.parametrize(
    "texts",
    [[], ["One alone that is long enough to count"], ["Hi a", "Hi b"], ["", " "], ["x", "y"], ["same"] * 9],
)
def test_nothing_is_proposed_where_little_is_shared(texts: list[str]) -> None:
    assert common_prefix(texts) == ""


@given(st.lists(st.text(max_size=40), max_size=8))
def test_what_is_proposed_begins_nearly_every_text(texts: list[str]) -> None:
    prefix = common_prefix(texts)
    told = {text for text in texts if text.strip()}
    assert not prefix or sum(text.startswith(prefix) for text in told) >= rewrite.SHARE * len(told)


def test_the_text_that_a_prefix_is_looked_for_in_is_the_first_of_the_user() -> None:
    assert rewrite.first_asked(row().conversation) == "How are you?"
    assert rewrite.first_asked(row(messages=[SYSTEM]).conversation) == ""
