"""The walls of a box for Python graders: what of this machine is in it, and which system calls may be made.

Everything that is not named here does not exist in there: no network, no process of others, no file but the
interpreter's own, nothing that can be written to, no environment.
https://github.com/containers/bubblewrap, https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import ctypes.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from django.conf import settings

# Where an interpreter's shared libraries and its own modules are.
LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache")
NOBODY = "65534"
# What Python needs to compute, to print into nothing, and to read its own modules.
ALLOWED = (
    "access", "brk", "clock_getres", "clock_gettime", "close", "close_range", "exit", "exit_group",
    "faccessat", "faccessat2", "fcntl", "fstat", "futex", "getcwd", "getdents64", "getegid", "geteuid",
    "getgid", "getpid", "getppid", "getrandom", "gettid", "gettimeofday", "getuid", "lseek", "lstat",
    "madvise", "mmap", "mprotect", "mremap", "munmap", "newfstatat", "pread64", "read", "readlink",
    "readlinkat", "readv", "restart_syscall", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "sched_yield", "sigaltstack", "stat", "statx", "time", "uname", "write", "writev",
)  # fmt: skip
# To open, but never to write; the number is which argument holds the flags.
OPENING = {"open": 1, "openat": 2}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Impossible(Exception):
    """No box can be built on this machine; says why, and what would help."""


def command(driver: str, arguments: Sequence[str]) -> list[str]:
    """How the driver is started in a box of its own. Raises Impossible."""
    walls = shutil.which("bwrap")
    if walls is None:
        raise Impossible("bubblewrap is not installed (`apt-get install bubblewrap`; Linux only).")
    python = interpreter()
    return [
        walls,
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--uid", NOBODY, "--gid", NOBODY, "--hostname", "box"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        # The same order of sets in every box, so that the same answers get the same scores.
        *("--clearenv", "--setenv", "PYTHONHASHSEED", "0", "--setenv", "LC_ALL", "C.UTF-8"),
        *_shown(python),
        *("--remount-ro", "/", "--chdir", "/", "--"),
        *(python, "-P", "-s", "-S", "-B", "-c", driver, *arguments),
    ]


def interpreter() -> str:
    """The Python that runs in boxes: the one behind this process's virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def _shown(python: str) -> Iterator[str]:
    """The only files there are: the interpreter, its modules, and the libraries that both need."""
    seen: list[str] = []
    prefix = os.path.realpath(sys.base_prefix)
    for path in (*LIBRARIES, f"{prefix}/lib", f"{prefix}/lib64", python):
        if not os.path.exists(path) or path in seen:
            continue
        seen.append(path)
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        else:
            yield from ("--ro-bind", path, path)
    for path in sorted(_ours()):
        if any(Path(path).is_relative_to(shown) for shown in seen):
            yield from ("--tmpfs", path, "--remount-ro", path)


def _ours() -> set[str]:
    """The portal's own folders, in case they lie where libraries do."""
    folders = (settings.BASE_DIR, settings.DATA_DIR, settings.STORAGES["artifacts"]["OPTIONS"]["location"])
    return {os.path.realpath(folder) for folder in folders}


@cache
def call_filter() -> bytes:
    """The system calls that may be made, as a program for the kernel. Raises Impossible."""
    if not ctypes.util.find_library("seccomp"):
        raise Impossible("libseccomp is not installed (`apt-get install libseccomp2`; Linux only).")
    import pyseccomp  # fails on import where the library is missing, and not every machine has it

    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(1))  # EPERM: a grader gets a PermissionError
    for name in ALLOWED:
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:  # else this machine has no such call
            rules.add_rule(pyseccomp.ALLOW, name)
    for name, place in OPENING.items():
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
            rules.add_rule(pyseccomp.ALLOW, name, pyseccomp.Arg(place, pyseccomp.MASKED_EQ, WRITING, 0))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
