"""Promptfoo's configurations: every assertion in one, and one made of graders. Pure.

https://www.promptfoo.dev/docs/configuration/reference/
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from datasets.evaluate import carry_yaml
from datasets.evaluate.carry import Carried, NotCarried, number_of, text_of
from datasets.evaluate.promptfoo_export import OPTIONS, USUAL_OPTIONS, assertion_of
from datasets.evaluate.promptfoo_kinds import grader_of
from datasets.evaluate.promptfoo_left import LEFT

MARKS: Final = ("tests", "defaultTest", "assertionTemplates", "scenarios", "prompts")
_DEEPEST: Final = 3  # assert-sets within each other
_OF_ONE = "It was said of one test; here a grader judges every item."

_OTHER_FACTS: Final = (
    "Promptfoo has one choice of the categories of facts that pass, and a grader before it takes another one."
)

Named = tuple[str, str, Mapping[str, Any]]  # name, kind, params
Found = tuple[str, Carried | NotCarried]


def assertions_of(configuration: Mapping[str, Any]) -> Iterator[Found]:
    """Every assertion with where it stands, in order; what has no assertions but should is told as well."""
    templates = configuration.get("assertionTemplates")
    known = templates if isinstance(templates, Mapping) else {}
    usual = configuration.get("defaultTest")
    everywhere: Mapping[str, Any] = usual if isinstance(usual, Mapping) else {}
    if isinstance(usual, str):
        yield "defaultTest", NotCarried("It is in a file of its own, which is not part of this one.")
    yield from _of_test("defaultTest", everywhere, {}, known)
    tests = configuration.get("tests")
    if isinstance(tests, str):
        yield "tests", NotCarried("The tests are in a file of their own, which is not part of this one.")
    elif isinstance(tests, Mapping):
        yield "tests", NotCarried("The tests are made by a script.")
    for number, test in enumerate(tests if isinstance(tests, list) else [], 1):
        place = f"Test {number}"
        if not isinstance(test, Mapping):
            yield place, NotCarried("It is in a file of its own, which is not part of this one.")
            continue
        described = " ".join(text_of(test.get("description")).split())[:60]
        for where, found in _of_test(
            f"{place} “{described}”" if described else place, test, everywhere, known
        ):
            yield where, found.noting(_OF_ONE) if isinstance(found, Carried) else found
    if configuration.get("scenarios"):
        yield "scenarios", NotCarried("Scenarios multiply tests; write their assertions into tests.")
    if configuration.get("redteam"):
        yield "redteam", NotCarried("Attacks and what they look for are no graders.")


def told_of(graders: Sequence[Named]) -> tuple[list[dict[str, Any] | NotCarried], Mapping[str, Any]]:
    """Each grader as an assertion or why it is none, and the options of all of them: Promptfoo has one choice
    of the categories of facts that pass, so the first judge of facts makes it.
    """
    told: list[dict[str, Any] | NotCarried] = []
    options: Mapping[str, Any] = {}
    for grader in graders:
        assertion = assertion_of(*grader)
        if not isinstance(assertion, NotCarried) and OPTIONS in assertion:
            its = assertion.pop(OPTIONS)
            options = options or its
            if its != options:
                assertion = NotCarried(_OTHER_FACTS)
        told.append(assertion)
    return told, options if options != USUAL_OPTIONS else {}


def written(graders: Sequence[Named]) -> str:
    """A configuration that asserts what these graders judge; those without an equal are not in it."""
    told, options = told_of(graders)
    carried = [assertion for assertion in told if not isinstance(assertion, NotCarried)]
    configuration = {"defaultTest": ({"options": options} if options else {}) | {"assert": carried}}
    text: str = yaml.dump(configuration, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000)
    return text


class _Dumper(yaml.SafeDumper):
    """Puts texts with unusual line breaks in quotes, where they survive; shares nothing by aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _quoted(dumper: yaml.SafeDumper, text: str) -> Any:
    style = '"' if any(sign in text for sign in "\r\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted)
for _name, _pattern, _first in carry_yaml.RESOLVED:  # beside what YAML 1.1 would take for something else
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, list(_first))


def _of_test(
    place: str, test: Mapping[str, Any], everywhere: Mapping[str, Any], templates: Mapping[str, Any]
) -> Iterator[Found]:
    listed = test.get("assert")
    if listed is None:
        return
    if not isinstance(listed, list):
        yield place, NotCarried("Its assertions are no list.")
        return
    options = {**_options(everywhere), **_options(test)}
    refused = next((reason for name, reason in _REFUSED.items() if options.get(name)), None)
    for where, assertion in _flat(place, listed, templates, 0):
        if isinstance(assertion, NotCarried):
            yield where, assertion
        elif refused is not None:
            yield where, NotCarried(refused)
        else:
            yield where, grader_of(assertion, options)
    if number_of(test.get("threshold")) is not None:
        yield f"{place}, threshold", NotCarried("A threshold over all assertions of a test is no grader.")
    if test.get("assertScoringFunction"):
        yield f"{place}, assertScoringFunction", NotCarried("A script scores its assertions together.")


_REFUSED: Final = {
    "transform": "Its test changes answers before they are judged; here they are judged as they are.",
    "postprocess": "Its test changes answers before they are judged; here they are judged as they are.",
    "rubricPrompt": "Its test asks judges in words of its own (rubricPrompt).",
}


def _options(test: Mapping[str, Any]) -> Mapping[str, Any]:
    options = test.get("options")
    return options if isinstance(options, Mapping) else {}


def _flat(
    place: str, listed: Sequence[Any], templates: Mapping[str, Any], depth: int
) -> Iterator[tuple[str, Any]]:
    """Assertions one by one: those of a set that wants all of them, and those that stand elsewhere."""
    for number, assertion in enumerate(listed, 1):
        where = f"{place}, assertion {number}"
        if isinstance(assertion, Mapping) and "$ref" in assertion:
            named = text_of(assertion["$ref"]).removeprefix("#/assertionTemplates/")
            if named not in templates:
                yield where, NotCarried(f"There is no template “{named[:60]}”.")
                continue
            assertion = templates[named]
        if isinstance(assertion, Mapping) and assertion.get("type") == "assert-set":
            inner = assertion.get("assert")
            if assertion.get("threshold") is not None or not isinstance(inner, list) or depth >= _DEEPEST:
                yield where, NotCarried(LEFT["assert-set"])
            else:
                yield from _flat(where, inner, templates, depth + 1)
            continue
        yield where, assertion
