"""A stored conversation as one line of a reinforcement fine-tuning file, and the check of its grader. Pure.

https://platform.openai.com/docs/api-reference/fine-tuning/reinforcement-input
https://learn.microsoft.com/azure/ai-foundry/openai/how-to/reinforcement-fine-tuning
"""

from collections.abc import Collection
from typing import Any, Final

from datasets.build import columns, grader_check
from datasets.build.convert import ROLES, asked, talk, tools_for
from datasets.build.lines import CannotExpress, Counter, Line, Refusal, line_of
from datasets.build.material import Material
from datasets.build.validate import Problem
from datasets.recipe import Recipe

# Reasoning models are instructed by the developer.
REASONING_ROLES: Final = {**ROLES, "system": "developer", "developer": "developer"}
# What a line has of its own, so that no further field takes its name.
TAKEN: Final = frozenset({"messages", "tools", "parallel_tool_calls", "item", "sample", "functions"})


def prompt(material: Material, recipe: Recipe, counter: Counter) -> Line | Refusal:
    """The messages up to the last of the user; every further field is `item.<name>` to a grader."""
    try:
        messages = asked(material)
        if messages[-1].role != "user":
            raise CannotExpress("no_user")
        written = talk(messages, REASONING_ROLES)
        data: dict[str, Any] = {"messages": written, **tools_for(material.conversation, written)}
        data |= columns.reference_of(material, recipe)
        data |= columns.further(material, recipe, taken=TAKEN)
    except CannotExpress as problem:
        return Refusal(problem.reason)
    return line_of(data, material, counter)


def fields_of(recipe: Recipe) -> set[str]:
    """What the lines of this recipe have for a grader to name."""
    fields = {"messages", *columns.names(recipe.columns, TAKEN).values()}
    return fields | {columns.REFERENCE} if recipe.reference else fields


def check_grader(grader: Any, fields: Collection[str] | None = None) -> list[Problem]:
    """What keeps a grader from grading lines that have these fields; None where they are not known."""
    found = grader_check.problems_of(grader, fields)
    return [Problem("grader", 0, words) for words in dict.fromkeys(found)]
