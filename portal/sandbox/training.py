"""What a training file is worth: its format is checked, its examples are held against a good model."""

import json
import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from portal.sandbox.brains import STUDENT_SKILL, TEACHER_SKILL, Skill, base_skill
from portal.sandbox.draw import digest
from portal.sandbox.kinds import Json, recognise, text_of

FEWEST = 10
FULL = 100  # good examples from which a student is nearly the teacher
START = 15  # good examples below which nothing is learnt
PER_KIND = 8  # good examples that a kind of work needs
MOST_PROBLEMS = 20
_ROLES = {"system", "user", "assistant", "tool", "function"}
_MESSAGE_KEYS = {"role", "content", "name", "tool_calls", "tool_call_id", "function_call", "weight"}
_EXAMPLE_KEYS = {"messages", "tools", "parallel_tool_calls", "functions"}


@dataclass(slots=True)
class Lesson:
    """The statistics of one training file."""

    examples: int = 0
    tokens: int = 0
    good: dict[str, int] = field(
        default_factory=dict
    )  # distinct examples that agree with a good model, by kind
    bad: int = 0
    problems: list[str] = field(default_factory=list)
    unreadable: bool = False  # not JSON Lines at all

    def to_json(self) -> Json:
        return asdict(self)

    def error(self) -> str | None:
        """Why a job with this file fails, in the service's manner."""
        if self.problems:
            return "The job failed due to an invalid training file. " + " ".join(self.problems[:5])
        if self.examples < FEWEST:
            return (
                "The job failed due to an invalid training file. Training file has "
                f"{self.examples} example(s), but must have at least {FEWEST} examples"
            )
        return None


def examine(path: Path) -> Lesson:
    """Read a file of supervised chat examples, line by line."""
    lesson = Lesson()
    seen: set[int] = set()
    strangers: list[
        tuple[set[str], set[str]]
    ] = []  # (prompt words, answer words) of prompts not of the story
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            lesson.examples += 1
            problem, example = check_line(line)
            if problem is not None or example is None:
                lesson.unreadable = lesson.unreadable or example is None
                if len(lesson.problems) < MOST_PROBLEMS:
                    lesson.problems.append(f"Line {number}: {problem}.")
                continue
            lesson.tokens += len(line) // 4
            _weigh(example["messages"], lesson, seen, strangers)
    _weigh_strangers(lesson, strangers)
    return lesson


def check_line(line: bytes) -> tuple[str | None, Json | None]:
    """(what is wrong with the line, the example); no example if it is not even a JSON object."""
    try:
        example = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return "is not valid JSON in UTF-8", None
    if not isinstance(example, dict):
        return "is not a JSON object", None
    return _problem(example), example


def _problem(example: Json) -> str | None:
    messages = example.get("messages")
    if not isinstance(messages, list) or not messages:
        return "has no list of messages"
    unknown = set(example) - _EXAMPLE_KEYS
    if unknown:
        return f"has unrecognized keys {sorted(unknown)}"
    answered: set[str] = set()
    has_tools = bool(example.get("tools") or example.get("functions"))
    for position, message in enumerate(messages):
        found = _message_problem(message, answered, has_tools=has_tools)
        if found:
            return f"message {position} {found}"
    if not any(m["role"] == "assistant" and m.get("weight") != 0 for m in messages):
        return "has no assistant message to learn from"
    return "ends with a message that is not the assistant's" if messages[-1]["role"] != "assistant" else None


def _message_problem(message: Any, called: set[str], *, has_tools: bool) -> str | None:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return "has no known role"
    unknown = set(message) - _MESSAGE_KEYS
    if unknown:
        return f"has unrecognized keys {sorted(unknown)}"
    calls = message.get("tool_calls")
    if not isinstance(message.get("content"), str | list) and not (calls or message.get("function_call")):
        return "has no content"
    if "weight" in message and (message["role"] != "assistant" or message["weight"] not in (0, 1)):
        return "has a weight that is not 0 or 1 on an assistant message"
    if calls:
        if not has_tools:
            return "calls a tool, but the example defines none"
        if not isinstance(calls, list) or not all(
            isinstance(c, dict) and isinstance(c.get("id"), str) for c in calls
        ):
            return "has malformed tool calls"
        called.update(call["id"] for call in calls)
    if message["role"] == "tool" and message.get("tool_call_id") not in called:
        return "answers a tool call that was not made"
    return None


def _weigh(
    messages: list[Json], lesson: Lesson, seen: set[int], strangers: list[tuple[set[str], set[str]]]
) -> None:
    prompt, answer = messages[:-1], messages[-1]
    asked = json.dumps([m.get("content") for m in prompt if m.get("role") != "system"])
    problem = recognise(prompt)
    if problem is None:
        key = digest(asked)
        if key not in seen:
            seen.add(key)
            strangers.append((words(asked), words(text_of(answer.get("content")))))
        return
    calls = answer.get("tool_calls")
    if calls and problem.tool_call:
        function = calls[0].get("function") or {}
        agrees = function.get("name") == problem.tool_call[0] and _same_json(
            function.get("arguments"), problem.tool_call[1]
        )
    else:
        agrees = agreement(text_of(answer.get("content")), problem.answer) >= 0.8
    key = digest(problem.kind, asked, agrees)
    if key in seen:
        return
    seen.add(key)
    if agrees:
        lesson.good[problem.kind] = lesson.good.get(problem.kind, 0) + 1
    else:
        lesson.bad += 1


def _weigh_strangers(lesson: Lesson, strangers: list[tuple[set[str], set[str]]]) -> None:
    """Prompts that no kind knows: a good answer has more to do with its own prompt than with the next."""
    for position, (prompt, answer) in enumerate(strangers):
        other = strangers[(position + 1) % len(strangers)][0]
        if _overlap(answer, prompt) > _overlap(answer, other):
            lesson.good["other"] = lesson.good.get("other", 0) + 1
        else:
            lesson.bad += 1


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _overlap(one: set[str], two: set[str]) -> float:
    return len(one & two) / len(one) if one else 0.0


def agreement(answer: str, reference: str) -> float:
    """F1 over the words of two texts."""
    one, two = words(answer), words(reference)
    if not one or not two:
        return float(answer.strip() == reference.strip())
    return 2 * len(one & two) / (len(one) + len(two))


def _same_json(one: object, two: str) -> bool:
    try:
        return bool(json.loads(str(one)) == json.loads(two))
    except ValueError:
        return False


def skill(model: str, lesson: Lesson, already: Skill | None = None) -> Skill:
    """What a student has learnt: from its good examples less its bad ones, kind by kind."""
    base = already or base_skill(model)
    useful = sum(lesson.good.values()) - lesson.bad
    learnt = 0.0
    if useful > START:
        learnt = min(1.0, math.log(useful / START) / math.log(FULL / START))
    top = TEACHER_SKILL - 0.02
    if base.otherwise >= top or learnt == 0:
        return Skill(model, base.otherwise, base.kinds)
    kinds = {
        kind: base.at(kind) + (top - base.at(kind)) * learnt * min(1.0, count / PER_KIND)
        for kind, count in lesson.good.items()
    }
    if "summary" in kinds and "follow-up" not in kinds:
        kinds["follow-up"] = (kinds["summary"] + STUDENT_SKILL) / 2
    return Skill(model, base.otherwise, tuple({**dict(base.kinds), **kinds}.items()))
