"""What a file or a pasted text holds: evals of OpenAI, or a configuration of Promptfoo. Pure.

The text is anybody's: it is bounded before and while it is read, and nothing in it is run or looked up.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import yaml

from datasets.evaluate import carry_yaml, openai_evals, promptfoo
from datasets.evaluate.carry import Carried, NotCarried, text_of

LARGEST: Final = 512 * 1024  # bytes
MOST_NODES: Final = 50_000  # with everything that an alias stands for counted where it stands
DEEPEST: Final = 60
MOST_LINES: Final = 300
_SHOWN: Final = 200

Format = Literal["openai", "promptfoo"]
FORMATS: Final[Mapping[Format, str]] = {"openai": "OpenAI evals", "promptfoo": "Promptfoo"}


class Unreadable(ValueError):
    """The text as a whole cannot be read; says why and what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """One grader in the text: where it stands, and what becomes of it. `same` is an equal one further up."""

    where: str
    found: Carried | NotCarried
    same: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything in a text; `remarks` are about what is no grader."""

    format: Format
    name: str
    lines: tuple[Line, ...]
    remarks: tuple[str, ...]


def read(text: str) -> Reading:
    """Raises Unreadable."""
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise Unreadable(f"It is larger than {LARGEST // 1024} KB. Divide it.")
    if not text.strip():
        raise Unreadable("There is nothing in it.")
    value = _parsed(text)
    if isinstance(value, Mapping) and any(mark in value for mark in promptfoo.MARKS):
        return _reading("promptfoo", text_of(value.get("description")), promptfoo.assertions_of(value), ())
    return _reading("openai", *_criteria(value))


def _parsed(text: str) -> Any:
    try:
        if text.lstrip()[:1] in "{[":
            try:
                return _bounded(json.loads(text))
            except ValueError:
                if (lines := _lines(text)) is not None:
                    return _bounded(lines)
                # YAML may begin so as well
        _count(text)
        return carry_yaml.read(text)
    except RecursionError:
        raise Unreadable("It is nested too deeply.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        problem = str(getattr(error, "problem", "") or "it is broken")[:120]
        raise Unreadable(f"It is neither JSON nor YAML{place}: {problem}.") from None
    except Unreadable:
        raise
    except carry_yaml.NoJson:
        raise Unreadable("It holds a value that JSON has no form for, such as a set or bytes.") from None
    except (ValueError, OverflowError, TypeError, AttributeError, LookupError):
        raise Unreadable("A value in it cannot be read: a number or a date that there is none of.") from None


def _lines(text: str) -> list[Any] | None:
    """The lines of JSONL, as they stand where one is broken; None for what is none."""
    first, *more = (line for line in text.splitlines() if line.strip())
    try:
        found = [json.loads(first)]
    except ValueError:
        return None
    for line in more:
        try:
            found.append(json.loads(line))
        except ValueError:
            found.append(line)
    return found if isinstance(found[0], dict) and more else None


def _bounded(value: Any) -> Any:
    """The value, if it is no larger than a person would write one."""
    waiting, seen = [(value, 0)], 0
    while waiting:
        each, depth = waiting.pop()
        seen += 1
        if seen > MOST_NODES or depth > DEEPEST:
            raise Unreadable("It holds too much, or is nested too deeply. Divide it.")
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        waiting += [(one, depth + 1) for one in inner]
    return value


def _count(text: str) -> None:
    """Follow the events of YAML without building anything: aliases count as what they stand for."""
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=carry_yaml.Loader):
        size = 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise Unreadable("An alias in it stands within what it stands for, or for nothing.")
            size = sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, total))
            if len(opened) > DEEPEST:
                raise Unreadable("It is nested too deeply.")
        elif isinstance(event, yaml.ScalarEvent):
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = total - before
            continue
        else:
            continue
        total += size
        if total > MOST_NODES:
            raise Unreadable("It holds too much once its aliases are filled in. Write out what is needed.")


def _criteria(value: Any) -> tuple[str, Iterator[promptfoo.Found], tuple[str, ...]]:
    """The name, the criteria with their places, and what is told of the data."""
    if isinstance(value, Mapping) and isinstance(value.get("data"), list) and value.get("object") == "list":
        return "", _of_all(value["data"]), ()
    if isinstance(value, Mapping) and isinstance(value.get("testing_criteria"), list):
        return text_of(value.get("name")), _each("Criterion", value["testing_criteria"]), _remarks(value)
    if isinstance(value, Mapping) and isinstance(value.get("grader"), Mapping):
        return "", _each("Grader", [value["grader"]]), ()
    if isinstance(value, Mapping) and isinstance(value.get("type"), str):
        return "", _each("Grader", [value]), ()
    if isinstance(value, list):
        return "", _each("Criterion", value), ()
    raise Unreadable(
        "It holds no graders. Paste the definition of an eval (with testing_criteria), or a configuration of"
        " Promptfoo (with tests or defaultTest)."
    )


def _of_all(evals: list[Any]) -> Iterator[promptfoo.Found]:
    for number, entry in enumerate(evals, 1):
        named = " ".join(text_of(entry.get("name")).split())[:60] if isinstance(entry, Mapping) else ""
        place = f"Eval {number}" + (f" “{named}”" if named else "")
        criteria = entry.get("testing_criteria") if isinstance(entry, Mapping) else None
        if not isinstance(criteria, list):
            yield place, NotCarried("It has no testing_criteria.")
            continue
        yield from _each(f"{place}, criterion", criteria)


def _each(called: str, criteria: list[Any]) -> Iterator[promptfoo.Found]:
    for number, criterion in enumerate(criteria, 1):
        yield f"{called} {number}", openai_evals.grader_of(criterion)


def _remarks(value: Mapping[str, Any]) -> tuple[str, ...]:
    config = value.get("data_source_config")
    kind = text_of(config.get("type")) if isinstance(config, Mapping) else ""
    if kind in ("logs", "stored_completions"):
        return ("Its items were stored completions, as here; which ones is chosen with every evaluation.",)
    schema = config.get("item_schema") or config.get("schema") if isinstance(config, Mapping) else None
    names = schema.get("properties") if isinstance(schema, Mapping) else None
    if isinstance(names, Mapping) and isinstance(names.get("item"), Mapping):  # as the API answers
        names = names["item"].get("properties")
    if not isinstance(names, Mapping) or not names:
        return ()
    columns = ", ".join(str(name) for name in names)[:_SHOWN]
    return (f"Its items had the columns {columns}; an evaluation needs items with those that graders name.",)


def _reading(
    found_as: Format, name: str, found: Iterator[promptfoo.Found], remarks: tuple[str, ...]
) -> Reading:
    lines: list[Line] = []
    seen: dict[str, str] = {}
    for where, one in found:
        if len(lines) == MOST_LINES:
            remarks = (*remarks, f"What follows after {MOST_LINES} lines was not looked at. Divide the file.")
            break
        same = ""
        if isinstance(one, Carried):
            key = json.dumps([one.kind, one.params], sort_keys=True, default=str)
            same = seen.get(key, "")
            seen.setdefault(key, where)
        lines.append(Line(where, one, same))
    if not lines:
        raise Unreadable("It holds no graders: no criteria and no assertions.")
    return Reading(found_as, " ".join(name.split())[:_SHOWN], tuple(lines), remarks)
