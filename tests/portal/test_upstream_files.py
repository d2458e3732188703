"""A file's content in pieces: whole, or an error that says that it is not."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from portal.sandbox import Sandbox
from portal.upstream import Upstream, UpstreamError, connect
from tests.portal.sandbox_client import examples, faults
from tests.portal.upstream_bed import unsaved


@pytest.fixture
def upstream(settings: Any) -> Iterator[tuple[Sandbox, Upstream]]:
    with Sandbox(None, rows=0, rows_elsewhere=0, job_seconds=2) as running:
        settings.UPSTREAM_ALLOW = [f"127.0.0.1:{running.port}"]
        with connect(unsaved(running)) as opened:
            yield running, opened


def test_a_large_file_comes_in_pieces_none_of_which_is_large(upstream: tuple[Sandbox, Upstream]) -> None:
    _, opened = upstream
    line = json.dumps({"messages": [{"role": "user", "content": "x" * 20_000}]}).encode() + b"\n"
    sent = line * 200
    file = opened.upload_file("large.jsonl", io.BytesIO(sent), "evals")
    pieces = list(opened.file_pieces(file.id))
    assert b"".join(pieces) == sent
    assert max(map(len, pieces)) <= 1024 * 1024


def test_a_content_that_is_cut_raises_at_its_end(upstream: tuple[Sandbox, Upstream]) -> None:
    sandbox, opened = upstream
    lines = "\n".join(json.dumps(line) for line in examples(12)).encode()
    file = opened.upload_file("cut.jsonl", io.BytesIO(lines), "fine-tune")
    faults(sandbox, {"kind": "cut", "path": "*/content"})
    pieces = opened.file_pieces(file.id)
    with pytest.raises(UpstreamError) as raised:
        list(pieces)
    assert (raised.value.kind, raised.value.code) == ("unreadable", "cut")


def test_a_content_that_is_not_there_is_refused_in_words(upstream: tuple[Sandbox, Upstream]) -> None:
    _, opened = upstream
    with pytest.raises(UpstreamError) as raised:
        next(opened.file_pieces("file-unknown"))
    assert raised.value.kind == "not_found"
