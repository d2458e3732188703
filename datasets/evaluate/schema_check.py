"""Answers held against a JSON Schema of draft 2020-12, whoever wrote either. Pure.

Patterns are expressions of RE2, which take linear time; a reference leads to a place in the same schema and
nowhere else; and one answer gets so many steps, so that no schema goes on for ever.
https://json-schema.org/draft/2020-12
"""

from collections.abc import Callable, Iterator, Mapping, Set
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators
from referencing import Registry

from datasets.evaluate import expressions
from datasets.evaluate.json_equality import NoJson, likeness, parse

DRAFT = "https://json-schema.org/draft/2020-12/schema"
LONGEST_SCHEMA = 60_000
LONGEST_TEXT = 1_000_000
DEEPEST = 60
STEPS = 100_000
DEAR = {"$ref": 10, "$dynamicRef": 10, "allOf": 5, "anyOf": 5, "oneOf": 5}  # in steps
LETTERS_A_STEP = 100  # of what is said about errors, which costs time as well
PLACE_STEPS = 5  # for a place where it is looked up which properties a schema knows
# What looks for patterns of properties by itself, with the standard library's expressions.
_LOOK_THEMSELVES = {"unevaluatedProperties", "unevaluatedItems"}
_left: ContextVar[list[int]] = ContextVar("steps left")

Found = Iterator[ValidationError]
Keyword = Callable[[Any, Any, Any, Any], Found | None]


class Unusable(ValueError):
    """The schema cannot be used; says why."""


class Undecided(Exception):
    """Whether an answer matches cannot be told; says why."""


def problem(text: str) -> str:
    """In words, what is wrong with a schema; empty if answers can be held against it."""
    try:
        _validator(text)
    except Unusable as unusable:
        return str(unusable)
    return ""


def mismatch(schema: str, answer: str) -> str:
    """In words, where a text differs from its schema; empty if it matches. Raises Undecided."""
    if len(answer) > LONGEST_TEXT:
        raise Undecided(f"The text has more than {LONGEST_TEXT:,} characters.")
    try:
        value = parse(answer)
    except NoJson as no:
        return str(no)
    given = _left.set([STEPS])
    try:
        found = next(_validator(schema).iter_errors(value), None)
    except Unusable as unusable:
        raise Undecided(str(unusable)) from None
    except RecursionError:
        raise Undecided("The schema or the text goes too deep.") from None
    except Undecided:
        raise
    except Exception as error:
        # A reference may lead to what is no schema, a number may be too large for the arithmetic.
        raise Undecided(f"The text cannot be held against the schema: {type(error).__name__}.") from None
    finally:
        _left.reset(given)
    return "" if found is None else _said(found)


def _said(error: ValidationError | SchemaError) -> str:
    said = " ".join(error.message[:2_000].split())
    return f"At {error.json_path:.80}: {said[:180]}{'…' if len(said) > 180 else ''}"


@lru_cache(maxsize=64)
def _validator(text: str) -> Any:
    """Raises Unusable."""
    if len(text) > LONGEST_SCHEMA:
        raise Unusable(f"The schema has more than {LONGEST_SCHEMA:,} characters.")
    try:
        schema = parse(text)
    except NoJson as no:
        raise Unusable(f"The schema cannot be read. {no}") from None
    if not isinstance(schema, dict):
        raise Unusable("A schema is a JSON object.")
    if str(schema.pop("$schema", DRAFT)).rstrip("#") != DRAFT:
        raise Unusable(f"Only draft 2020-12 is read: leave $schema out, or write {DRAFT}.")
    nodes = _nodes(schema)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise Unusable(f"The schema is none. {_said(error)}") from None
    places = {f"#{node.get(name)}" for node in nodes for name in ("$anchor", "$dynamicAnchor")}
    for node in nodes:
        _check(node, schema, places)
    names = {name for node in nodes for name in node}
    if "patternProperties" in names and names & _LOOK_THEMSELVES:
        raise Unusable("patternProperties together with unevaluated properties or items is not read.")
    # An empty registry knows no other schema and fetches none.
    return _Bounded(schema, registry=Registry())


