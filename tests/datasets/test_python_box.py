"""What a Python grader can do in its box, which is to give a score, and all that it cannot do."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest
from django.conf import settings

from datasets.evaluate import box_trust, box_walls
from datasets.evaluate.box import Box, Limits, Stopped, Ungraded
from datasets.evaluate.box_trust import ENDLESS
from datasets.evaluate.box_walls import Impossible
from tests.datasets import boxes
from tests.datasets.boxes import ATTEMPT, said, source

HURRIED = Limits(seconds=0.3)


@pytest.fixture(autouse=True)
def _box() -> None:
    boxes.needed()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (["while True:", "    pass", "1"], "more than 0.3 seconds"),
        (["import threading", "lock = threading.Lock()", "lock.acquire()", "lock.acquire()", "1"],
         "more than 0.3 seconds"),
        (["import sys", "for _ in iter(int, 1): print('x' * 100_000); sys.stderr.write('x' * 100_000)", "1"],
         "more than 0.3 seconds"),
        (["import os", "os._exit(0)", "1"], "ended by itself"),
        (["import ctypes", "ctypes.string_at(0)", "1"], "crashed"),
        (["import sys", "sys.setrecursionlimit(10 ** 9)", "f = lambda n: f(n + 1) + 1", "f(0)"], "."),
    ],
    ids=["an endless loop", "a wait without end", "a flood", "an exit", "a crash", "a deep recursion"],
)  # fmt: skip
def test_a_grader_that_does_not_end_well_costs_its_answer_alone(body: list[str], told: str) -> None:
    """The next answers get their scores in a new box."""
    lines = ["if item['fine']:", "    return 0.5", *body]
    with Box(source(*lines)) as box:
        assert box.score({}, {"fine": True}) == 0.5
        box.limits = HURRIED
        with pytest.raises(Ungraded, match=told):
            box.score({}, {"fine": False})
        box.limits = Limits()
        assert box.score({}, {"fine": True}) == 0.5


FORGERY = source(
    "import os, json",
    "for descriptor in range(3, 32):",
    "    try:",
    "        os.write(descriptor, item['written'].encode())",
    "    except OSError:",
    "        pass",
    "0.25",
)


@pytest.mark.parametrize(
    "written",
    [
        '{"score": 1.0}\n' * 3,
        '{"score": 1.0}',
        "\n",
        "[1]\n",
        "x" * 100_000,
        '{"score": "<script>"}\n',
        '{"score": Infinity}\n',
        "[" * 10_000 + "\n",
    ],
    ids=["answers", "half an answer", "nothing", "no object", "a flood", "no number", "no end", "no bottom"],
)
def test_one_that_writes_where_results_are_written_falsifies_no_other_score(written: str) -> None:
    honest, forged = {"written": ""}, {"written": written}
    with Box(FORGERY) as box, Box(source("0.75")) as other:
        assert (box.score({}, honest), other.score({}, honest)) == (0.25, 0.75)
        box.limits = HURRIED
        with suppress(Ungraded):
            assert box.score({}, forged) in (1.0, 0.25)  # its own, at most
        box.limits = Limits()
        assert (box.score({}, honest), other.score({}, honest)) == (0.25, 0.75)


def test_memory_is_bounded_and_given_back() -> None:
    limits = Limits(memory=256 * 2**20)
    with Box(source("len(bytearray(item['bytes'])) / 2 ** 20"), limits) as box:
        assert box.score({}, {"bytes": 100 * 2**20}) == 100
        with pytest.raises(Ungraded, match="MemoryError"):
            box.score({}, {"bytes": 300 * 2**20})
        assert box.score({}, {"bytes": 100 * 2**20}) == 100


def test_processor_time_is_bounded_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "of_process", lambda limits: {"CPU": 1})
    with Box(ENDLESS, Limits(seconds=60)) as box:
        assert box.score({}, {"endless": False}) == 1
        with pytest.raises(Stopped, match="taken too much"):
            box.score({}, {"endless": True})


def test_a_new_box_is_taken_after_some_work() -> None:
    counting = "seen = []\ndef grade(sample, item):\n    seen.append(1)\n    return len(seen)\n"
    with Box(counting) as box:
        assert [box.score({}, {}) for _ in range(3)] == [1, 2, 3]
        box.limits = Limits(box_seconds=0)
        assert [box.score({}, {}) for _ in range(2)] == [1, 1]


def test_a_box_is_gone_when_it_is_left() -> None:
    with Box(source("0.5")) as box:
        box.score({}, {})
        assert box._process is not None
        outer = box._process._process.pid
        inner = _children(outer)
        assert inner
    until = monotonic() + 10  # a process that has let go of everything may still be ending
    while any(map(_lives, (outer, *inner))):
        assert monotonic() < until


KILLED = """
from datasets.evaluate.box import Box, Limits
from datasets.evaluate.box_trust import ENDLESS
box = Box(ENDLESS, Limits(seconds=600))
box.score({}, {"endless": False})
print("ready", flush=True)
box.score({}, {"endless": True})
"""


def test_a_box_dies_with_the_worker_that_is_killed() -> None:
    worker = subprocess.Popen([sys.executable, "-c", KILLED], cwd=settings.BASE_DIR, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    inside = _children(worker.pid)
    assert inside
    worker.kill()
    worker.wait()
    worker.stdout.close()
    until = monotonic() + 10
    while any(map(_lives, inside)):
        assert monotonic() < until


def _children(pid: int) -> list[int]:
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, told) for each in (child, *_children(child))]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_thousands_of_answers_share_one_box() -> None:
    with Box(source("len(sample['output_text']) / item['longest']")) as box:
        scores = [box.score({"output_text": "é" * size}, {"longest": 1_000}) for size in range(1_001)]
        assert scores == [size / 1_000 for size in range(1_001)]
        assert box.score({"output_text": "x" * 2_000_000}, {"longest": 2_000_000}) == 1


def test_the_libraries_of_python_are_there() -> None:
    lines = [
        "import collections, datetime, decimal, difflib, hashlib, html, json, math, random, re, statistics",
        "import string, textwrap, unicodedata, urllib.parse, xml.etree.ElementTree as tree, zlib",
        "tree.fromstring('<a/>'), hashlib.sha256(b'a'), unicodedata.name('é'), random.random()",
        "difflib.SequenceMatcher(None, sample['output_text'], item['reference']).ratio()",
    ]
    with Box(source(*lines)) as box:
        assert box.score({"output_text": "abcd"}, {"reference": "abcd"}) == 1


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("def grade(sample, item):\n    return item['a']", "KeyError in line 2: 'a'"),
        ("def grade(sample, item):\n    return 'good'", "It returned str, not a number."),
        ("def grade(sample, item):\n    return None", "It returned NoneType, not a number."),
        ("def grade(sample, item):\n    return float('nan')", "It returned nan, which is no score."),
        ("def grade(sample, item):\n    return 10 ** 400", "OverflowError: int too large to convert"),
        ("def grade(sample, item):\n    raise SystemExit(0)", "SystemExit in line 2: 0"),
        ("def grade(sample, item)\n    return 1", "SyntaxError in line 1: expected ':'"),
        ("import django\ndef grade(sample, item): return 1", "ModuleNotFoundError in line 1: No module"),
        ("grade = 3", "The source defines no function grade(sample, item)."),
        ("while True: pass", "Before the first answer: It took more than 0.5 seconds."),
        ("raise SystemExit", "SystemExit in line 1"),
    ],
)  # fmt: skip
def test_what_is_no_score_says_why_each_time(lines: str, told: str) -> None:
    with Box(lines, Limits(load_seconds=0.5) if "while" in lines else None) as box:
        for answer in (said(box), said(box)):
            assert answer.startswith(told)


def test_sets_have_the_same_order_in_every_box() -> None:
    orders = []
    for _ in range(2):
        with Box(source("int(''.join(sorted({'1', '2', '3', '4', '5'}, key=hash)))")) as box:
            orders.append(box.score({}, {}))
    assert orders[0] == orders[1]


def test_an_item_too_large_is_not_sent() -> None:
    with Box(source("1"), Limits(request=1_000)) as box:
        assert "more than" in said(box, text="x" * 1_000)
        assert box.score({}, {}) == 1


def test_the_portal_itself_is_hidden_where_libraries_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were installed among Python's own modules."""
    folder = Path(os.__file__).parent / "json"
    monkeypatch.setattr(settings, "BASE_DIR", folder)
    assert box_walls.command("", []).count(str(folder)) == 2
    with Box(ATTEMPT) as box, pytest.raises((Impossible, Ungraded)):
        box.score({}, {"attempt": "1"})  # the driver cannot import json any more


def test_without_bubblewrap_there_is_no_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert box_trust.test().startswith("bubblewrap is not installed")


def test_a_machine_that_refuses_namespaces_has_no_box(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2; exit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(refusing))
    assert box_trust.test() == ("A box cannot be started. bwrap: No permissions to create a new namespace")


def test_walls_that_do_not_hold_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same test, in a process that nothing locks away: every attempt succeeds that can."""

    def open_wide(driver: str, arguments: list[str]) -> list[str]:
        unlocked = driver.replace('lock(base64.b64decode(opening["filter"]))', "pass")
        unlocked = unlocked.replace('bound(opening["limits"])', "pass")
        return [sys.executable, "-c", unlocked, *arguments]

    monkeypatch.setattr(box_walls, "command", open_wide)
    monkeypatch.setattr(
        box_trust, "PRISONER", box_trust.PRISONER.replace("lambda: os.execv", "lambda: 0 and os.execv")
    )
    problem = box_trust.test()
    assert problem.startswith(
        "A grader could open a connection, read a file of this site, read the list of accounts"
    )
    assert "take more memory" in problem
