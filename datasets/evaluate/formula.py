"""One score of several: `0.5 * exact + max(close, 0) ^ 2`, worked out without running any code. Pure.

https://platform.openai.com/docs/guides/graders#multigraders
"""

import ast
import math
import operator
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from keyword import iskeyword
from unicodedata import normalize

LONGEST = 4_000
MOST_PARTS = 1_200  # a name counts with its context, a sum with its sign
DEEPEST = 60
FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}
OF_MANY = ("min", "max")  # the others take one number
_BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[float], float]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


class Unsolved(ValueError):
    """There is no such number; says why."""


def can_say(name: str) -> bool:
    """Whether a formula can name a grader so, and no other one: read, letters become their usual forms."""
    fine = name.isidentifier() and not iskeyword(name) and name not in FUNCTIONS
    return fine and normalize("NFKC", name) == name


def problems(formula: str, names: Collection[str]) -> list[str]:
    """In words, what keeps a formula over these names from being worked out."""
    try:
        tree = _read(formula)
    except ValueError as problem:
        return [f"The formula cannot be read: {problem}"]
    return list(dict.fromkeys(_problems(tree, names)))


def work_out(formula: str, values: Mapping[str, float]) -> float:
    """The value of a formula that has no problems. Raises Unsolved."""
    try:
        return _value(_read(formula).body, values)
    except ZeroDivisionError:
        raise Unsolved("The formula divides by zero.") from None
    except OverflowError:
        raise Unsolved("The formula gives too large a number.") from None
    except KeyError as missing:
        raise Unsolved(f"The formula lacks {missing.args[0]!r:.60}.") from None
    except (ValueError, TypeError):
        raise Unsolved(
            "The formula has no value here, as with the root or the logarithm of a negative."
        ) from None


@lru_cache(maxsize=64)
def _read(formula: str) -> ast.Expression:
    """The tree of a formula, with ^ for powers. Raises ValueError."""
    if len(formula) > LONGEST:
        raise ValueError("it is too long")
    if "#" in formula:
        raise ValueError("what follows a # would be left out.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Python doubts, which is not ours to judge
            # As one line: an import may have broken it into several.
            tree = ast.parse(" ".join(formula.replace("^", "**").split()), mode="eval")
    except SyntaxError as problem:
        raise ValueError(f"{problem.msg} in line {problem.lineno or 1}.") from None
    except (ValueError, RecursionError, MemoryError):
        raise ValueError("it cannot be read.") from None
    level: list[ast.AST] = [tree]
    depth = parts = 0
    while level:
        depth, parts = depth + 1, parts + len(level)
        if depth > DEEPEST or parts > MOST_PARTS:
            raise ValueError("it has too many parts within each other.")
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return tree


def _problems(tree: ast.Expression, names: Collection[str]) -> Iterator[str]:
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if id(node) in called:
                if node.id not in FUNCTIONS:
                    yield f"The formula has the functions {', '.join(FUNCTIONS)}, not {node.id!r:.60}."
            elif node.id not in names:
                yield f"The formula names {node.id!r:.60}, which is none of the graders."
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, int | float):
                yield "The formula holds something that is no number."
        elif isinstance(node, ast.Call):
            yield from _problems_of_call(node)
        elif not isinstance(node, (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Load, *_BINARY, *_UNARY)):
            yield "The formula takes numbers, graders, + - * / ^ and functions."


def _problems_of_call(call: ast.Call) -> Iterator[str]:
    if call.keywords:
        yield "The formula calls a function with a keyword."
    if isinstance(call.func, ast.Name) and call.func.id in FUNCTIONS:
        if call.func.id not in OF_MANY and len(call.args) != 1:
            yield f"In the formula, {call.func.id} takes one number."
        elif not call.args:
            yield f"In the formula, {call.func.id} takes one number or more."


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    """Every step in floating point, so that no power grows without end; each must be a finite number."""
    value: float
    match node:
        case ast.Constant(value=int() | float() as number):
            value = float(number)
        case ast.Name(id=name):
            value = float(values[name])
        case ast.UnaryOp(op=sign, operand=operand):
            value = _UNARY[type(sign)](_value(operand, values))
        case ast.BinOp(left=left, op=sign, right=right):
            value = _BINARY[type(sign)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=args):
            given = [_value(argument, values) for argument in args]
            value = FUNCTIONS[name](given) if name in OF_MANY else FUNCTIONS[name](*given)
        case _:
            raise ValueError("no part of a formula")
    if isinstance(value, complex):
        raise ValueError("no real number")
    value = float(value)
    if math.isnan(value):
        raise ValueError("no number")
    if math.isinf(value):
        raise OverflowError
    return value
