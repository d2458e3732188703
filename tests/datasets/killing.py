"""Workers that die at a crash point: processes of their own with many seeds, else only what they do."""

import os
import random
from typing import Any

import pytest

from portal import crashpoints
from portal.sandbox import Sandbox
from tests.datasets import material, provider

# `make faults` sets a seed; every death is that of a process then.
IN_EARNEST = "FAULT_SEED" in os.environ


class Killed(BaseException):
    """In place of the end of the process: nothing catches it, so nothing is tidied up in our rows."""


def chance() -> random.Random:
    """The same in every ordinary run; another one for each seed of `make faults`."""
    return random.Random(int(os.environ.get("FAULT_SEED", "7")))


def kill_at(point: str, kind: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Work on the newest operation of the kind until the worker dies there; False if it never came there."""
    died = _in_a_process(point, sandbox) if IN_EARNEST else _in_this_one(point, kind, sandbox, monkeypatch)
    provider.restart()
    return died


def _in_a_process(point: str, sandbox: Sandbox) -> bool:
    process = provider.worker_process(point)

    def ended() -> bool:
        provider.advance(sandbox, 2)
        return process.poll() is not None

    provider.wait_until(ended, 60)
    return process.wait() == 137


def _in_this_one(point: str, kind: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> bool:
    def die(_: int) -> Any:
        raise Killed

    crashpoints._passed.clear()
    with monkeypatch.context() as patch:
        patch.setenv("PORTAL_CRASH", point)
        patch.setattr(os, "_exit", die)
        try:
            while material.step(kind).is_live:
                provider.advance(sandbox, 2)
        except Killed:
            return True
    return False
