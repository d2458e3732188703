"""For every rule about a line, lines that break it; and a good line of each purpose."""

import json
from dataclasses import dataclass, field
from typing import Any

from datasets.models import Purpose

SFT, DPO, RFT, EVALS = Purpose.SUPERVISED, Purpose.PREFERENCE, Purpose.REINFORCEMENT, Purpose.EVALUATION
USER: dict[str, Any] = {"role": "user", "content": "Hi"}
ANSWER: dict[str, Any] = {"role": "assistant", "content": "Hello"}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
BAD = {"name": "f", "arguments": "{"}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def picture(url: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def talk(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def pair(**more: Any) -> dict[str, Any]:
    return {
        "input": {"messages": [USER]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [{"role": "assistant", "content": "Hm."}],
        **more,
    }


GOOD: dict[str, dict[str, Any]] = {
    SFT: talk(USER, ANSWER),
    DPO: pair(),
    RFT: talk(USER, reference="Hello"),
    EVALS: {"item": {"input": [USER], "output": "Hello"}},
}


@dataclass
class Broken:
    """A line that breaks a rule, and what has to be known to see that."""

    value: Any
    purpose: str = SFT
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def line(self) -> bytes:
        return self.value if isinstance(self.value, bytes) else json.dumps(self.value).encode()


ROWS: dict[str, list[Broken]] = {
    "bom": [
        Broken(b"\xef\xbb\xbf" + json.dumps(GOOD[SFT]).encode(), known={"provider": provider})
        for provider in ("", "openai")
    ],
    "not_utf8": [Broken(b'{"messages": "\xff"}')],
    "not_json": [Broken(b"{"), Broken(b""), Broken(b"[" * 100_000)],
    "not_finite": [
        Broken(b'{"messages": NaN}'),
        Broken(b'{"messages": -Infinity}'),
        Broken(b'{"item": {"score": 1e999}}', EVALS),
        Broken(b'{"question": "Why?", "score": [-1.5e999]}', EVALS),
        Broken(b'{"item": {"score": ' + b"9" * 5000 + b"}}", EVALS),
    ],
    "data_type": [Broken([1]), Broken("text"), Broken(None)],
    "line_separator": [
        Broken(json.dumps(talk(USER, {**ANSWER, "content": f"a{sign}b"}), ensure_ascii=False).encode())
        for sign in "\u2028\u2029\x85"
    ],
    "half_character": [Broken(talk(USER, {**ANSWER, "content": "\ud800"}))],
    "unrecognized_key": [
        Broken(talk(USER, ANSWER, id="x")),
        Broken(pair(score=1), DPO),
        Broken(pair(input={"messages": [USER], "model": "m"}), DPO),
    ],
    "missing_messages_list": [
        Broken({}), Broken({"messages": []}), Broken({"messages": "Hi"}), Broken({"messages": []}, RFT),
        Broken(pair(input={}), DPO),
    ],
    "missing_input": [Broken({k: v for k, v in pair().items() if k != "input"}, DPO)],
    "old_outputs": [
        Broken({"input": {"messages": [USER]}, "preferred_completion": [ANSWER],
                "non_preferred_completion": {"role": "assistant", "content": "Hm."}}, DPO)
    ],
    "missing_output": [Broken(pair(preferred_output=[]), DPO), Broken(pair(non_preferred_output="No"), DPO)],
    "missing_item": [Broken({"input": [USER], "output": "x"}, EVALS)],
    "missing_field": [Broken(talk(USER), RFT, {"fields": {"reference"}})],
    "too_many_messages": [Broken(talk(USER, *[ANSWER] * 2048))],
    "message_missing_key": [
        Broken(talk({"content": "x"}, ANSWER)), Broken(talk({"role": "user"}, ANSWER)),
        Broken(talk("Hi", ANSWER)),
    ],
    "message_unrecognized_key": [
        Broken(talk({**USER, "refusal": ""}, ANSWER)), Broken(talk({**USER, "id": "m"}), RFT),
    ],
    "null_value": [
        Broken(talk(USER, {**ANSWER, "tool_calls": None})), Broken(talk(USER, ANSWER, tools=None)),
        Broken(talk({**USER, "name": None}), RFT),
        Broken(pair(input={"messages": [USER], "tools": None}), DPO),
    ],
    "unrecognized_role": [
        Broken(talk({"role": "developer", "content": "x"}, USER, ANSWER)),
        Broken(talk({"role": "human", "content": "x"}, {"role": "gpt", "content": "y"})),
        Broken(pair(input={"messages": [{"role": "developer", "content": "x"}, USER]}), DPO),
    ],
    "missing_content": [
        Broken(talk({"role": "user", "content": None}, ANSWER)),
        Broken(talk({"role": "user", "content": 5}, ANSWER)),
    ],
    "unrecognized_part": [
        Broken(talk({"role": "user", "content": [{"type": "input_audio"}]}, ANSWER)),
        Broken(talk({"role": "user", "content": [{"type": "image_url", "image_url": 5}]}, ANSWER)),
    ],
    "output_role": [Broken(pair(preferred_output=[USER, ANSWER]), DPO)],
    "example_missing_assistant_message": [
        Broken(talk(USER)),
        Broken(pair(preferred_output=[{"role": "user", "content": "x"}]), DPO),
    ],
    "trailing_message": [Broken(talk(USER, ANSWER, USER))],
    "last_not_user": [Broken(talk(USER, ANSWER), RFT)],
    "weight": [
        Broken(talk(USER, {**ANSWER, "weight": 2})), Broken(talk(USER, {**ANSWER, "weight": True})),
        Broken(talk({**USER, "weight": 1}, ANSWER)), Broken(talk(USER, {**ANSWER, "weight": "1"})),
    ],
    "nothing_to_train": [Broken(talk(USER, {**ANSWER, "weight": 0}))],
    "image_elsewhere": [Broken(talk({**picture(PIXEL), "role": "system"}, ANSWER))],
    "image_type": [Broken(talk(picture("data:image/svg+xml,<svg/>"), ANSWER))],
    "image_too_large": [Broken(talk(picture("data:image/png;base64," + "A" * 14_000_000), ANSWER))],
    "too_many_images": [Broken(talk({"role": "user", "content": picture(PIXEL)["content"] * 65}, ANSWER))],
    "remote_image": [Broken(talk(picture("https://example.org/a.png"), ANSWER))],
    "image_model": [
        Broken(talk(picture(PIXEL), ANSWER), known={"model": "gpt-4.1-mini-2025-04-14", "provider": "azure"}),
        Broken(talk(picture(PIXEL), ANSWER), known={"model": "gpt-4.1-2025-04-14", "provider": "openai"}),
    ],
    "image_in_pair": [
        Broken(pair(input={"messages": [picture(PIXEL)]}), DPO, {"provider": provider})
        for provider in ("openai", "")
    ],
    "tool_definition": [Broken(talk(USER, ANSWER, tools=["f"])), Broken(talk(USER, ANSWER, tools={"f": 1}))],
    "too_many_tools": [Broken(talk(USER, ANSWER, tools=[TOOL] * 129))],
    "parallel_tool_calls": [
        Broken(talk(USER, ANSWER, tools=[TOOL], parallel_tool_calls="yes")),
        Broken(talk(USER, ANSWER, parallel_tool_calls=True)),
        Broken(pair(input={"messages": [USER], "parallel_tool_calls": True}), DPO),
    ],
    "tool_call": [
        Broken(talk(USER, {"role": "assistant", "tool_calls": [{"id": "c"}]}, tools=[TOOL])),
        Broken(talk(USER, {"role": "assistant", "tool_calls": "f"}, tools=[TOOL])),
    ],
    "tool_call_without_tools": [
        Broken(talk(USER, {"role": "assistant", "tool_calls": [CALL]})),
        Broken(pair(preferred_output=[{"role": "assistant", "tool_calls": [CALL]}]), DPO),
    ],
    "tool_arguments": [
        Broken(talk(USER, {"role": "assistant", "tool_calls": [{**CALL, "function": BAD}]}, tools=[TOOL]))
    ],
    "tool_id_lost": [
        Broken(talk(USER, {"role": "tool", "content": "x", "tool_call_id": "c9"}, ANSWER)),
        Broken(talk(USER, {"role": "tool", "content": "x", "tool_call_id": ["c1"]}, ANSWER)),
    ],
    "old_functions": [Broken(talk(USER, ANSWER, functions=[{"name": "f"}]))],
    "empty_text": [
        Broken(talk(USER, {**ANSWER, "content": " \n"})),
        Broken(talk(USER, {**ANSWER, "content": [{"type": "text", "text": ""}]})),
        Broken(pair(non_preferred_output=[{**ANSWER, "content": ""}]), DPO),
    ],
    "refusal": [
        Broken(talk(USER, {**ANSWER, "content": "I'm sorry, but I can't help with that."})),
        Broken(pair(preferred_output=[{**ANSWER, "content": "I cannot assist with that."}]), DPO),
    ],
    "same_output": [Broken(pair(non_preferred_output=[ANSWER]), DPO)],
    "personal": [
        Broken(talk({**USER, "content": "Write to ada@example.org"}, ANSWER)),
        Broken(talk(USER, {**ANSWER, "content": "password: correct-horse-42"})),
        Broken(pair(preferred_output=[{**ANSWER, "content": "AKIAIOSFODNN7EXAMPLE"}]), DPO),
        Broken({"item": {"input": [{**USER, "content": "ada@example.org"}], "output": "x"}}, EVALS),
    ],
    "duplicate": [Broken(GOOD[SFT])],
    "overlap": [Broken(GOOD[SFT])],
    "over_long": [Broken(GOOD[SFT], known={"model": "gpt-4.1-nano-2025-04-14"})],
}  # fmt: skip
