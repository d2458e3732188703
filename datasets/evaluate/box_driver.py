"""What runs inside the box: it locks the door behind itself, then calls a grader for each line it is given.

Read as a text and run with `python -c` (datasets.evaluate.box), so it imports nothing but the standard
library. Arguments: the descriptors to read requests from and to write results to.
"""

import base64
import ctypes
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from typing import Any

SOURCE = "<grader>"
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LONGEST_TEXT = 250


class Program(ctypes.Structure):
    """`struct sock_fprog`: how many instructions of eight bytes, and where they are."""

    _fields_ = [("count", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def main() -> None:
    requests, results = os.fdopen(int(sys.argv[1]), "rb"), int(sys.argv[2])
    opening = json.loads(requests.readline())
    os.dup2(1, 2)  # until now errors went to whoever opened the box
    bound(opening["limits"])
    lock(base64.b64decode(opening["filter"]))
    tell(results, {"ready": True})
    grade, problem = load(json.loads(requests.readline())["source"])
    tell(results, {"problem": problem})
    if grade is None:
        return
    for line in requests:
        asked = json.loads(line)
        tell(results, score(grade, asked["sample"], asked["item"]))


def bound(limits: Mapping[str, int]) -> None:
    """Soft and hard alike, so that nothing in here can raise them again."""
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def lock(instructions: bytes) -> None:
    """From here on the kernel refuses every call that a grader has no need of."""
    program = Program(len(instructions) // 8, instructions)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    for option, argument, pointer in (
        (PR_SET_NO_NEW_PRIVS, 1, None),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program)),
    ):
        if prctl(option, argument, pointer, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({option}) is refused")


def load(source: str) -> tuple[Callable[[Any, Any], Any] | None, str]:
    """The function `grade` of a source, or why there is none."""
    namespace: dict[str, Any] = {"__name__": "grader"}
    try:
        exec(compile(source, SOURCE, "exec"), namespace)  # noqa: S102  # what the box is for
        grade = namespace.get("grade")
    except BaseException as error:
        return None, in_words(error)
    return (grade, "") if callable(grade) else (None, "The source defines no function grade(sample, item).")


def score(grade: Callable[[Any, Any], Any], sample: Any, item: Any) -> dict[str, Any]:
    try:
        given = grade(sample, item)
        if isinstance(given, (int, float)):
            return {"score": float(given)}
        return {"error": f"It returned {type(given).__name__}, not a number."}
    except BaseException as error:
        return {"error": in_words(error)}


def in_words(error: BaseException) -> str:
    """The error, and the line of the source where it came about."""
    at = error.lineno if isinstance(error, SyntaxError) else None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == SOURCE:
            at = step.tb_lineno
        step = step.tb_next
    said = (error.msg if isinstance(error, SyntaxError) else str(error))[:LONGEST_TEXT]
    return f"{type(error).__name__}{f' in line {at}' if at else ''}{f': {said}' if said else ''}"


def tell(results: int, told: Mapping[str, Any]) -> None:
    os.write(results, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    main()
