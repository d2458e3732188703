"""Every rule of the training format, with a line that breaks it and what helps."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from datasets.build import validate
from datasets.build.making import Left, Made, Maker
from datasets.build.personal import Scanner
from datasets.build.tokens import Counter
from datasets.models import Purpose
from datasets.recipe import PERSONAL, Personal, Recipe
from tests.datasets.broken_rows import ANSWER, GOOD, ROWS, SFT, USER, Broken, talk
from tests.datasets.rows import answer, row

HITS = Scanner(Personal(kinds=tuple(PERSONAL))).hits
OF_LINES = {code for code, rule in validate.RULES.items() if rule.place == "line"}
ALL_ROWS = [(code, broken) for code, rows in ROWS.items() for broken in rows]


def codes(value: Any, purpose: str = SFT, **known: Any) -> set[str]:
    line = value if isinstance(value, bytes) else json.dumps(value).encode()
    return {problem.code for problem in validate.of_line(7, line, purpose, **known)}


def found(broken: Broken, line: bytes) -> Iterator[validate.Problem]:
    """What is said of a file whose line 7 (line 1, of the mark that only stands there) is this one."""
    good = json.dumps(GOOD[broken.purpose]).encode()
    others = [json.dumps({**GOOD[broken.purpose], "other": n}).encode() for n in range(5)]
    others = [good if broken.purpose in (SFT, Purpose.PREFERENCE) else other for other in others]
    first = line if line.startswith(b"\xef\xbb\xbf") else others[0]
    known = {name: value for name, value in broken.known.items() if name in ("model", "provider", "fields")}
    lines = [first, *others, line]
    training = {validate.digest_of(line)} if broken is ROWS["overlap"][0] else ()
    for problem in validate.scan(
        [each + b"\n" for each in lines], broken.purpose, **known, training=training
    ):
        if problem.line in (1, 7):
            yield problem
    if broken is ROWS["over_long"][0]:
        yield from validate.of_tokens(7, 40_000, broken.known["model"])


def test_every_rule_about_a_line_has_lines_that_break_it() -> None:
    assert ROWS.keys() == OF_LINES


@pytest.mark.parametrize("purpose", list(GOOD))
@pytest.mark.parametrize("provider", ["", "azure", "openai"])
def test_a_good_line_of_each_purpose_has_no_problem(purpose: str, provider: str) -> None:
    assert codes(GOOD[purpose], purpose, provider=provider, personal=HITS) == set()


@pytest.mark.parametrize(("code", "broken"), ALL_ROWS, ids=[code for code, _ in ALL_ROWS])
def test_each_rule_names_the_line_that_breaks_it_and_a_fix_that_helps(code: str, broken: Broken) -> None:
    number = 1 if code == "bom" else 7
    problem = next(each for each in found(broken, broken.line) if each.code == code and each.line == number)
    assert problem.text
    assert problem.fix in validate.FIXES
    mended = validate.fixed(broken.line, code, broken.purpose)
    if mended is None:
        assert validate.changed(Recipe(purpose=broken.purpose), problem.fix) is not None
    elif mended:
        again = codes(mended, broken.purpose, **broken.known)
        assert code not in again
        assert not [each for each in again if validate.RULES[each].severity == "error"]
    else:
        assert validate.FIXES[problem.fix].removes


def test_a_byte_order_mark_is_named_and_the_line_behind_it_is_read() -> None:
    mark = b"\xef\xbb\xbf"
    problems = validate.of_line(1, mark + json.dumps(GOOD[SFT]).encode())
    assert [problem.code for problem in problems] == ["bom"]
    assert [problem.code for problem in validate.of_line(1, mark + b"{")] == ["bom", "not_json"]


@pytest.mark.parametrize("code", ["bom", "image_in_pair"])
def test_a_rule_of_one_provider_is_a_warning_until_it_is_chosen_and_none_elsewhere(code: str) -> None:
    broken = ROWS[code][0]
    severities = {}
    for provider in ("", "openai", "azure"):
        problems = validate.of_line(1, broken.line, broken.purpose, provider=provider)
        severities[provider] = [problem.severity for problem in problems if problem.code == code]
    assert severities == {"": ["warning"], "openai": ["error"], "azure": []}


def test_a_search_finds_what_a_quick_look_does_not() -> None:
    value = talk({**USER, "content": "Pay to DE89 3704 0044 0532 0130 00"}, ANSWER)
    assert codes(value) == set()
    assert codes(value, personal=HITS) == {"personal"}


# Rules about the answer as it was stored, with the recipe that helps.


@pytest.mark.parametrize(
    ("code", "stored"),
    [
        ("truncated", row(answer("A long", finish="length"))),
        ("filtered", row(answer("A long", finish="content_filter"))),
        ("uncorrected", row(answer("Wrong."), correction={"text": "Right.", "tool_calls": None})),
        ("disapproved", row(answer("Wrong."), state="rejected")),
        ("disapproved", row(answer("Wrong."), rating="bad")),
        ("refusal", row(answer("I'm sorry, but I can't help with that."))),
        ("personal", row(answer("Write to ada@example.org."))),
    ],
)  # fmt: skip
def test_a_doubt_about_an_answer_is_gone_with_the_recipe_that_is_proposed(code: str, stored: Any) -> None:
    recipe = Recipe()
    rule = validate.RULES[code]
    assert code in doubts(stored, recipe)
    better = validate.changed(recipe, rule.fix)
    assert better is not None
    assert code not in doubts(stored, better)
    assert validate.changed(better, rule.fix) is None


def doubts(stored: Any, recipe: Recipe) -> set[str]:
    made = Maker(recipe, Counter.plain()).make(stored, 1)
    if isinstance(made, Left):
        return {made.reason}
    assert isinstance(made, Made)
    line = made.data.rstrip(b"\n")
    said = {problem.code for problem in validate.of_line(1, line, recipe.purpose, personal=HITS)}
    return said | {problem.code for problem in made.doubts}


def test_a_row_that_is_too_long_is_left_out_by_the_recipe_that_is_proposed() -> None:
    stored = row(answer("word " * 3000) | {"usage": None})
    recipe = Recipe(token_limit=1000)
    assert "over_long" in doubts(stored, recipe)
    better = validate.changed(recipe, "leave_out_long")
    assert better is not None
    assert doubts(stored, better) == {"too_long"}


# Rules about the file and the job.


@pytest.mark.parametrize(
    ("rows", "size", "wanted"), [(9, 10, ["too_few"]), (10, 10, []), (10, 2**30, ["too_large"])]
)
def test_the_file_as_a_whole_has_its_limits(rows: int, size: int, wanted: list[str]) -> None:
    assert [problem.code for problem in validate.of_file(rows, size)] == wanted


def test_one_row_is_enough_to_evaluate() -> None:
    assert validate.of_file(1, 10, Purpose.EVALUATION) == []
    assert [problem.code for problem in validate.of_file(0, 0, Purpose.EVALUATION)] == ["too_few"]


JOB: dict[str, Any] = {
    "purpose": SFT,
    "model": "gpt-4.1-mini-2025-04-14",
    "provider": "azure",
    "examples": 100,
}
REINFORCED = {"purpose": Purpose.REINFORCEMENT, "model": "o4-mini-2025-04-16", "validation": 10}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("few", {"examples": 49}),
        ("too_many_with_images", {"examples": 60_000, "with_images": 50_001}),
        ("no_validation", REINFORCED | {"validation": 0}),
        ("too_many_tokens", {"tokens": 700_000_000, "epochs": 3}),
        ("completions_model", {"model": "babbage-002"}),
        ("method_model", {"purpose": Purpose.PREFERENCE, "model": "gpt-4o-mini-2024-07-18"}),
        ("method_model", {"purpose": Purpose.PREFERENCE, "model": "gpt-4o-2024-08-06", "provider": "openai"}),
        ("method_model", {"purpose": Purpose.REINFORCEMENT, "validation": 10}),
        ("method_model", {"model": "o4-mini-2025-04-16"}),
    ],
)
def test_a_job_that_cannot_be_is_said_before_it_is_asked_for(code: str, changes: dict[str, Any]) -> None:
    assert [problem.code for problem in validate.of_job(**JOB | changes)] == [code]


@pytest.mark.parametrize(
    "changes", [{}, REINFORCED, {"purpose": Purpose.PREFERENCE}, {"model": "something-new"}]
)
def test_a_job_that_can_be_has_no_problem(changes: dict[str, Any]) -> None:
    assert validate.of_job(**JOB | changes) == []


def test_a_warning_about_rows_is_an_error_once_the_provider_is_chosen_that_refuses_them() -> None:
    job = JOB | {"purpose": Purpose.PREFERENCE, "known": {"image_in_pair": 3, "truncated": 2, "strange": 1}}
    assert validate.of_job(**job) == []
    problems = validate.of_job(**job | {"provider": "openai"})
    assert [(problem.code, problem.severity) for problem in problems] == [("image_in_pair", "error")]
    assert problems[0].text == "3 rows: Preference pairs are text only"


def test_setting_rows_apart_is_proposed_where_validation_is_missing() -> None:
    recipe = Recipe(purpose=Purpose.REINFORCEMENT)
    better = validate.changed(recipe, validate.RULES["no_validation"].fix)
    assert better == replace(recipe, split=replace(recipe.split, validation=10))


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("gpt-4.1-nano-2025-04-14", 32_768),
        ("gpt-4.1-mini-2025-04-14", 65_536),
        ("gpt-4o-mini-2024-07-18", 65_536),
        ("something-new", None),
    ],
)
def test_token_limits_follow_the_base_model(model: str, limit: int | None) -> None:
    assert validate.token_limit(model) == limit


# Fixes.


def test_a_fix_changes_nothing_but_what_is_wrong() -> None:
    broken = talk({"role": "developer", "content": "Be brief."}, USER, ANSWER)
    mended = validate.fixed(json.dumps(broken).encode(), "unrecognized_role")
    assert mended is not None
    assert json.loads(mended) == talk({"role": "system", "content": "Be brief."}, USER, ANSWER)


def test_every_fix_is_named_by_a_rule_and_says_what_it_does() -> None:
    assert {rule.fix for rule in validate.RULES.values() if rule.fix} == validate.FIXES.keys()
    for fix in validate.FIXES.values():
        assert fix.words
        assert fix.recipe or fix.line or fix.removes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["role", "content", "type", "text", "tool_calls", "id", "function", "name", "weight",
                         "messages", "tools", "input", "preferred_output", "non_preferred_output", "item",
                         "image_url", "url", "arguments", "tool_call_id", "parallel_tool_calls"]),
        inner, max_size=4),
    max_leaves=14,
)  # fmt: skip


@given(value=json_values, purpose=st.sampled_from(list(GOOD)))
def test_no_object_whatever_it_holds_breaks_a_check_or_a_fix(value: Any, purpose: str) -> None:
    line = json.dumps(value).encode()
    for problem in validate.of_line(3, line, purpose, personal=lambda conversation: conversation.texts()):
        assert problem.line == 3
        mended = validate.fixed(line, problem.code, purpose)
        if mended:
            validate.of_line(3, mended, purpose)


def table() -> str:
    """The rules as docs/validation.md has them."""
    services = {"openai": " (OpenAI)", "azure": " (Azure)", "": ""}
    lines = ["| Code | | What is wrong | In files for | What is proposed |", "|---|---|---|---|---|"]
    for rule in validate.RULES.values():
        purposes = "all" if rule.purposes >= set(Purpose) else ", ".join(sorted(rule.purposes))
        fix = validate.FIXES[rule.fix].words if rule.fix else ""
        lines.append(
            f"| `{rule.code}` | {rule.severity}{services[rule.only]} | {rule.words} | {purposes} | {fix} |"
        )
    return "\n".join(lines) + "\n"


def test_the_documentation_is_the_table_of_the_rules() -> None:
    page = (settings.BASE_DIR / "docs" / "validation.md").read_text(encoding="utf-8")
    told = re.search(r"(?s)<!-- rules -->\n(.*)<!-- /rules -->", page)
    assert told is not None
    assert told[1] == table()
