"""The stored completions of a small company over sixty days: the same for the same seed, made when asked for.

Nothing here is kept: row *i* is worked out from the seed and *i* alone, so a hundred thousand rows cost no
more memory than a hundred.
"""

from base64 import b64encode
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

from portal.sandbox import brains
from portal.sandbox.draw import Draw, digest
from portal.sandbox.kinds import FOLLOW_UP, POSE, Json, Problem, follow_up, look_up, text_of

DAYS = 60
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TAIL = 6  # characters of an id that carry the row number
_SPACE = 62**_TAIL


class Sketch(NamedTuple):
    """What the list filters on: cheap to work out for every row."""

    app: str
    kind: str
    deployment: str
    model: str
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One stored completion in canonical form, with the messages that were sent."""

    id: str
    created: int
    deployment: str
    completion: Json
    messages: list[Json]


MODELS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
}

# app -> (share of rows, category, kind -> weight, deployment -> weight)
_APPS: dict[str, tuple[float, str, dict[str, int], dict[str, int]]] = {
    "docs-assistant": (
        0.44,
        "docs-test",
        {"summary": 17, "lookup": 2, "refusal": 1},
        {"gpt-4o": 12, "gpt-4.1": 6, "gpt-4o-mini": 2},
    ),
    "support-triage": (0.2, "triage", {"triage": 1}, {"gpt-4.1": 5, "gpt-4o": 3, "gpt-4.1-mini": 2}),
    "code-review": (0.12, "review", {"review": 1}, {"gpt-4.1": 8, "gpt-4.1-mini": 2}),
    "translator": (0.12, "translation", {"translation": 1}, {"gpt-4o": 7, "gpt-4o-mini": 3}),
    "extractor": (0.08, "extraction", {"extraction": 1}, {"gpt-4.1": 6, "gpt-4.1-mini": 4}),
    "image-labels": (0.04, "vision", {"vision": 1}, {"gpt-4o": 1}),
}  # fmt: skip
_SYSTEM = {
    "docs-assistant": "You explain Python. Answer with the name, a sentence, and a line of parameters.",
    "support-triage": "You sort tickets. Answer only with JSON: category, priority, language.",
    "code-review": "You review documentation. Be brief and name only what is missing.",
    "translator": "You translate exactly and answer with nothing but the translation.",
    "extractor": "You extract orders. Answer only with JSON that fits the schema.",
    "image-labels": "You label pictures with one word.",
}
_LATER = {
    "v1": "",
    "v2": " Do not add anything that the source does not say.",
    "v3": " Do not add anything that the source does not say. Keep to the form you were shown.",
}
_LOOKUP_TOOL: Json = {
    "type": "function",
    "function": {
        "name": "lookup_documentation",
        "description": "Return the documentation of a name in Python's standard library.",
        "parameters": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        },
    },
}


def _weighted(draw: Draw, weights: dict[str, int]) -> str:
    point = draw.below(sum(weights.values()))
    for name, weight in weights.items():
        point -= weight
        if point < 0:
            return name
    return name


class Story:
    """Rows 0 … ``rows - 1`` in the order in which they were created, the last one just before ``until``."""

    def __init__(self, name: str, seed: int, rows: int, until: float) -> None:
        self.name = name
        self.seed = digest(name, seed)
        self.rows = rows
        self.until = int(until)
        self._marks = list(accumulate(self._rhythm()))
        self.row = lru_cache(maxsize=2048)(self._row)

    def _rhythm(self) -> list[float]:
        """How busy each hour is: offices, nights, weekends, and some growth."""
        first = self.until - DAYS * 86400
        rhythm = []
        for hour in range(DAYS * 24):
            at = first + hour * 3600
            of_day, of_week = at // 3600 % 24, (at // 86400 + 3) % 7
            busy = 0.15 + (1.0 if 7 <= of_day < 18 else 0.25)
            rhythm.append(busy * (0.3 if of_week >= 5 else 1.0) * (0.7 + 0.6 * hour / (DAYS * 24)))
        return rhythm

    def created(self, index: int) -> int:
        """Never decreasing with the index, so the order of rows is the order of time."""
        jitter = Draw(self.seed, "at", index).unit()
        target = (index + jitter) / self.rows * self._marks[-1]
        hour = min(bisect_right(self._marks, target), len(self._marks) - 1)
        before = self._marks[hour - 1] if hour else 0.0
        within = (target - before) / (self._marks[hour] - before)
        return min(self.until - 1, int(self.until - DAYS * 86400 + (hour + within) * 3600))

    def id(self, index: int) -> str:
        """Looks random, and gives the index back to ``index_of`` without a table."""
        scrambled = (index * 2654435761 + self.seed) % _SPACE
        tail = ""
        for _ in range(_TAIL):
            scrambled, digit = divmod(scrambled, 62)
            tail += _DIGITS[digit]
        head = b64encode(blake2b(b"%d/%d" % (self.seed, index), digest_size=18).digest(), b"Az").decode()
        return f"chatcmpl-{head[: 29 - _TAIL]}{tail}"

    def index_of(self, completion_id: str) -> int | None:
        tail = completion_id[-_TAIL:]
        scrambled = 0
        for character in reversed(tail):
            position = _DIGITS.find(character)
            if position < 0:
                return None
            scrambled = scrambled * 62 + position
        index = (scrambled - self.seed) * pow(2654435761, -1, _SPACE) % _SPACE
        return index if index < self.rows and self.id(index) == completion_id else None

    def _origin(self, index: int) -> tuple[int, str]:
        """The row that this one repeats, and how: people ask the same thing again."""
        draw = Draw(self.seed, "repeat", index)
        chance = draw.unit()
        if index > 20 and chance < 0.05:
            return index - draw.between(1, min(index, 200)), "exact" if chance < 0.025 else "near"
        return index, ""

    def sketch(self, index: int) -> Sketch:
        origin, _ = self._origin(index)
        draw = Draw(self.seed, "sketch", origin)
        point, app = draw.unit(), "docs-assistant"
        for app, (part, *_) in _APPS.items():  # noqa: B007 - the last app takes what rounding leaves
            point -= part
            if point < 0:
                break
        _, category, kinds, deployments = _APPS[app]
        kind = _weighted(draw, kinds)
        deployment = _weighted(draw, deployments)
        own = Draw(self.seed, "metadata", index)
        metadata = {
            "category": category,
            "app": app,
            "env": own.pick(("production", "production", "staging")),
        }
        versions = ("v1", "v1", "v2", "v2", "v3", "v3")
        position = 6 * index // max(1, self.rows)
        metadata["prompt_version"] = versions[min(5, max(0, position - own.below(2)))]
        metadata["user"] = f"user-{own.below(600):04d}"
        return Sketch(app, kind, deployment, MODELS[deployment], metadata)

    def metadata(self, index: int) -> dict[str, str]:
        """As stored: the sketch's, and for most rows what was expected, to measure against."""
        return self.row(index).completion["metadata"]  # type: ignore[no-any-return]  # built below as a map

    def _row(self, index: int) -> Row:
        sketch = self.sketch(index)
        origin, repeat = self._origin(index)
        draw = Draw(self.seed, "content", origin)
        problem = POSE[sketch.kind](draw)
        content = problem.content
        if repeat == "near" and isinstance(content, str):
            content = Draw(self.seed, "near", index).pick(("Please. ", "Hello! ", "Again: ")) + content
        version = sketch.metadata["prompt_version"]
        messages: list[Json] = [
            {
                "role": "developer" if version == "v3" else "system",
                "content": _SYSTEM[sketch.app] + _LATER[version],
            },
            {"role": "user", "content": content},
        ]
        skill = brains.base_skill(sketch.model)
        metadata = dict(sketch.metadata)
        said = brains.solve(skill, problem, tools=True)
        last = problem
        if problem.tool_call and said.tool_call and draw.chance(0.7):
            said = self._after_tool(messages, skill, problem, origin)
        elif sketch.kind == "summary" and draw.chance(0.12):
            last = self._second_turn(messages, said, problem)
            said = brains.solve(skill, last)
        finish = "tool_calls" if said.tool_call else "stop"
        text = said.content
        if text is not None and len(text) > 60 and draw.chance(0.02):
            text, finish = text[: len(text) // 2], "length"
        elif text is not None and draw.chance(0.005):
            text, finish = "", "content_filter"
        if draw.chance(0.8):
            metadata["expected"] = last.expected[:512]
        return self._store(index, origin, sketch, metadata, messages, said, text, finish, problem)

    def _after_tool(
        self, messages: list[Json], skill: brains.Skill, problem: Problem, origin: int
    ) -> brains.Said:
        assert problem.tool_call is not None
        name, arguments = problem.tool_call
        call = f"call_{digest(self.seed, 'call', origin):016x}"
        function = {"name": name, "arguments": arguments}
        calls = [{"id": call, "type": "function", "function": function}]
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        result = look_up(text_of(problem.content).split("`")[1])
        messages.append({"role": "tool", "tool_call_id": call, "content": result})
        return brains.solve(skill, problem, tools=True, tool_answered=True)

    def _second_turn(self, messages: list[Json], said: brains.Said, problem: Problem) -> Problem:
        messages.append({"role": "assistant", "content": said.content})
        messages.append({"role": "user", "content": FOLLOW_UP})
        return follow_up(text_of(problem.content).split("```\n")[1].rstrip("`\n"))

    def _store(
        self,
        index: int,
        origin: int,
        sketch: Sketch,
        metadata: dict[str, str],
        messages: list[Json],
        said: brains.Said,
        text: str | None,
        finish: str,
        problem: Problem,
    ) -> Row:
        own = Draw(self.seed, "parameters", index)
        message: Json = {"role": "assistant", "content": text, "refusal": said.refusal, "tool_calls": None}
        if said.tool_call:
            name, arguments = said.tool_call
            call = f"call_{digest(self.seed, 'call', origin):016x}"
            message["tool_calls"] = [
                {"id": call, "type": "function", "function": {"name": name, "arguments": arguments}}
            ]
        prompt = sum(tokens(text_of(m.get("content"))) + 4 for m in messages)
        answered = tokens(text or said.refusal or "") + (20 if said.tool_call else 0)
        completion: Json = {
            "object": "chat.completion",
            "id": self.id(index),
            "model": sketch.model,
            "created": self.created(index),
            "request_id": f"{own.number():016x}{own.number():016x}",
            "metadata": metadata,
            "input_user": metadata["user"],
            "seed": own.number() - (1 << 63),
            "temperature": own.pick((0.0, 0.2, 1.0)),
            "top_p": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "tools": [_LOOKUP_TOOL] if problem.kind == "lookup" else None,
            "tool_choice": "auto" if problem.kind == "lookup" else None,
            "response_format": problem.response_format,
            "system_fingerprint": f"fp_{digest(sketch.model, index * 6 // self.rows):016x}"[:13],
            "service_tier": "default",
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": answered,
                "total_tokens": prompt + answered,
            },
            "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        }
        return Row(self.id(index), completion["created"], sketch.deployment, completion, messages)


def tokens(text: str) -> int:
    """About four characters to a token."""
    return (len(text) + 3) // 4
