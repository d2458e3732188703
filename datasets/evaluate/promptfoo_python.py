"""Python of Promptfoo's assertions as `grade(sample, item)`, and back. Pure: nothing is run here.

https://www.promptfoo.dev/docs/configuration/expected-outputs/python/
"""

from typing import Final

_BEFORE: Final = "import json\nimport math\n\n\ndef _judge(output, context):\n"
# What turns an answer of Promptfoo's code (a truth value, a number, or an object) into a score.
_AFTER: Final = """

def grade(sample, item):
    found = _judge(sample["output_text"], {"vars": item})
    if isinstance(found, str):
        found = {"true": True, "false": False}.get(found.lower(), found)
    if isinstance(found, str) and found.startswith("{"):
        found = json.loads(found)
"""
_SCORED: Final = """    if isinstance(found, dict):
        found = found.get("score", 1) if found.get("pass", found.get("pass_")) else 0
    return float(found)
"""
_PASSED: Final = """    if isinstance(found, dict):
        found = bool(found.get("pass", found.get("pass_")))
    return 1.0 if float(found) > 0 else 0.0
"""
_LAST: Final = '\n\nreturn grade({"output_text": output}, context["vars"])\n'


def wrapped(code: str, threshold: float | None) -> tuple[str, tuple[str, ...]]:
    """The code as the source of a grader, and what is told of it."""
    body = code.replace("\r\n", "\n")
    if body.endswith(_LAST):
        return body.removesuffix(_LAST), ()
    inner = "\n".join(f"    {line}" for line in body.split("\n")) if "\n" in body else f"    return {body}"
    ending = _PASSED if threshold is None else _SCORED
    note = "Of the context it sees the variables alone (vars)."
    return _BEFORE + inner.rstrip() + "\n" + _AFTER + ending, (note,)


def unwrapped(source: str) -> str:
    """The source of a grader as the code of an assertion."""
    return source + _LAST
