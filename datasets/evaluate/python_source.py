"""What is wrong with the source of a Python grader, told without running it. Pure.

https://platform.openai.com/docs/guides/graders#python-graders
"""

import ast
import warnings
from collections.abc import Collection, Iterator
from typing import Any, Final

LONGEST: Final = 256 * 1024


def problems(source: Any, fields: Collection[str] | None = None) -> Iterator[str]:
    """In words, what keeps it from grading; `fields` are what an item has, None where that is not known."""
    if not isinstance(source, str) or not source.strip():
        yield "It needs the source, which defines grade(sample, item)."
        return
    if len(source.encode(errors="replace")) > LONGEST:
        yield "The source has more than 256 kB."
        return
    tree = _parsed(source)
    if isinstance(tree, str):
        yield f"The source is no Python: {tree}"
        return
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "grade"]
    if not defined:
        yield "The source defines no function grade(sample, item)."
    elif not _takes_two(defined[-1].args):
        yield "grade takes two arguments, sample and item."
    missing = sorted(set(_looked_up(tree)) - set(fields)) if fields is not None else ()
    for name in missing:
        yield f"The source reads item[{name!r:.60}], which no row has."


def fields_of(source: Any) -> set[str]:
    """The fields of an item that a source certainly reads; none if it is no Python."""
    tree = _parsed(source) if isinstance(source, str) else ""
    return set() if isinstance(tree, str) else set(_looked_up(tree))


def _parsed(source: str) -> ast.Module | str:
    """The tree, or why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of doubtful escapes, which are not ours to judge
            return ast.parse(source)
    except SyntaxError as problem:
        return f"{problem.msg} in line {problem.lineno or 1}."
    except (ValueError, RecursionError, MemoryError):
        return "it cannot be read."


def _takes_two(arguments: ast.arguments) -> bool:
    given = len(arguments.posonlyargs) + len(arguments.args)
    return given - len(arguments.defaults) <= 2 and (given >= 2 or arguments.vararg is not None)


def _looked_up(tree: ast.AST) -> Iterator[str]:
    """The fields that are read as item["name"]; item.get("name") may do without."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "item":
            key = node.slice
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value
