"""Send completions to a peer over OTLP, in one span each. Runs in the peer's own environment, so it knows
only the standard library and OpenTelemetry's messages: `python peers_send.py URL ROWS.jsonl PROGRESS
[HEADER=VALUE ...]`.

PROGRESS is a file with the number of rows that the peer has taken, so that a broken run goes on where it was.
"""

import gzip
import http.client
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # type: ignore[import-not-found,unused-ignore]  # only there
    ExportTraceServiceRequest,
)

BATCH, PATIENCE = 100, 600


def attributes(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What an instrumented application would send: OpenInference's names, and MLflow's for its tags."""
    yield "openinference.span.kind", "LLM"
    yield "llm.model_name", row["model"]
    yield "llm.token_count.prompt", row["tokens"][0]
    yield "llm.token_count.completion", row["tokens"][1]
    yield "llm.token_count.total", row["tokens"][2]
    yield "input.value", row["prompt"]
    yield "input.mime_type", "text/plain"
    yield "output.value", row["answer"]
    yield "output.mime_type", "text/plain"
    yield "metadata", json.dumps(row["metadata"])
    for key, value in row["metadata"].items():
        yield f"mlflow.traceTag.{key}", value


def request(rows: list[dict[str, Any]]) -> bytes:
    """One export of several traces, compressed."""
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add().scope_spans.add().spans
    for row in rows:
        span = spans.add()
        number = int(row["n"]) + 1
        span.trace_id = number.to_bytes(16, "big")
        span.span_id = number.to_bytes(8, "big")
        span.name = "chat"
        span.start_time_unix_nano = row["created"] * 1_000_000_000 + number % 1_000_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + 900_000_000
        span.status.code = 1
        for name, value in attributes(row):
            pair = span.attributes.add()
            pair.key = name
            if isinstance(value, int):
                pair.value.int_value = value
            else:
                pair.value.string_value = value
    return gzip.compress(message.SerializeToString(), 1)


def send(url: str, file: Path, progress: Path, headers: dict[str, str]) -> None:
    """Everything that the peer has not taken yet; a full queue (429, 503) is waited for."""
    done = int(progress.read_text()) if progress.exists() else 0
    parts = urlsplit(url)
    peer = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=PATIENCE)
    began, first, waited = time.monotonic(), done, 0
    with file.open() as lines:
        for _ in range(done):
            next(lines)
        while some := [json.loads(line) for _, line in zip(range(BATCH), lines, strict=False)]:
            body = request(some)
            while True:
                peer.request("POST", parts.path, body, headers)
                answer = peer.getresponse()
                said = answer.read()
                if answer.status not in (429, 503):
                    break
                waited += 1
                time.sleep(0.25)
            if answer.status != 200:
                raise SystemExit(f"{url} answered {answer.status}: {said[:300]!r}")
            done += len(some)
            progress.write_text(str(done))
            if done % 5000 == 0:
                print(f"{done:,} rows, {(done - first) / (time.monotonic() - began):.0f} rows/s", flush=True)
    seconds = time.monotonic() - began
    print(json.dumps({"rows": done - first, "seconds": seconds, "waited": waited}))


if __name__ == "__main__":
    send(
        sys.argv[1],
        Path(sys.argv[2]),
        Path(sys.argv[3]),
        {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        | dict(pair.split("=", 1) for pair in sys.argv[4:]),
    )
