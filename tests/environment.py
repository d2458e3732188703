"""The environment of every test process; imported before Django reads its settings."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

LOOPBACK = ("127.", "::1", "localhost", "::ffff:127.")


class OutsideWorld(ConnectionError):
    """A test tried to leave the machine."""


def prepare() -> Path:
    """Fill in what is not set: a private data folder, short times, plain static files."""
    folder = Path(tempfile.mkdtemp(prefix="portal-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    defaults = {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "DJANGO_ALLOW_ASYNC_UNSAFE": "true",  # Playwright keeps a loop running in the thread of the test
        "DATABASE_URL": f"sqlite:///{folder / 'portal.sqlite3'}",
        "SQLITE_SYNCHRONOUS": "OFF",  # tests kill processes, not the power
        "DATABASE_CONNECTION_SECONDS": "0",
        "SECRET_KEY": "only-for-tests-" + "x" * 50,
        "FIELD_KEYS": Fernet.generate_key().decode(),
        "SITE_URL": "http://localhost",
        "STATIC_HASHED": "0",
        "LOG_LEVEL": "WARNING",
        "OPERATION_STEP_SECONDS": "5",
        "OPERATION_LEASE_SECONDS": "3",
        "OPERATION_TICK_SECONDS": "0.5",
        "HEARTBEAT_SECONDS": "1",
        "SCHEDULE_SECONDS": "1",
        "FOLLOW_SECONDS": "1",
        "TASK_SOFT_SECONDS": "20",
        "TASK_HARD_SECONDS": "25",
        "BROKER_VISIBILITY_SECONDS": "30",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    os.environ["DATA_DIR"] = str(folder)
    if "BROKER_URL" not in os.environ:
        # The fixture `broker` starts a server on this socket when a test wants it; the cache needs none.
        os.environ["BROKER_URL"] = f"redis+socket://{folder}/broker.sock"
        os.environ["CACHE_URL"] = "filesystem:"
    return folder


def stay_home() -> None:
    """Refuse every connection and name lookup beyond loopback, for as long as the process lives."""

    def watch(event: str, details: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            address = details[1]
            host = address[0] if isinstance(address, tuple) else ""  # anything else is a local socket
        elif event == "socket.getaddrinfo":
            host = details[0] or ""
        else:
            return
        host = host.decode() if isinstance(host, bytes) else str(host)
        if host and not host.startswith(LOOPBACK):
            raise OutsideWorld(f"a test may only reach this machine, not {host}")

    sys.addaudithook(watch)
