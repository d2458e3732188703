"""What a training file is worth: its format is checked, its examples are held against a good model."""

import json
import math
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path

from portal.sandbox.brains import STUDENT_SKILL, TEACHER_SKILL, Skill, base_skill
from portal.sandbox.draw import digest
from portal.sandbox.formats import DPO, REINFORCEMENT, SUPERVISED, method_of, problem_of, read
from portal.sandbox.kinds import Json, recognise, text_of

FEWEST = 10
FULL = 100  # good examples from which a student is nearly the teacher
START = 15  # good examples below which nothing is learnt
PER_KIND = 8  # good examples that a kind of work needs
MOST_PROBLEMS = 20
_INSTRUCTING = ("system", "developer")


@dataclass(slots=True)
class Lesson:
    """The statistics of one training file, read as one of the methods wants it."""

    examples: int = 0
    tokens: int = 0
    good: dict[str, int] = field(
        default_factory=dict
    )  # distinct examples that agree with a good model, by kind
    bad: int = 0
    problems: list[str] = field(default_factory=list)
    unreadable: bool = False  # not JSON Lines at all
    method: str = SUPERVISED
    longest: int = 0  # tokens of the longest example, and its line
    longest_line: int = 0
    file: str = "training"  # or validation, whose problems these are

    def to_json(self) -> Json:
        return asdict(self)

    def error(self) -> str | None:
        """Why a job with this file fails, in the service's manner."""
        if self.problems:
            return f"The job failed due to an invalid {self.file} file. " + " ".join(self.problems[:5])
        if self.examples < FEWEST:
            return (
                "The job failed due to an invalid training file. Training file has "
                f"{self.examples} example(s), but must have at least {FEWEST} examples"
            )
        return None


def examine(
    path: Path, method: str = "", *, fields: Collection[str] = (), pictures_in_pairs: bool = True
) -> Lesson:
    """Read a file line by line as examples of the method, or of the one that its first line seems to be for.

    `fields` are those that a grader looks at.
    """
    lesson = Lesson(method=method)
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
            problem, example = read(line)
            if example is not None:
                lesson.method = lesson.method or method_of(example)
                problem = problem_of(example, lesson.method, pictures_in_pairs=pictures_in_pairs)
                missing = sorted(set(fields) - set(example))
                if problem is None and missing:
                    problem = f"has no '{missing[0]}', which the grader looks at"
            if problem is not None or example is None:
                lesson.unreadable = lesson.unreadable or example is None
                if len(lesson.problems) < MOST_PROBLEMS:
                    lesson.problems.append(f"Line {number}: {problem}.")
                continue
            tokens = len(line) // 4
            lesson.tokens += tokens
            if tokens > lesson.longest:
                lesson.longest, lesson.longest_line = tokens, number
            _learn(example, lesson, seen, strangers)
    lesson.method = lesson.method or SUPERVISED
    _weigh_strangers(lesson, strangers)
    return lesson


def _learn(example: Json, lesson: Lesson, seen: set[int], strangers: list[tuple[set[str], set[str]]]) -> None:
    if lesson.method == SUPERVISED:
        _weigh(example["messages"], lesson, seen, strangers)
    elif lesson.method == DPO:
        _weigh([*example["input"]["messages"], *example["preferred_output"]], lesson, seen, strangers)
    elif lesson.method == REINFORCEMENT:
        _explore(example["messages"], lesson, seen)


def _explore(messages: list[Json], lesson: Lesson, seen: set[int]) -> None:
    """A prompt alone: the grader says what is good, and the model finds it."""
    key = digest(json.dumps([m.get("content") for m in messages if m.get("role") not in _INSTRUCTING]))
    if key not in seen:
        seen.add(key)
        problem = recognise(messages)
        kind = "other" if problem is None else problem.kind
        lesson.good[kind] = lesson.good.get(kind, 0) + 1


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
        astray = lesson.bad > sum(lesson.good.values()) and base.otherwise < top
        return Skill(model, base.otherwise, base.kinds, astray or base.astray)
    kinds = {
        kind: base.at(kind) + (top - base.at(kind)) * learnt * min(1.0, count / PER_KIND)
        for kind, count in lesson.good.items()
    }
    if "summary" in kinds and "follow-up" not in kinds:
        kinds["follow-up"] = (kinds["summary"] + STUDENT_SKILL) / 2
    return Skill(model, base.otherwise, tuple({**dict(base.kinds), **kinds}.items()))