def _nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Every object in a schema. Raises Unusable if it goes too deep."""
    found: list[dict[str, Any]] = []
    level: list[Any] = [schema]
    for _ in range(DEEPEST):
        found += [value for value in level if isinstance(value, dict)]
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return found
    raise Unusable(f"The schema has more than {DEEPEST} levels.")


def _check(node: Mapping[str, Any], schema: Mapping[str, Any], places: Set[str]) -> None:
    """Raises Unusable over what would lead elsewhere, or would take a pattern in another way."""
    if isinstance(node.get("$schema"), str):
        raise Unusable("$schema stands at the top or nowhere.")
    for name in ("$ref", "$dynamicRef"):
        place = node.get(name)
        if isinstance(place, str) and not place.startswith("#"):
            raise Unusable(f"The schema refers to {place!r:.80}; only places in itself (#/…) are looked up.")
        if isinstance(place, str) and place != "#" and place not in places and not _leads(place, schema):
            raise Unusable(f"The schema refers to {place!r:.80}, which is not in it.")
    patterns = node.get("patternProperties")
    for pattern in [node.get("pattern"), *(patterns if isinstance(patterns, dict) else ())]:
        if isinstance(pattern, str) and (wrong := expressions.problem(pattern)):
            raise Unusable(f"{pattern!r:.80}: {wrong}")


def _leads(place: str, schema: Mapping[str, Any]) -> bool:
    """Whether a pointer leads to a schema: https://www.rfc-editor.org/rfc/rfc6901"""
    if not place.startswith("#/"):
        return False
    found: Any = schema
    for step in place.removeprefix("#/").split("/"):
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isascii() and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, Mapping) and name in found:
            found = found[name]
        else:
            return False
    return isinstance(found, Mapping | bool)


def _spend(steps: int) -> None:
    left = _left.get()
    left[0] -= steps
    if left[0] < 0:
        raise Undecided("The schema takes too many steps for this text.")


def _bounded(keyword: Keyword, steps: int, *, each: bool) -> Keyword:
    """The keyword, paid for by its steps, and by all elements where it looks at `each`."""

    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Found:
        _spend(steps + (len(value) // 10 if isinstance(value, list) else 0))
        if each and isinstance(instance, list | dict):
            _spend(len(instance))
        for error in keyword(validator, value, instance, schema) or ():
            _spend(len(error.message) // LETTERS_A_STEP)
            yield error

    return counted


def _found(pattern: str, text: str) -> bool:
    _spend(expressions.effort(pattern, text))
    return expressions.found(pattern, text)


def _pattern(validator: Any, value: Any, instance: Any, schema: Any) -> Found:
    if isinstance(instance, str) and not _found(value, instance):
        yield ValidationError(f"{instance!r:.100} does not match {value!r}")


def _of_patterns(validator: Any, value: Any, instance: Any, schema: Any) -> Found:
    if isinstance(instance, dict):
        for pattern, inner in value.items():
            for name in instance:
                if _found(pattern, name):
                    yield from validator.descend(instance[name], inner, path=name, schema_path=pattern)


def _additional(validator: Any, value: Any, instance: Any, schema: Any) -> Found:
    if not isinstance(instance, dict):
        return
    patterns = schema.get("patternProperties", {})
    for name in instance:
        if name in schema.get("properties", {}):
            continue
        if any(_found(pattern, name) for pattern in patterns):
            continue
        if value is False:
            yield ValidationError(f"{name!r:.100} is not among the properties that are allowed")
        else:
            yield from validator.descend(instance[name], value, path=name)


def _unique(validator: Any, value: Any, instance: Any, schema: Any) -> Found:
    if value and isinstance(instance, list):
        _spend(len(instance))
        if len(set(map(likeness, instance))) < len(instance):
            yield ValidationError("an element is there twice")


def _is_boolean(_: Any, value: Any) -> bool:
    """Asked as well at each place where properties are looked up, however often schemas lead there."""
    _spend(PLACE_STEPS)
    return isinstance(value, bool)


# Whatever these ask of an element, and be it nothing, they look at it.
_OF_EACH = {"items", "contains", "propertyNames", "additionalProperties", *_LOOK_THEMSELVES}
_OWN: Mapping[str, Keyword] = {
    "pattern": _pattern,
    "patternProperties": _of_patterns,
    "additionalProperties": _additional,
    "uniqueItems": _unique,
}
_Bounded = validators.create(
    meta_schema=Draft202012Validator.META_SCHEMA,
    validators={
        name: _bounded(_OWN.get(name, keyword), DEAR.get(name, 1), each=name in _OF_EACH)
        for name, keyword in Draft202012Validator.VALIDATORS.items()
    },
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("boolean", _is_boolean),
    id_of=Draft202012Validator.ID_OF,
)
