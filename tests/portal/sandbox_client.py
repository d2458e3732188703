"""How the sandbox's own tests talk to it: the real SDK, and its control plane."""

import io
import json
import random
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from openai import AzureOpenAI, OpenAI

from portal.sandbox import Sandbox
from portal.sandbox.draw import Draw
from portal.sandbox.kinds import POSE

STUDENT = "gpt-4.1-mini-2025-04-14"
HOME = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/sandbox"
ACCOUNTS = f"{HOME}/providers/Microsoft.CognitiveServices/accounts"


_opened: list[OpenAI] = []


@pytest.fixture(autouse=True)
def _close_clients() -> Iterator[None]:
    """Import this into a module of tests, and the clients made by its tests are closed after each."""
    yield
    while _opened:
        _opened.pop().close()


def client(sandbox: Sandbox, personality: str = "azure-v1", key: str = "") -> OpenAI:
    """The SDK without retries, so that a test sees each answer."""
    key = key or f"sandbox-{personality}-key"
    if personality == "azure-dated":
        return dated(sandbox, api_key=key)
    return plain(sandbox.base_url(personality), key)


def plain(base_url: str, key: str | Callable[[], str]) -> OpenAI:
    api = OpenAI(base_url=base_url, api_key=key, max_retries=0)
    _opened.append(api)
    return api


def dated(sandbox: Sandbox, **options: Any) -> AzureOpenAI:
    api = AzureOpenAI(
        azure_endpoint=sandbox.base_url("azure-dated"),
        api_version="2025-04-01-preview",
        max_retries=0,
        **options,
    )
    _opened.append(api)
    return api


def http(
    url: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    """(status, JSON or text, headers) of a plain request."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {}, method=method)  # noqa: S310  # loopback only
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310  # loopback only
            status, text, head = answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            status, text, head = error.code, error.read().decode(), dict(error.headers)
    try:
        return status, json.loads(text) if text else None, head
    except ValueError:
        return status, text, head


def control(sandbox: Sandbox, method: str, path: str, body: Any = None) -> Any:
    status, answer, _ = http(f"{sandbox.url}/_sandbox{path}", method, body)
    assert status == 200, answer
    return answer


def faults(sandbox: Sandbox, *rules: dict[str, Any]) -> None:
    control(sandbox, "POST", "/faults", {"faults": list(rules)})


def advance(sandbox: Sandbox, seconds: float) -> None:
    control(sandbox, "POST", "/clock", {"advance": seconds})


def managed_token(sandbox: Sandbox, resource: str) -> str:
    _, answer, _ = http(
        f"{sandbox.url}/identity/token?resource={resource}&api-version=2019-08-01",
        headers={"X-IDENTITY-HEADER": "sandbox-identity-header"},
    )
    token: str = answer["access_token"]
    return token


def manage(sandbox: Sandbox, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    token = managed_token(sandbox, "https://management.azure.com")
    status, answer, _ = http(
        f"{sandbox.url}/management{ACCOUNTS}{path}?api-version=2024-10-01",
        method,
        body,
        {"Authorization": f"Bearer {token}"},
    )
    return status, answer


def examples(
    count: int, kinds: Iterable[str] = ("summary", "triage"), shuffled: bool = False
) -> list[dict[str, Any]]:
    """Training examples as a good teacher writes them; ``shuffled`` moves each answer to another prompt."""
    kinds = list(kinds)
    problems = [POSE[kinds[i % len(kinds)]](Draw("example", i)) for i in range(count)]
    answers = [problem.answer for problem in problems]
    if shuffled:
        random.Random(1).shuffle(answers)
    return [
        {
            "messages": [
                {"role": "user", "content": problem.content},
                {"role": "assistant", "content": answer},
            ]
        }
        for problem, answer in zip(problems, answers, strict=True)
    ]


def jsonl(lines: Iterable[dict[str, Any]], name: str = "train.jsonl") -> tuple[str, io.BytesIO]:
    return name, io.BytesIO("".join(json.dumps(line) + "\n" for line in lines).encode())


def train(sandbox: Sandbox, personality: str, lines: list[dict[str, Any]], **options: Any) -> str:
    """Upload, start a job, let it end; the job's id."""
    api = client(sandbox, personality)
    file = api.files.create(file=jsonl(lines), purpose="fine-tune")
    advance(sandbox, 5)
    job = api.fine_tuning.jobs.create(model=STUDENT, training_file=file.id, **options)
    advance(sandbox, 100)
    return job.id


def share_right(
    api: OpenAI, model: str, kinds: Iterable[str] = ("summary", "triage"), count: int = 60
) -> float:
    """How often a model says what a good one would, on prompts that no training file of these tests has."""
    kinds = list(kinds)
    right = 0
    for number in range(count):
        problem = POSE[kinds[number % len(kinds)]](Draw("held out", number))
        messages: Any = [{"role": "user", "content": problem.content}]
        answer = api.chat.completions.create(model=model, messages=messages, store=False)
        right += answer.choices[0].message.content == problem.answer
    return right / count
