"""What a Python grader tries to reach from its box, one attempt after the other; none succeeds."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from datasets.evaluate import box_walls
from datasets.evaluate.box import Box
from tests.datasets import boxes
from tests.datasets.boxes import ATTEMPT, said, source


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
