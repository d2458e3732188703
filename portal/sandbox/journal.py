"""The append-only journal: every request and every change of state, as JSON lines, replayed at start."""

import json
import os
import re
import threading
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]  # a journal line's members differ by its kind

FLUSH_EVERY = 0.04
_to_json = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one each time
_VARIABLE = re.compile(r"/(?:(?:file|ftjob|ftchkpt)-|(?:eval|evalrun|outputitem)_)[^/]+")
_DEPLOYMENT = re.compile(r"/deployments/[^/]+")


def template(path: str) -> str:
    """The path with its ids replaced, to count requests by route."""
    if path.startswith("/chat/completions/"):
        return "/chat/completions/{id}/messages" if path.endswith("/messages") else "/chat/completions/{id}"
    if path.startswith("/models/"):
        return "/models/{id}"
    return _DEPLOYMENT.sub("/deployments/{name}", _VARIABLE.sub("/{id}", path))


class Journal:
    """Lines are buffered and written by a thread; one that changed something is written before its answer."""

    def __init__(self, folder: Path | None, *, keep_requests: bool = True) -> None:
        self.path = folder / "journal.jsonl" if folder else None
        self.keep_requests = keep_requests
        self.counts: Counter[tuple[str, str, str, int]] = Counter()
        self.number = 0
        self.latest = 0.0
        self._lines: list[bytes] = []  # without a folder
        self._offsets = array("Q")  # with one: where request n begins
        self._pending: list[bytes] = []
        self._end = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._file = -1
        self._flusher: threading.Thread | None = None

    def replay(self) -> Iterator[Line]:
        """Read what is there, count its requests, yield the changes of state. Call before ``open``."""
        if self.path is None or not self.path.exists():
            return
        with self.path.open("rb+") as file:
            for line in file:
                if not line.endswith(b"\n"):  # the process was killed in the middle of this line
                    file.truncate(self._end)
                    break
                entry = json.loads(line)
                self.latest = max(self.latest, entry.get("at", 0.0))
                if "n" in entry:
                    self._offsets.append(self._end)
                    self._count(entry)
                    self.number = entry["n"]
                else:
                    yield entry
                self._end += len(line)

    def open(self) -> None:
        if self.path is None:
            return
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._flusher = threading.Thread(target=self._flush_often, name="sandbox-journal", daemon=True)
        self._flusher.start()

    def close(self) -> None:
        self._closing.set()
        if self._flusher is not None:
            self._flusher.join()
        self.flush()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def change(self, change: Line) -> None:
        """Write a change of state, at once."""
        if self.path is not None:
            self._append(_encode(change))
            self.flush()

    def request(self, entry: Line, *, at_once: bool) -> None:
        """Write a request's entry; ``at_once`` when it had an effect."""
        if not self.keep_requests:
            return
        self.number += 1
        entry = {"n": self.number, **entry}
        self._count(entry)
        line = _encode(entry)
        if self.path is None:
            self._lines.append(line)
            return
        self._offsets.append(self._append(line))
        if at_once:
            self.flush()

    def entries(self, after: int = 0) -> Iterator[Line]:
        """Requests with a number above ``after``."""
        if self.path is None:
            for line in self._lines[after:]:
                yield json.loads(line)
            return
        if after >= len(self._offsets):
            return
        self.flush()
        with self.path.open("rb") as file:
            file.seek(self._offsets[after])
            for line in file:
                entry = json.loads(line)
                if "n" in entry:
                    yield entry

    def flush(self) -> None:
        with self._lock:
            data, self._pending = b"".join(self._pending), []
            while data and self._file >= 0:
                data = data[os.write(self._file, data) :]

    def _append(self, line: bytes) -> int:
        with self._lock:
            self._pending.append(line)
            start = self._end
            self._end += len(line)
        return start

    def _count(self, entry: Line) -> None:
        self.counts[(entry["resource"], entry["method"], template(entry["path"]), entry["status"])] += 1

    def _flush_often(self) -> None:
        while not self._closing.wait(FLUSH_EVERY):
            if self._pending:
                self.flush()


def _encode(line: Line) -> bytes:
    return _to_json(line).encode() + b"\n"
