"""Code that makes a completion again: it says the same as the request did, runs, and holds no secret."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completions.conversation import parse
from completions.literals import TooDeep, python_literal, python_string, visible_json
from completions.repeating import CannotRepeat, as_curl, as_python, request_of
from portal import hidden
from portal.models import Auth, Connection, Kind
from portal.sandbox import Sandbox
from tests import factories
from tests.portal.sandbox_client import (
    _close_clients,  # noqa: F401  # a fixture that runs by itself
    client,
)

Connect = Callable[..., Connection]

NASTY = [
    'it\'s "quoted" \'\'\'thrice\'\'\' and """again"""',
    "back\\slash \\n \\\\ \\",
    "first\nsecond\n\nfourth\n",
    "carriage\rreturn\ttab\x00nul\x1bescape",
    "$HOME `whoami` $(id) %s {x} {{y}} #!",
    "JSON\nJSON\n<<'JSON'\nEOF",
    "zero\u200bwidth \u202eright-to-left \u00a0fixed \u2028line",
    "emoji 👩\u200d💻 and smuggled \U000e0041",
    "شكرا ありがとう ÿ",
    "",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)
ITEM: dict[str, Any] = {
    "id": 'chatcmpl-1"\nimport os\n#',
    "model": "gpt-4o-mini",
    "temperature": 0.2,
    "top_p": 1.0,
    "seed": -7,
    "response_format": {"type": "text"},
    "metadata": {"a": "b"},
    "tool_choice": "auto",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}}],
}


def talk(messages: list[dict[str, Any]] | None, **item: Any) -> Any:
    return parse(ITEM | item, messages)


@pytest.mark.parametrize("text", NASTY)
def test_a_literal_means_the_text_and_hides_nothing(text: str) -> None:
    for written in (python_string(text), python_literal(text), python_literal([{text: text}])):
        assert hidden.count_hidden(written) == 0
    assert ast.literal_eval(python_string(text)) == text
    assert ast.literal_eval(python_literal([{text: text}])) == [{text: text}]
    assert json.loads(visible_json({text: text})) == {text: text}
    assert hidden.count_hidden(visible_json(text)) == 0


@settings(deadline=None)
@given(VALUES)
def test_any_value_is_written_so_that_it_reads_the_same(value: Any) -> None:
    assert ast.literal_eval(python_literal(value, 4)) == value
    assert json.loads(visible_json(value)) == value


def test_what_python_cannot_nest_is_read_as_json() -> None:
    deep: Any = "bottom"
    for _ in range(150):
        deep = [{"x": deep}]
    source = python_literal(deep)
    assert eval(compile(source, "literal", "eval"), {"json": json}) == deep  # noqa: S307  # our own source
    assert python_literal([float("inf")]) == '[float("inf")]'


def test_half_characters_stay_what_they_are() -> None:
    assert ast.literal_eval(python_string("a\ud800b")) == "a\ud800b"
    assert json.loads(visible_json("a\ud800b")) == "a\ud800b"


def test_a_request_holds_what_was_asked_and_not_what_was_answered() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": None}
    messages: list[dict[str, Any]] = [
        {"id": "x-0", "role": "system", "content": "s", "content_parts": None, "name": None},
        {"id": "x-1", "role": "user", "content": None, "content_parts": [{"type": "text", "text": "p"}]},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "r", "annotations": []},
    ]
    tools = [{"type": "function", "function": {"name": "f"}}]
    found = request_of(talk(messages, tools=tools, tool_choice="required", input_user="me"))
    assert found == {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "p"}]},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "content": "r", "tool_call_id": "c1"},
        ],
        "temperature": 0.2,
        "seed": -7,
        "tools": tools,
        "tool_choice": "required",
        "user": "me",
        "store": False,
    }


def test_there_is_no_request_without_messages() -> None:
    with pytest.raises(CannotRepeat, match="not here yet"):
        request_of(talk(None))


def test_what_is_nested_without_end_is_refused_in_words() -> None:
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TooDeep):
        visible_json(deep)
    with pytest.raises(CannotRepeat, match="too deeply"):
        as_curl(Connection(kind=Kind.OPENAI, base_url="https://api.openai.com/v1"), talk([{"content": deep}]))


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("auth", [Auth.KEY, Auth.ENTRA_DEFAULT])
def test_every_connection_has_code_that_compiles_and_holds_no_secret(
    db: None, kind: Kind, auth: Auth
) -> None:
    where = factories.connection(kind=kind, auth=auth, api_version="2025-04-01-preview", secret="sk-secret-1")
    conversation = talk([{"role": "user", "content": text} for text in NASTY])
    source, command = as_python(where, conversation), as_curl(where, conversation)
    compile(source, "snippet", "exec")
    assert "import os\n#" not in source.replace("import os\n\nfrom", "")
    for text in (source, command):
        assert "sk-secret-1" not in text
        # Rows from files have no endpoint; their code asks the one that everybody has.
        assert kind == Kind.FILES or "https://example.openai.azure.com" in text
    checked = subprocess.run(["bash", "-n"], input=command, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("personality", ["azure-v1", "azure-dated", "openai"])
@pytest.mark.parametrize("form", ["python", "curl"])
def test_the_code_runs_and_asks_the_same(
    sandbox: Sandbox, connect_to: Connect, personality: str, form: str
) -> None:
    where = connect_to(sandbox, personality, api_version="2025-04-01-preview")
    asked = [{"role": "user", "content": text or "."} for text in NASTY]
    conversation = talk(asked, model="gpt-4o")
    code = (as_python if form == "python" else as_curl)(where, conversation)
    # Stored this once, so that what arrived can be read again.
    kept = (
        code.replace("store=False", "store=True")
        if form == "python"
        else code.replace('"store": false', '"store": true')
    )
    assert kept != code
    key = f"sandbox-{personality}-key"
    environment = os.environ | {"AZURE_OPENAI_API_KEY": key, "OPENAI_API_KEY": key}
    command = [sys.executable, "-"] if form == "python" else ["bash", "-s"]
    ran = subprocess.run(
        command, input=kept, env=environment, text=True, capture_output=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    api = client(sandbox, personality).chat.completions
    stored = api.list(order="desc", limit=1).data[0]
    messages = list(api.messages.list(stored.id, order="asc", limit=100))
    assert [message.content for message in messages] == [each["content"] for each in asked]
    answer = ran.stdout if form == "python" else json.loads(ran.stdout)["choices"][0]["message"]["content"]
    assert answer.strip() == (stored.choices[0].message.content or "").strip()
    assert stored.to_dict()["temperature"] == 0.2
