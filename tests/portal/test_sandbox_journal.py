"""What the sandbox remembers: its journal, read while it runs and replayed after it was killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from portal.sandbox import Sandbox
from tests.portal.sandbox_client import (
    STUDENT,
    _close_clients,  # noqa: F401  # a fixture that runs by itself
    advance,
    client,
    control,
    examples,
    http,
    jsonl,
    manage,
    plain,
)

ASKED: Any = [{"role": "user", "content": "hello"}]


@contextmanager
def process(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The sandbox as a program, and its address."""
    command = [sys.executable, "-m", "portal.sandbox", "--data-dir", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        assert line.startswith("sandbox ready at http://127.0.0.1:")
        try:
            yield running, line.split()[-1]
        finally:
            running.kill()


def test_a_killed_sandbox_remembers_everything(tmp_path: Path) -> None:
    def connect(url: str) -> OpenAI:
        return plain(f"{url}/azure-v1/openai/v1/", "sandbox-azure-v1-key")

    with process(tmp_path, "--rows", "50") as (running, url):
        api = connect(url)
        before = [row.to_dict() for row in api.chat.completions.list(limit=100)]
        stored = api.chat.completions.create(model="gpt-4o", messages=ASKED, store=True, metadata={"a": "1"})
        api.chat.completions.delete(str(before[0]["id"]))
        api.chat.completions.update(str(before[1]["id"]), metadata={"note": "kept"})
        file = api.files.create(file=jsonl(examples(12)), purpose="fine-tune")
        http(f"{url}/_sandbox/clock", "POST", {"advance": 5})
        job = api.fine_tuning.jobs.create(model=STUDENT, training_file=file.id, metadata={"mark": "x"})
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    with process(tmp_path, "--rows", "80", "--seed", "9") as (running, url):
        api = connect(url)
        after = {row.id: row.to_dict() for row in api.chat.completions.list(limit=100)}
        assert set(after) == {str(row["id"]) for row in before[1:]} | {stored.id}
        assert after[str(before[2]["id"])] == before[2]
        changed: Any = after[str(before[1]["id"])]["metadata"]
        assert changed["note"] == "kept"
        assert api.files.content(file.id).read() == jsonl(examples(12))[1].getvalue()
        assert [j.id for j in api.fine_tuning.jobs.list(metadata={"mark": "x"})] == [job.id]
        http(f"{url}/_sandbox/clock", "POST", {"advance": 70})
        assert api.fine_tuning.jobs.retrieve(job.id).status == "succeeded"
        _, entries, _ = http(f"{url}/_sandbox/journal?effects=1")
        effects = [entry["effect"] for entry in entries["entries"]]
        assert effects == [
            f"created:{stored.id}",
            f"deleted:{before[0]['id']}",
            f"updated:{before[1]['id']}",
            f"created:{file.id}",
            f"created:{job.id}",
        ]
        numbers = [entry["n"] for entry in http(f"{url}/_sandbox/journal")[1]["entries"]]
        assert numbers == list(range(1, len(numbers) + 1))
        running.terminate()
        assert running.wait(10) == 0


def test_deployments_and_planted_rows_survive_a_restart(tmp_path: Path) -> None:
    body = {
        "sku": {"name": "GlobalStandard", "capacity": 1},
        "properties": {"model": {"format": "OpenAI", "name": "gpt-4.1-nano", "version": "2025-04-14"}},
    }
    with Sandbox(tmp_path, rows=20, now=1.8e9) as sandbox:
        assert manage(sandbox, "PUT", "/azure-v1/deployments/nano", body)[0] == 201
        raw = '{"id":"chatcmpl-x","created":1,"seed":NaN}'
        planted = {"resource": "azure-v1", "op": "add", "id": "chatcmpl-x", "created": 1, "raw": raw}
        control(sandbox, "POST", "/state", planted)
        advance(sandbox, 1000)
        before = control(sandbox, "GET", "/health")["now"]
    with Sandbox(tmp_path, rows=20, now=1.8e9) as sandbox:
        assert control(sandbox, "GET", "/health")["now"] >= before
        answer = client(sandbox).chat.completions.create(model="nano", messages=ASKED)
        assert answer.model == "gpt-4.1-nano-2025-04-14"
        assert control(sandbox, "GET", "/state?resource=azure-v1&ids=1")["ids"][0] == "chatcmpl-x"


def test_a_half_written_last_line_is_forgotten(tmp_path: Path) -> None:
    with Sandbox(tmp_path, rows=20) as sandbox:
        client(sandbox).models.list()
        client(sandbox).chat.completions.create(model="gpt-4o", messages=ASKED, store=True)
    journal = tmp_path / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-20])
    with Sandbox(tmp_path, rows=20) as sandbox:
        assert control(sandbox, "GET", "/state")["azure-v1"]["completions"] == 21
        assert [e["n"] for e in control(sandbox, "GET", "/journal")["entries"]] == [1]
        client(sandbox).models.list()
        assert [e["n"] for e in control(sandbox, "GET", "/journal")["entries"]] == [1, 2]


@pytest.mark.parametrize("kept", [True, False], ids=["on disk", "in memory"])
def test_requests_are_listed_filtered_and_counted(tmp_path: Path, kept: bool) -> None:
    with Sandbox(tmp_path if kept else None, rows=20, rows_elsewhere=10) as sandbox:
        rows = client(sandbox).chat.completions.list().data
        for row in rows[:3]:
            client(sandbox).chat.completions.messages.list(row.id)
        client(sandbox, "openai").models.list()
        control(sandbox, "GET", "/health")
        answer = control(sandbox, "GET", "/journal")
        assert [e["path"].rpartition("/")[2] for e in answer["entries"]] == [
            "completions",
            *["messages"] * 3,
            "models",
        ]
        assert answer["next"] == 5
        assert control(sandbox, "GET", "/journal?after=4")["entries"][0]["resource"] == "openai"
        assert len(control(sandbox, "GET", "/journal?path_prefix=/chat/completions/")["entries"]) == 3
        assert control(sandbox, "GET", "/journal?method=POST")["entries"] == []
        counts = {
            (c["method"], c["route"], c["status"]): c["count"]
            for c in control(sandbox, "GET", "/journal/counts")["counts"]
        }
        assert counts == {
            ("GET", "/chat/completions", 200): 1,
            ("GET", "/chat/completions/{id}/messages", 200): 3,
            ("GET", "/models", 200): 1,
        }


def test_a_hundred_thousand_rows_page_from_anywhere() -> None:
    with Sandbox(None, rows=100_000) as sandbox:
        api = client(sandbox)
        page = api.chat.completions.list(limit=100, order="desc")
        again: Any = api.chat.completions.list(limit=100, order="asc", after=page.data[-1].id)
        assert [row.id for row in again.data] == [row.id for row in page.data[:-1]][::-1]
        assert again.total == 100_000


def test_no_answer_was_a_defect_of_the_sandbox(tmp_path: Path) -> None:
    with Sandbox(tmp_path, rows=20) as sandbox:
        bodies: list[Any] = [
            b"",
            b"[]",
            b"{",
            {"model": 1},
            {"messages": 1, "model": "gpt-4o"},
            {"metadata": 1},
        ]
        headers = {"api-key": "sandbox-azure-v1-key"}
        for path in (
            "chat/completions",
            "files",
            "fine_tuning/jobs",
            "embeddings",
            "chat/completions/x",
            "models/x",
        ):
            for body in bodies:
                status, _, _ = http(f"{sandbox.base_url('azure-v1')}{path}", "POST", body, headers)
                assert 400 <= status < 500
        assert control(sandbox, "GET", "/health")["defects"] == []
