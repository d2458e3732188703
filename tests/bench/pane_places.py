"""Where a mirror is kept that a benchmark builds once and measures many times: a folder with its database,
keys and results, and the processes that work on it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from cryptography.fernet import Fernet

from tests import obtain, servers

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("BENCH_DIR") or Path(tempfile.gettempdir()) / "portal-bench")
Engine = Literal["sqlite", "postgresql"]
ENGINES: tuple[Engine, ...] = ("sqlite", "postgresql")
# What a team would set on a machine with a solid-state disk; everything else is PostgreSQL's default, so
# every commit reaches the disk.
SERVER = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "2GB",
    "effective_cache_size": "8GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "random_page_cost": "1.1",
    "max_wal_size": "8GB",
    "timezone": "UTC",
}


class Place:
    """`with Place.opened("sqlite", folder) as place: place.read("tests.bench.build", "10000")`."""

    def __init__(self, engine: Engine, folder: Path, url: str) -> None:
        self.engine, self.folder, self.url = engine, folder, url
        key = folder / "field-key"
        if not key.exists():
            key.write_text(Fernet.generate_key().decode())
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("DEBUG", "PYTHONHASHSEED")},
            "DATA_DIR": str(folder),
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "SECRET_KEY": "only-for-benchmarks-" + "x" * 50,
            "FIELD_KEYS": key.read_text(),
            "SITE_URL": "http://localhost",
            "DATABASE_CONNECTION_SECONDS": "3600",  # as a web process keeps it
            "STATIC_HASHED": "0",
            "BROKER_URL": "memory://",
            "CACHE_URL": "filesystem:",
            "LOG_LEVEL": "ERROR",
        }

    @classmethod
    @contextmanager
    def opened(cls, engine: Engine, folder: Path) -> Iterator["Place"]:
        """The place in this folder, made if it is not there; its server runs as long as it is open."""
        folder.mkdir(parents=True, exist_ok=True)
        if engine == "sqlite":
            yield cls(engine, folder, f"sqlite:///{folder / 'portal.sqlite3'}")
            return
        with cluster(folder) as url:
            yield cls(engine, folder, url)

    def start(self, *words: str, **more: Any) -> "subprocess.Popen[str]":
        """A module in a process of its own, as a web process or a worker would be."""
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=servers.die_with_parent,
            **more,
        )

    def read(self, *words: str, told: Callable[[str], None] = print) -> dict[str, Any]:
        """The same to its end. Its last line is JSON and returned; the lines before are told as they come."""
        process = self.start(*words)
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            if last:
                told(last)
            last = line.rstrip("\n")
        if process.wait():
            raise SystemExit(f"{' '.join(words)} ended with status {process.returncode}: {last}")
        found: dict[str, Any] = json.loads(last)
        return found


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A PostgreSQL of which the data stays in `folder`, durable as it is by default; its address."""
    obtain.postgres()
    programs = servers.postgres_programs()
    if programs is None:
        raise servers.Unavailable("no PostgreSQL: `apt-get install postgresql`, or put initdb on the PATH")
    owner = servers._owner()  # PostgreSQL refuses to run as root
    home = folder / "postgresql"
    data, log = home / "data", home / "log"
    home.mkdir(exist_ok=True)
    if owner:
        os.chown(home, owner["user"], owner["group"])
        if closed := [str(above) for above in home.parents if not above.stat().st_mode & 0o001]:
            raise servers.Unavailable(f"PostgreSQL's account cannot pass {closed[0]}; take another --keep")
    if not (data / "PG_VERSION").exists():
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "portal", "-A", "trust", "-E", "UTF8", "--locale=C"],
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdout=subprocess.DEVNULL,
            check=True,
            **owner,
        )
    _forget_the_dead(data / "postmaster.pid")
    port = servers.free_port()
    options = SERVER | {"port": str(port), "unix_socket_directories": str(home)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())],
            cwd="/",
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: servers.die_with_parent(signal.SIGINT),
            **owner,
        )
    ready = b"ready to accept connections"
    servers._wait(process, lambda: ready in log.read_bytes(), "PostgreSQL", log, 300)
    try:
        yield f"postgres://portal@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(300)


def _forget_the_dead(file: Path) -> None:
    """Take away what a run that was killed left, and refuse a folder that somebody works on."""
    if not file.exists():
        return
    number = file.read_text().split()[0]
    program = Path(f"/proc/{number}/comm")
    if program.exists() and "postgres" in program.read_text():
        raise servers.Unavailable(f"another run is using {file.parents[2]}")
    file.unlink()
