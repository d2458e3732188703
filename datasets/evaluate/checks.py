"""Ready-made checks of an answer that need no model: form, wording, length, language, personal data. Pure.

They extend the graders of the API; `value` is what an answer is held against, in the words of each check.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from xml.parsers import expat

from completions.conversation import Conversation, read_message
from completions.spoken import UNKNOWN, language
from datasets.build.own_patterns import TooMany
from datasets.build.personal import Scanner
from datasets.build.rules import declines
from datasets.evaluate import expressions, json_equality, schema_check, tool_calls
from datasets.recipe import PERSONAL, Personal

LONGEST_NUMBER = 1_000_000
LONGEST_VALUE = 4_000
# How a model that will not answer usually begins, after the field `refusal`, which is looked at first.
_REFUSALS = (
    r"(?i)^\W*(i\Wm sorry,? but|i am sorry,? but|sorry,? but i|i can\W?t (help|assist|comply|provide)|"
    r"i cannot (help|assist|comply|provide)|i\Wm (unable|not able) to|i am (unable|not able) to|"
    r"as an ai( language model)?,? i)"
)


class Unjudged(Exception):
    """The answer cannot be judged by this check; says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `asks` names what `value` is, empty where it takes none; `fills` says that it is a template,
    and `is_json` that it is one of JSON.

    `judge` takes the text, the value and the sample; it answers whether it holds, and why in words. One that
    `reads` no text looks at the sample alone. `longest` is how long a value may be.
    """

    label: str
    judge: Callable[[str, str, Mapping[str, Any]], tuple[bool, str]]
    asks: str = ""
    fills: bool = False
    problem: Callable[[str], str] = lambda value: ""
    reads: bool = True
    longest: int = LONGEST_VALUE
    is_json: bool = False


def _starts(text: str, value: str, _: Mapping[str, Any]) -> tuple[bool, str]:
    holds = text.lstrip().startswith(value)
    return holds, f"The text {'begins' if holds else 'does not begin'} so."


def _ends(text: str, value: str, _: Mapping[str, Any]) -> tuple[bool, str]:
    holds = text.rstrip().endswith(value)
    return holds, f"The text {'ends' if holds else 'does not end'} so."


def _matches(text: str, value: str, _: Mapping[str, Any]) -> tuple[bool, str]:
    found = expressions.found(value, text)
    return found, "The expression is found." if found else "The expression is not found."


def _json(text: str, _: str, __: Mapping[str, Any]) -> tuple[bool, str]:
    try:
        json_equality.parse(text)
    except json_equality.NoJson as no:
        return False, str(no)
    return True, "It is JSON."


def _fits(text: str, value: str, _: Mapping[str, Any]) -> tuple[bool, str]:
    try:
        mismatch = schema_check.mismatch(value, text)
    except schema_check.Undecided as reason:
        raise Unjudged(str(reason)) from None
    return not mismatch, mismatch or "It matches the schema."


def _calls(_: str, value: str, sample: Mapping[str, Any]) -> tuple[bool, str]:
    try:
        wanted = tool_calls.read_text(value)
    except tool_calls.Unreadable as reason:
        raise Unjudged(f"What should be called cannot be read. {reason}") from None
    try:
        made = tool_calls.read(sample.get("output_tools") or [])
        difference = tool_calls.difference(wanted, made)
    except (tool_calls.Unreadable, RecursionError) as reason:
        return False, f"What it calls cannot be read. {reason}"[:300]
    return not difference, difference or "It calls the same tools in the same way."


def _calls_problem(value: str) -> str:
    """What is typed without naming a column can be read at once."""
    if "{{" in value:
        return ""
    try:
        tool_calls.read_text(value)
    except tool_calls.Unreadable as reason:
        return str(reason)
    return ""


def _xml(text: str, _: str, __: Mapping[str, Any]) -> tuple[bool, str]:
    # It is a text already, whatever encoding it declares.
    parser = expat.ParserCreate("utf-8")

    def refuse(*_: Any) -> None:
        raise Unjudged("It declares a document type, which is not read.")

    parser.StartDoctypeDeclHandler = refuse  # entities could grow without end
    try:
        parser.Parse(text.strip().encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        return False, f"It is no XML: {error}"[:300]
    return True, "It is well-formed XML."


def _words_in_all(count: int) -> str:
    return f"It has {count:,} word{'' if count == 1 else 's'}."


def _at_most(text: str, value: str, _: Mapping[str, Any]) -> tuple[bool, str]:
    count = len(text.split())
    return count <= int(value), _words_in_all(count)


def _at_least(text: str, value: str, _: Mapping[str, Any]) -> tuple[bool, str]:
    count = len(text.split())
    return count >= int(value), _words_in_all(count)


def _number_problem(value: str) -> str:
    fine = value.strip().isascii() and value.strip().isdigit() and int(value) <= LONGEST_NUMBER
    return "" if fine else f"A whole number from 0 to {LONGEST_NUMBER:,}."


def _answers(text: str, _: str, sample: Mapping[str, Any]) -> tuple[bool, str]:
    choices = sample.get("choices")
    message = choices[0].get("message") if isinstance(choices, list) and choices else None
    if isinstance(message, Mapping) and message.get("refusal"):
        return False, "The model refused."
    if not text.strip() and not sample.get("output_tools"):
        return False, "It is empty."
    if expressions.found(_REFUSALS, text[:400]) or declines(text):
        return False, "It begins as refusals do."
    return True, "It is an answer."


def _speaks(text: str, value: str, _: Mapping[str, Any]) -> tuple[bool, str]:
    told = language(text)
    if told == UNKNOWN:
        raise Unjudged("The text is too short or too mixed to tell its language.")
    return told == value.strip().casefold(), f"Its language is {told}."


def _code_problem(value: str) -> str:
    code = value.strip()
    return "" if len(code) == 2 and code.isascii() and code.isalpha() else "Two letters, for example en."


def _discreet(text: str, _: str, __: Mapping[str, Any]) -> tuple[bool, str]:
    message = read_message({"role": "assistant", "content": text}, 0)
    try:
        hits = _scanner().hits(Conversation((message,), (), (), {}, {}))
    except TooMany:
        return False, "It holds a great deal of personal data."
    kinds = sorted({PERSONAL.get(hit.kind, hit.kind) for hit in hits})
    return not hits, f"It holds {', '.join(kinds)}." if hits else "It holds no personal data that is known."


@cache
def _scanner() -> Scanner:
    return Scanner(Personal(kinds=tuple(PERSONAL)))


CHECKS: Mapping[str, Check] = {
    "json": Check("is valid JSON", _json),
    "xml": Check("is well-formed XML", _xml),
    "starts": Check("starts with", _starts, "Text", fills=True),
    "ends": Check("ends with", _ends, "Text", fills=True),
    "regex": Check("matches the expression (RE2)", _matches, "Expression", problem=expressions.problem),
    "max_words": Check("has at most so many words", _at_most, "Words", problem=_number_problem),
    "min_words": Check("has at least so many words", _at_least, "Words", problem=_number_problem),
    "answers": Check("is an answer, not a refusal", _answers),
    "language": Check("is in the language", _speaks, "Language code", problem=_code_problem),
    "no_personal_data": Check("holds no personal data", _discreet),
    "schema": Check(
        "matches the JSON schema",
        _fits,
        "Schema",
        problem=schema_check.problem,
        longest=schema_check.LONGEST_SCHEMA,
    ),
    "tool_calls": Check(
        "calls the tools",
        _calls,
        "Tool calls",
        fills=True,
        problem=_calls_problem,
        reads=False,
        longest=20_000,
        is_json=True,
    ),
}
