"""YAML as the programs read it whose files are carried: by the core schema of 1.2. Pure.

YAML 1.1, which PyYAML reads, makes 12:30 a number in base 60 and 010 an eight; here they are a text and ten.
https://yaml.org/spec/1.2.2/#103-core-schema
"""

import re
from datetime import date
from typing import Any, Final

import yaml

_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STR: Final = "tag:yaml.org,2002:"
_DIGITS: Final = "-+0123456789"
# What a plain text is, with the signs that it may begin with.
RESOLVED: Final = (
    ("null", re.compile(r"(?:~|null|Null|NULL|)\Z"), ("~", "n", "N", "")),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), tuple("tTfF")),
    ("int", re.compile(r"[-+]?(?:0b[01]+|0o[0-7]+|0x[0-9a-fA-F]+|[0-9]+)\Z"), tuple(_DIGITS)),
    (
        "float",
        re.compile(
            r"(?:[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
        ),
        tuple(f"{_DIGITS}."),
    ),
    ("timestamp", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z"), tuple("0123456789")),
    ("merge", re.compile(r"<<\Z"), ("<",)),
)


class NoJson(ValueError):
    """It holds what JSON cannot say."""


def _int(loader: Any, node: Any) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0 if text.lstrip("+-")[:2] in ("0b", "0o", "0x") else 10)


def _float(loader: Any, node: Any) -> float:
    text = str(loader.construct_scalar(node)).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


Loader: Any = type("Loader", (_Safe,), {"yaml_implicit_resolvers": {}})
for _name, _pattern, _first in RESOLVED:
    Loader.add_implicit_resolver(f"{_STR}{_name}", _pattern, list(_first))
Loader.add_constructor(f"{_STR}int", _int)
Loader.add_constructor(f"{_STR}float", _float)


def read(text: str) -> Any:
    """The value of a text as JSON has it, but for dates. Its size is the caller's to bound.

    Raises YAMLError, or another error of Python where a value is not what its tag says.
    """
    return _plain(yaml.load(text, Loader=Loader))  # noqa: S506  # a safe loader, in C where there is one


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int | float | date):
        return value
    raise NoJson


def _key(name: Any) -> str:
    """A name as programs in JavaScript have it, where every name is a text."""
    if isinstance(name, bool):
        return "true" if name else "false"
    return "null" if name is None else str(name)
