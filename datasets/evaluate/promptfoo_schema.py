"""JSON schemas between Promptfoo, which reads draft 07, and the check here, which reads draft 2020-12. Pure.

https://ajv.js.org/json-schema.html
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

FORMATS: Final = "Promptfoo checks the formats that its schema names (format); here they are not checked."
# What one of the two drafts knows and the other does not.
_OLD: Final = ("dependencies", "additionalItems")
_NEW: Final = (
    "prefixItems", "unevaluatedItems", "unevaluatedProperties", "dependentRequired", "dependentSchemas",
    "minContains", "maxContains", "$anchor", "$dynamicAnchor", "$dynamicRef",
)  # fmt: skip
_OF_NAMES: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_OF_VALUES: Final = ("const", "enum", "default", "examples", "dependencies", "dependentRequired")


def unread_here(schema: Mapping[str, Any]) -> str:
    """In words, what of a schema of Promptfoo's means nothing here; empty if nothing."""
    used = next((name for name in _keywords(schema) if name in _OLD), "")
    return f"Its schema uses “{used}” of draft 07, which draft 2020-12 does not have." if used else ""


def unread_there(schema: Mapping[str, Any]) -> str:
    """The same of ours for Promptfoo."""
    used = next((name for name in _keywords(schema) if name in _NEW), "")
    return f"Its schema uses “{used}”, which Promptfoo does not read." if used else ""


def names_formats(schema: Mapping[str, Any]) -> bool:
    return "format" in _keywords(schema)


def _keywords(schema: Any) -> Iterator[str]:
    """The keywords anywhere in a schema; names of properties and plain values are none."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, Mapping):
            for name, value in node.items():
                yield name
                if name in _OF_NAMES and isinstance(value, Mapping):
                    waiting += value.values()
                elif name not in _OF_VALUES:
                    waiting.append(value)
