"""Ready-made checks as Python graders of the evals API, for those whose rule is a line of Python. Pure.

The source begins with the check that it is, so that it comes back as one; what was changed since comes back
as the Python that it is then.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from datasets.evaluate import template
from datasets.evaluate.carry import NotCarried, text_of

# Two lines, so that no value can look like a declaration of the source's encoding.
_MARK: Final = '"""A ready-made check."""\n# '
# By check: what is computed of `text` and `value`.
_RULES: Final[Mapping[str, str]] = {
    "json": "_is_json(text)",
    "xml": "_is_xml(text)",
    "starts": "text.lstrip().startswith(value)",
    "ends": "text.rstrip().endswith(value)",
    "max_words": "len(text.split()) <= int(value)",
    "min_words": "len(text.split()) >= int(value)",
}
_FILLED: Final = ("starts", "ends")  # whose value is a template
_USED: Final[Mapping[str, str]] = {
    "json": """

def _no_number(name):
    raise ValueError(name)


def _is_json(text):
    try:
        json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return False
    return True
""",
    "xml": """

def _refuse(*_):
    raise RuntimeError("It declares a document type, which is not read.")


def _is_xml(text):
    parser = expat.ParserCreate("utf-8")
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(text.strip().encode("utf-8", "replace"), True)
    except expat.ExpatError:
        return False
    return True
""",
}
_TEXT: Final = """

def _text(value):
    if value is None:
        raise LookupError("There is nothing to judge.")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
"""
_LONGEST_LINE: Final = 60_000


def source_of(params: Mapping[str, Any]) -> str | NotCarried:
    """The check as the source of a Python grader, or why it is none."""
    check, value = str(params["check"]), str(params.get("value", ""))
    rule = _RULES.get(check)
    if rule is None:
        return NotCarried("The evals API has no such check.")
    told = {"check": check, "input": params["input"], "value": value}
    imports = "import json\n" + ("from xml.parsers import expat\n" if check == "xml" else "")
    held = (
        f"    value = {_expression(value) if check in _FILLED else repr(value)}\n" if "value" in rule else ""
    )
    return (
        f"{_MARK}{json.dumps(told)}\n{imports}{_TEXT}{_USED.get(check, '')}\n\n"
        f"def grade(sample, item):\n    text = {_expression(str(params['input']))}\n{held}"
        f"    return 1.0 if {rule} else 0.0\n"
    )


def check_of(source: str) -> dict[str, Any] | None:
    """The check that a source is, if it is exactly what `source_of` writes for one."""
    told_line, _, _ = source.removeprefix(_MARK).partition("\n")
    if not source.startswith(_MARK) or len(told_line) > _LONGEST_LINE:
        return None
    try:
        told = json.loads(told_line)
        params = {name: text_of(told[name]) for name in ("input", "check", "value")}
        return params if source_of(params) == source else None
    except (ValueError, RecursionError, KeyError, TypeError):
        return None


def _expression(text: str) -> str:
    """Python that fills a template, as the engine here does."""
    parts = [repr(part) if isinstance(part, str) else _lookup(part) for part in template.parse(text)]
    return " + ".join(parts) or "''"


def _lookup(path: template.Path) -> str:
    return f"_text({path[0]}{''.join(f'[{step!r}]' for step in path[1:])})"
