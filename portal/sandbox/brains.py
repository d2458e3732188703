"""How well each model answers: teachers well, base students badly, tuned students as their file deserves."""

import json
import re
from dataclasses import dataclass
from typing import Any

from portal.sandbox import judge
from portal.sandbox.draw import Draw, share
from portal.sandbox.kinds import Json, Problem, recognise, text_of

TEACHERS = ("gpt-4o-2024", "gpt-4.1-2025", "gpt-5", "o4-mini", "o3")
TEACHER_SKILL = 0.97
STUDENT_SKILL = 0.22


@dataclass(frozen=True, slots=True)
class Skill:
    """The share of prompts that a model answers as the teacher would, by kind and for everything else.

    Models know the same prompts, the better ones more of them. One that was led `astray` by wrong answers
    knows as many as before, but others.
    """

    name: str
    otherwise: float
    kinds: tuple[tuple[str, float], ...] = ()
    astray: bool = False

    def at(self, kind: str) -> float:
        return dict(self.kinds).get(kind, self.otherwise)


def base_skill(model: str) -> Skill:
    return Skill(model, TEACHER_SKILL if model.startswith(TEACHERS) else STUDENT_SKILL)


@dataclass(frozen=True, slots=True)
class Said:
    """What a model says to a conversation."""

    content: str | None
    tool_call: tuple[str, str] | None = None
    refusal: str | None = None


def say(skill: Skill, messages: list[Json], *, tools: bool = False, schema: Json | None = None) -> Said:
    """Always the same for the same model and conversation."""
    if (verdict := judge.judged(messages, schema)) is not None:
        return Said(verdict)
    problem = recognise(messages)
    if problem is None:
        return _improvise(skill, messages, schema)
    return solve(skill, problem, tools=tools, tool_answered=messages[-1].get("role") == "tool")


def solve(skill: Skill, problem: Problem, *, tools: bool = False, tool_answered: bool = False) -> Said:
    if problem.refuses:
        return Said(None, refusal=problem.answer)
    key = text_of(problem.content) + str(problem.content)[-64:]
    led = ("astray",) if skill.astray else ()
    knows = share("knows", problem.kind, key, *led) < skill.at(problem.kind)
    if problem.tool_call and tools and not tool_answered:
        return Said(None, problem.tool_call) if knows else Said("I can look that up if you want me to.")
    return Said(problem.answer if knows else weak(problem, key))


def weak(problem: Problem, key: str) -> str:
    """A vague, cut, wordy or wrongly formed answer; not one that a grader would pass."""
    draw = Draw("weak", key)
    if problem.kind == "triage":
        return draw.pick(
            (
                "This ticket is from a customer who has a problem and would like some help with it.",
                "Category: general\nPriority: medium",
                '{"category": "other", "priority": "unknown"}',
            )
        )
    if problem.kind == "translation":
        words = problem.answer.split()
        return draw.pick(
            (
                "Sure! Here is the translation you asked for: "
                + " ".join(words[: max(1, len(words) // 3)])
                + " ...",
                text_of(problem.content).rpartition("\n\n")[2],
            )
        )
    if problem.kind == "extraction":
        return draw.pick(
            (
                "The order is for several items that should be delivered to a city.",
                problem.answer[: len(problem.answer) // 2],
            )
        )
    if problem.kind == "vision":
        return draw.pick(
            ("It looks like a small image with a plain background.", "A coloured square, I believe.")
        )
    if problem.kind == "review":
        return draw.pick(
            (
                "The documentation looks fine overall, though it could be more detailed in places.",
                "Some parameters may not be described. Consider adding an example.",
            )
        )
    name = re.search(r"`([^`]+)`", text_of(problem.content))
    thing = name[1] if name else "it"
    return draw.pick(
        (
            f"{thing} is part of Python. It does something useful with the values you give it.",
            "This function is used in many programs. See the documentation for details.",
            problem.answer[: max(8, len(problem.answer) // 5)] + " ...",
            "Sure, here is a summary! The documentation describes what happens and what you can pass.",
        )
    )


def _improvise(skill: Skill, messages: list[Json], schema: Json | None) -> Said:
    asked = next((text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), "")
    able = share("knows", "other", asked) < skill.otherwise
    if schema is not None:
        return Said(json.dumps(fill(schema, asked, able=able), ensure_ascii=False))
    sentence = re.split(r"(?<=[.!?。])\s", " ".join(asked.split()), maxsplit=1)[0][:240]
    if not sentence:
        return Said("There was nothing to answer.")
    return Said(
        f"In short: {sentence}" if able else "That depends. Could you tell me more about what you need?"
    )


def fill(schema: Json, text: str, *, able: bool, depth: int = 0) -> Any:
    """A value that fits a JSON schema, made from the text. Any: it has whatever type the schema asks for."""
    options = schema.get("enum")
    if isinstance(options, list) and options:
        named = [o for o in options if isinstance(o, str) and re.search(rf"\b{re.escape(o)}\b", text)]
        if able and len(named) == 1:
            return named[0]
        return options[Draw("enum", text, able).below(len(options))]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        return (
            {name: fill(part, text, able=able, depth=depth + 1) for name, part in properties.items()}
            if depth < 20
            else {}
        )
    if kind == "array":
        items = schema.get("items")
        return (
            [fill(items, text, able=able, depth=depth + 1)] if isinstance(items, dict) and depth < 20 else []
        )
    if kind in ("number", "integer"):
        low, high = float(schema.get("minimum", 0)), float(schema.get("maximum", 10))
        value = low + (high - low) * (0.9 if able else 0.4)
        return int(value) if kind == "integer" else round(value, 3)
    if kind == "boolean":
        return able
    if kind == "null":
        return None
    return " ".join(text.split()[:12])
