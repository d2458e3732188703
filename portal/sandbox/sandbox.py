"""The sandbox as an object with a start and a stop, and as a program."""

import argparse
import gc
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from portal.sandbox.app import App
from portal.sandbox.journal import Journal
from portal.sandbox.personality import PERSONALITIES
from portal.sandbox.server import Server


class Sandbox:
    """Three resources under one address. Without ``data_dir`` nothing outlives it."""

    def __init__(
        self,
        data_dir: Path | None,
        *,
        rows: int = 500,
        rows_elsewhere: int = 60,
        latency_ms: float = 0,
        job_seconds: float = 60,
        seed: int = 7,
        host: str = "127.0.0.1",
        port: int = 0,
        now: float | None = None,
        journal: bool = True,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="sandbox-") if data_dir is None else None
        self.folder = Path(self._temporary.name) if self._temporary else Path(data_dir or ".")
        self.folder.mkdir(parents=True, exist_ok=True)
        spool = self.folder / "incoming"
        spool.mkdir(exist_ok=True)
        for leftover in spool.iterdir():
            leftover.unlink()
        self.journal = Journal(None if data_dir is None else self.folder, keep_requests=journal)
        self.app = App(
            self.folder,
            self.journal,
            rows=rows,
            rows_elsewhere=rows_elsewhere,
            job_seconds=job_seconds,
            latency=latency_ms / 1000,
            seed=seed,
            now=now,
        )
        self.server = Server(self.app.respond, spool, self.app.cuts)
        self.app.defects = self.server.defects
        self.host, self.port = host, port
        self.url = ""
        self._thread: threading.Thread | None = None

    def base_url(self, personality: str) -> str:
        """What a client is given: a base URL for azure-v1 and openai, the endpoint for azure-dated."""
        prefix = "/azure-dated" if personality == "azure-dated" else PERSONALITIES[personality].prefix + "/"
        return self.url + prefix

    def listen(self) -> None:
        self.port = self.server.listen(self.host, self.port)
        self.url = f"http://{self.host}:{self.port}"

    def start(self) -> Self:
        """Serve on a thread of its own."""
        self.listen()
        self._thread = threading.Thread(target=self.server.run, name="sandbox", daemon=True)
        self._thread.start()
        return self

    def serve(self) -> None:
        """Serve on this thread until ``stop``."""
        self.server.run()
        self._close()

    def stop(self) -> None:
        if self._thread is not None:
            self.server.stop()
            self._thread.join()
            self._thread = None
            self._close()

    def _close(self) -> None:
        self.journal.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


# the options of the program and of the management command
OPTIONS: dict[str, dict[str, Any]] = {  # Any: whatever argparse takes
    "--host": {"default": "127.0.0.1"},
    "--port": {"type": int, "default": 0, "help": "0 takes a free one"},
    "--data-dir": {"type": Path, "default": None, "help": "keeps the state; without it nothing is kept"},
    "--rows": {"type": int, "default": 500, "help": "stored completions on azure-v1"},
    "--rows-elsewhere": {"type": int, "default": 60, "help": "on azure-dated and openai"},
    "--latency-ms": {"type": float, "default": 0, "help": "added to every answer"},
    "--job-seconds": {"type": float, "default": 60, "help": "how long a fine-tuning job takes"},
    "--seed": {"type": int, "default": 7},
}


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m portal.sandbox", description=__doc__)
    for flag, settings in OPTIONS.items():
        parser.add_argument(flag, **settings)
    options = parser.parse_args(argv)
    sandbox = Sandbox(
        options.data_dir,
        rows=options.rows,
        rows_elsewhere=options.rows_elsewhere,
        latency_ms=options.latency_ms,
        job_seconds=options.job_seconds,
        seed=options.seed,
        host=options.host,
        port=options.port,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sandbox.server.stop())
    sandbox.listen()
    gc.freeze()  # the story's material lives as long as the process
    sys.stdout.write(f"sandbox ready at {sandbox.url}\n")
    sys.stdout.flush()
    sandbox.serve()
    return 0
