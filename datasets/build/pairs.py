"""A stored conversation as a preference pair, or as the half of one. Pure.

https://platform.openai.com/docs/api-reference/fine-tuning/preference-input
https://learn.microsoft.com/azure/ai-foundry/openai/how-to/fine-tuning-direct-preference-optimization
"""

from dataclasses import replace
from typing import Any

from completions.conversation import Conversation, Message, Part
from datasets.build.convert import answered, asked, talk, tools_for
from datasets.build.lines import CannotExpress, Counter, Line, Refusal, line_of
from datasets.build.material import Material
from datasets.build.rewrite import corrected
from datasets.recipe import Recipe

PREFERRED, OTHER = "preferred_output", "non_preferred_output"


def preference(material: Material, recipe: Recipe, counter: Counter) -> Line | Refusal:
    """The pair of a row that was corrected, or one half of a pair, as the recipe finds pairs.

    From corrections: the corrected answer over the original. From ratings or two models: a half and its side,
    `{"input": …, "output": […]}`; `joined` makes a line of two.
    """
    try:
        if recipe.pairs.source == "corrections":
            return line_of(_corrected(material), material, counter)
        side = side_of(material, recipe)
        conversation = (
            corrected(material) if side == "+" and recipe.use_corrections else material.conversation
        )
        answer = answered(conversation) if side == "+" else _worse(conversation)
        data = _input(material, output := talk((answer,)))
    except CannotExpress as problem:
        return Refusal(problem.reason)
    return line_of({**data, "output": output}, material, counter, side=side)


def joined(better: dict[str, Any], worse: dict[str, Any]) -> dict[str, Any]:
    """The line of two halves that ask the same; every tool that either was given is defined."""
    given = better["input"]
    names = {tool["function"].get("name") for tool in given.get("tools", ())}
    more = [tool for tool in worse["input"].get("tools", ()) if tool["function"].get("name") not in names]
    if more:
        given = {**given, "tools": [*given.get("tools", ()), *more]}
    return {"input": given, PREFERRED: better["output"], OTHER: worse["output"]}


def side_of(material: Material, recipe: Recipe) -> str:
    """+ for an answer to prefer, - for the other. Raises CannotExpress where a row is neither."""
    if recipe.pairs.source == "ratings":
        side = {"good": "+", "bad": "-"}.get(material.rating)
        if side is None:
            raise CannotExpress("not_rated")
        return side
    if material.model == recipe.pairs.preferred:
        return "+"
    if material.model == recipe.pairs.other:
        return "-"
    raise CannotExpress("neither_model")


def _corrected(material: Material) -> dict[str, Any]:
    asked(material)
    if material.correction is None:
        raise CannotExpress("no_correction")
    after = corrected(material)
    better, worse = answered(after), _worse(material.conversation)
    preferred, other = talk((better,)), talk((worse,))
    if (
        preferred[0].get("tool_calls") == other[0].get("tool_calls")
        and better.text.split() == worse.text.split()
    ):
        raise CannotExpress("same_answer")
    return {**_input(material, preferred, other), PREFERRED: preferred, OTHER: other}


def _worse(conversation: Conversation) -> Message:
    """The answer that is not preferred; a refusal too, as the text that it says."""
    answer = conversation.answer
    if answer is not None and answer.refusal and not answer.text and not answer.tool_calls:
        said = Part("text", text=answer.refusal, raw=answer.refusal)
        return replace(answer, parts=(said,), refusal="")
    return answered(conversation)


def _input(material: Material, *outputs: list[dict[str, Any]]) -> dict[str, Any]:
    messages = talk(asked(material))
    return {"input": {"messages": messages, **tools_for(material.conversation, messages, *outputs)}}
