"""A box: a process of its own in which one Python grader judges answers, one after the other.

Nothing that a grader does in there reaches this process but one line of JSON for each answer. A box holds a
single grader, so that one which writes such lines itself falsifies no scores but its own.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Self

from datasets.evaluate import box_walls
from datasets.evaluate.box_process import STRANGE, Dead, Process
from datasets.evaluate.box_walls import Impossible

DRIVER = Path(__file__).with_name("box_driver.py").read_text()
MB = 1024 * 1024


class Ungraded(Exception):
    """An answer that the grader gave no score for; says why."""


class Stopped(Ungraded):
    """It had to be stopped over this answer, or ended over it by itself."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`seconds` by the clock are for one answer; after `box_seconds` of work a new box is taken."""

    seconds: float = 5.0
    load_seconds: float = 5.0
    start_seconds: float = 15.0
    box_seconds: int = 60
    memory: int = 512 * MB
    request: int = 16 * MB

    def of_process(self) -> dict[str, int]:
        """What the kernel holds the process to, by the names of `setrlimit`."""
        processor = self.box_seconds + math.ceil(self.seconds + self.load_seconds)
        return {"CPU": processor, "AS": self.memory, "FSIZE": 0, "NOFILE": 64, "CORE": 0, "NPROC": 0}


class Box:
    """A context; its process is started with the first answer and has ended when the context is left.

    For one thread: the process ends with the thread that started it.
    """

    def __init__(self, source: str, limits: Limits | None = None) -> None:
        self.source, self.limits = source, limits or Limits()
        self._process: Process | None = None
        self._problem = ""  # why this source grades nothing at all
        self._worked = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def score(self, sample: Mapping[str, Any], item: Mapping[str, Any]) -> float:
        """What the grader gives one answer. Raises Ungraded, or Impossible if there can be no box."""
        try:
            asked = json.dumps({"sample": sample, "item": item}).encode() + b"\n"
        except RecursionError:
            raise Ungraded("The item or its answer is nested too deeply.") from None
        if len(asked) > self.limits.request:
            raise Ungraded(f"The item and its answer have more than {self.limits.request // MB} MB.")
        if self._process is not None and (
            self._worked > self.limits.box_seconds or self._process.has_spoken()
        ):
            self.close()
        if self._process is None:
            self._process = self._opened()
        started = monotonic()
        try:
            told = self._process.ask(asked, self.limits.seconds)
        except Dead as dead:
            self._process = None
            raise Stopped(str(dead)) from None
        self._worked += monotonic() - started
        given, error = told.get("score"), told.get("error")
        if isinstance(given, float) and math.isfinite(given):
            return given
        raise Ungraded(error if isinstance(error, str) else f"It returned {given!r:.40}, which is no score.")

    def close(self) -> None:
        """End the process, whatever it does, and wait until it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def _opened(self) -> Process:
        if self._problem:
            raise Ungraded(self._problem)
        opening = {
            "limits": self.limits.of_process(),
            "filter": base64.b64encode(box_walls.call_filter()).decode(),
        }
        try:
            process = Process(_command)
            ready = process.ask(opening, self.limits.start_seconds)
        except (OSError, Dead) as problem:
            raise Impossible(f"A box cannot be started. {problem}"[:300]) from None
        self._worked = 0.0
        self._problem = (
            _loaded(process, self.source, self.limits.load_seconds) if ready == {"ready": True} else STRANGE
        )
        if self._problem:
            process.close()
            raise Ungraded(self._problem)
        return process


def _command(arguments: Sequence[str]) -> list[str]:
    return box_walls.command(DRIVER, arguments)


def _loaded(process: Process, source: str, seconds: float) -> str:
    """What is wrong with a source, as the process says that has read it; empty if it can grade."""
    try:
        problem = process.ask({"source": source}, seconds).get("problem")
    except Dead as dead:
        return f"Before the first answer: {dead}"
    return problem if isinstance(problem, str) else STRANGE
