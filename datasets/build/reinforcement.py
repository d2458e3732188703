"""A stored conversation as one line of a reinforcement fine-tuning file, and the check of its grader. Pure.

https://platform.openai.com/docs/api-reference/fine-tuning/reinforcement-input
https://learn.microsoft.com/azure/ai-foundry/openai/how-to/reinforcement-fine-tuning
"""

from typing import Any, Final

from datasets.build import columns
from datasets.build.convert import ROLES, asked, talk, tools_for
from datasets.build.lines import CannotExpress, Counter, Line, Refusal, line_of
from datasets.build.material import Material
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
