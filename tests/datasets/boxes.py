"""For tests that need boxes: whether this machine can build one, and graders to put into them."""

from functools import cache
from typing import Any

import pytest

from datasets.evaluate import box_trust
from datasets.evaluate.box import Box, Ungraded

# It takes its attempt from the item, so that one box serves many; it tells what it got, or the error.
ATTEMPT = """
def grade(sample, item):
    got = eval(item["attempt"], {"item": item})
    raise LookupError(f"GOT {got!r}")
"""


@cache
def refusal() -> str:
    """Why there can be no box here, tried once; empty if there can."""
    return box_trust.test()


def needed() -> None:
    """Skip the test where no box can be built, by name of what is missing."""
    if refusal():
        pytest.skip(f"NO BOX for Python graders: {refusal()}")


def source(*lines: str) -> str:
    """A grader of these lines, the last of which gives the score."""
    *before, last = lines
    return "\n    ".join(["def grade(sample, item):", *before, f"return {last}"])


def said(box: Box, **item: Any) -> str:
    """Why an item got no score."""
    with pytest.raises(Ungraded) as error:
        box.score({}, item)
    return str(error.value)
