"""What a Python grader can do in its box, which is to give a score, and all that it cannot do."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from django.conf import settings

from datasets.evaluate import box_trust, box_walls
from datasets.evaluate.box import Box, Limits, Stopped, Ungraded
from datasets.evaluate.box_trust import ENDLESS
from datasets.evaluate.box_walls import Impossible
from tests.datasets import boxes
from tests.datasets.boxes import source

HURRIED = Limits(seconds=0.3)
# It takes its attempt from the item, so that one box serves many; it tells what it got, or the error.
ATTEMPT = """
def grade(sample, item):
    got = eval(item["attempt"], {"item": item})
    raise LookupError(f"GOT {got!r}")
"""


@pytest.fixture(autouse=True)
def _box() -> None:
    boxes.needed()


@pytest.fixture(scope="module")
def attempts() -> Iterator[Box]:
    with Box(ATTEMPT) as box:
        yield box


@pytest.fixture
def listener() -> Iterator[int]:
    """Somebody who answers on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        yield port


def said(box: Box, **item: Any) -> str:
    with pytest.raises(Ungraded) as error:
        box.score({}, item)
    return str(error.value)


REFUSED = {
    "a connection to this machine": "__import__('socket').create_connection(('127.0.0.1', item['port']), 1)",
    "a datagram": "__import__('socket').socket(type=__import__('socket').SOCK_DGRAM)",
    "a local socket": "__import__('socket').socketpair()",
    "a name lookup": "__import__('socket').getaddrinfo('example.com', 80)",
    "the list of accounts": "open('/etc/passwd').read()",
    "the secrets of accounts": "open('/etc/shadow').read()",
    "a file of the project": "open(item['project'] + '/manage.py').read()",
    "the data": "__import__('os').listdir(item['data'])",
    "modules of the project": "__import__('sys').path.append(item['project']) or __import__('datasets')",
    "installed packages": "__import__('django')",
    "this process": "open(f\"/proc/{item['pid']}/environ\").read()",
    "other processes": "__import__('os').listdir('/proc')",
    "devices": "open('/dev/mem').read()",
    "a new file": "open('/written', 'w')",
    "a file where Python looks for modules": "open(__import__('os').__file__, 'a')",
    "a temporary file": "__import__('tempfile').TemporaryFile()",
    "another file system": "__import__('os').mkdir('/there')",
    "a process": "__import__('os').fork()",
    "a process of libraries": "__import__('subprocess').run([item['python'], '-c', ''])",
    "another program": "__import__('os').execv(item['python'], ['python'])",
    "a thread": "__import__('threading').Thread(target=int).start()",
    "a process for work": "__import__('multiprocessing').Process(target=int).start()",
    "the end of its parent": "__import__('os').kill(__import__('os').getppid() or 1, 9)",
    "the end of everybody": "__import__('os').kill(-1, 9)",
    "sleep": "__import__('time').sleep(60)",
    "more memory": "bytearray(2 * 1024 ** 3)",
    "more of a limit": "__import__('resource').setrlimit(__import__('resource').RLIMIT_AS, (-1, -1))",
    "another root": "__import__('os').chroot('/usr')",
    "shared memory": "__import__('mmap').mmap(-1, 4 * 1024 ** 3)",
    "a memory file": "__import__('os').memfd_create('x')",
}
KINDS = {
    "FileNotFoundError",
    "MemoryError",
    "ModuleNotFoundError",
    "OSError",
    "PermissionError",
    "RuntimeError",
    "ValueError",
    "gaierror",
}


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED.keys())
def test_nothing_outside_is_within_reach(attempt: str, attempts: Box, listener: int) -> None:
    told = said(
        attempts,
        attempt=attempt,
        port=listener,
        pid=os.getpid(),
        project=str(settings.BASE_DIR),
        data=str(settings.DATA_DIR),
        python=box_walls.interpreter(),
    )
    assert "GOT" not in told
    assert told.split()[0].rstrip(":") in KINDS
    assert said(attempts, attempt="6 * 7") == "LookupError in line 4: GOT 42"  # in the same box


CALLS = {  # by number, past the library: the system call itself is what is refused
    "socket": "41, 2, 1, 0",
    "fork": "57",
    "execve": "59, b'/usr/bin/env', 0, 0",
    "kill": "62, 1, 9",
    "ptrace": "101, 16, 1, 0, 0",
    "mount": "165, 0, b'/', 0, 4096, 0",
    "unshare": "272, 0x10000000",
    "process_vm_readv": "310, 1, 0, 0, 0, 0, 0",
    "bpf": "321, 0, 0, 0",
    "io_uring_setup": "425, 1, 0",
    "clone3": "435, 0, 0",
    "pidfd_open": "434, 1, 0",
    "prctl": "157, 22, 0, 0, 0, 0",
    "open for writing": "257, -100, b'/usr/lib/os-release', 2, 0",
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of calls are those of x86-64")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_no_library_helps_around_the_kernel(call: str, attempts: Box) -> None:
    library = "(c := __import__('ctypes')).CDLL(None, use_errno=True).syscall"
    assert said(attempts, attempt=f"({library}({call}), c.get_errno())").endswith("GOT (-1, 1)")  # EPERM
    assert said(attempts, attempt=f"{library}(39) > 0").endswith("GOT True")  # getpid: the way itself works


def test_the_environment_is_empty_and_the_machine_unnamed(attempts: Box) -> None:
    names = said(attempts, attempt="sorted(__import__('os').environ)")
    assert names.endswith("GOT ['LC_ALL', 'PWD', 'PYTHONHASHSEED']")
    assert said(attempts, attempt="__import__('os').uname().nodename").endswith("GOT 'box'")
    assert said(attempts, attempt="__import__('os').getuid()").endswith(f"GOT {box_walls.NOBODY}")


def test_no_descriptor_of_this_process_is_in_the_box(tmp_path: Path) -> None:
    """But nothing three times, the questions and the results."""
    counting = [
        "import os",
        "found = 0",
        "for number in range(64):",
        "    try:",
        "        os.fstat(number)",
        "        found += 1",
        "    except OSError:",
        "        pass",
        "found",
    ]
    with (tmp_path / "secret").open("w+") as file, Box(source(*counting)) as box:
        os.set_inheritable(file.fileno(), True)
        assert box.score({}, {}) == 5


def test_the_root_holds_libraries_only(attempts: Box) -> None:
    shown = said(
        attempts, attempt="set(__import__('os').listdir('/')) - {'usr', 'lib', 'lib64', 'lib32', 'etc'}"
    )
    outside = {Path(box_walls.interpreter()).parts[1]} - {"usr"}
    assert shown.endswith(f"GOT {outside or set()}")
    assert said(attempts, attempt="__import__('os').listdir('/etc')").endswith("GOT ['ld.so.cache']")


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
    ],
    ids=["answers", "half an answer", "nothing", "no object", "a flood", "no number", "no end"],
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
