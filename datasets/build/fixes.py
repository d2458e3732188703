"""What helps against a problem: another recipe, so that the next build has it not, or a mended line. Pure.

A build is mended by its recipe, since its file is made from what is stored; an uploaded file by its lines.
"""

import codecs
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from datasets.build import files
from datasets.build.checks import INPUT_KEYS, LINE_KEYS, MESSAGE_KEYS, OLD_OUTPUTS, talks
from datasets.build.format_rules import RULES, SFT
from datasets.models import Purpose
from datasets.recipe import PERSONAL, Recipe

VALIDATION_PERCENT: Final = 10
# Names of roles in the files of other tools.
_ROLES: Final = {
    "developer": "system",
    "human": "user",
    "prompter": "user",
    "ai": "assistant",
    "bot": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}

Value = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fix:
    """`words` say what is done. `recipe` gives a changed recipe, `line` a changed line of this purpose.

    One that `removes` leaves the line out; a builder does that by hand or finds that the build has done it.
    """

    words: str
    recipe: Callable[[Recipe], Recipe] | None = None
    line: Callable[[Value, str], Value] | None = None
    removes: bool = False


def fixed(line: bytes, code: str, purpose: str = SFT) -> bytes | None:
    """A line (without its line end) without the problem: empty to leave it out, None where nothing helps."""
    rule = RULES.get(code)
    fix = FIXES.get(rule.fix) if rule is not None else None
    if fix is None:
        return None
    if fix.line is None:
        return b"" if fix.removes else None
    try:
        value = json.loads(line.removeprefix(codecs.BOM_UTF8))
        written = files.as_line(fix.line(value, purpose) if isinstance(value, dict) else value)
    except (ValueError, RecursionError):
        return None
    return written.rstrip(b"\n")


def changed(recipe: Recipe, name: str) -> Recipe | None:
    """The recipe with this fix; None where it is not the recipe that helps, or helps already."""
    fix = FIXES.get(name)
    if fix is None or fix.recipe is None:
        return None
    made = fix.recipe(recipe)
    return None if made == recipe else made


# Of a recipe.


def _dropping(rule: str) -> Callable[[Recipe], Recipe]:
    def drop(recipe: Recipe) -> Recipe:
        return recipe if rule in recipe.drop else replace(recipe, drop=(*recipe.drop, rule))

    return drop


def _replacing_personal(recipe: Recipe) -> Recipe:
    kinds = tuple(dict.fromkeys((*recipe.personal.kinds, *PERSONAL)))
    return replace(recipe, personal=replace(recipe.personal, kinds=kinds))


def _with_validation(recipe: Recipe) -> Recipe:
    if recipe.split.validation:
        return recipe
    return replace(recipe, split=replace(recipe.split, validation=VALIDATION_PERCENT))


# Of a line.


def _messages(value: Value) -> Iterator[Value]:
    for messages in talks(value):
        yield from messages


def _same(value: Value, purpose: str) -> Value:
    """Reading and writing it again is all that is needed."""
    return value


def _whole(value: Any) -> Any:
    """The value with a sign of replacement for each half character, in keys too."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(entry) for entry in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(entry) for key, entry in value.items()}
    return value


def _replace_halves(value: Value, purpose: str) -> Value:
    return {_whole(key): _whole(entry) for key, entry in value.items()}


def _remove_unknown_keys(value: Value, purpose: str) -> Value:
    known = LINE_KEYS.get(Purpose(purpose))
    made = {key: entry for key, entry in value.items() if known is None or key in known}
    if purpose == Purpose.PREFERENCE and isinstance(made.get("input"), dict):
        made["input"] = {key: entry for key, entry in made["input"].items() if key in INPUT_KEYS}
    for message in _messages(made):
        for key in message.keys() - MESSAGE_KEYS:
            del message[key]
    return made


def _remove_nulls(value: Value, purpose: str) -> Value:
    made = {key: entry for key, entry in value.items() if entry is not None}
    for holder in (made.get("input"), *_messages(made)):
        if isinstance(holder, dict):
            for key in [key for key, entry in holder.items() if entry is None]:
                del holder[key]
    return made


def _name_roles(value: Value, purpose: str) -> Value:
    for message in _messages(value):
        role = message.get("role")
        if isinstance(role, str):
            message["role"] = _ROLES.get(role.lower(), role.lower())
    return value


def _drop_trailing(value: Value, purpose: str) -> Value:
    last = "user" if purpose == Purpose.REINFORCEMENT else "assistant"
    messages = value.get("messages")
    if isinstance(messages, list):
        while messages and not (isinstance(messages[-1], dict) and messages[-1].get("role") == last):
            messages.pop()
    return value


def _mend_weights(value: Value, purpose: str) -> Value:
    for message in _messages(value):
        weight = message.get("weight", 1)
        if message.get("role") != "assistant" or weight not in (0, 1):
            message.pop("weight", None)
        elif "weight" in message:
            message["weight"] = int(weight)
    return value


def _train_on_last(value: Value, purpose: str) -> Value:
    answers = [message for message in _messages(value) if message.get("role") == "assistant"]
    if answers:
        answers[-1]["weight"] = 1
    return value


def _remove_parallel(value: Value, purpose: str) -> Value:
    for holder in (value, value.get("input")):
        if isinstance(holder, dict):
            holder.pop("parallel_tool_calls", None)
    return value


def _rename_outputs(value: Value, purpose: str) -> Value:
    made = {OLD_OUTPUTS.get(key, key): entry for key, entry in value.items()}
    for name in OLD_OUTPUTS.values():
        if isinstance(made.get(name), dict):  # the older format had one message
            made[name] = [made[name]]
    return made


def _wrap_item(value: Value, purpose: str) -> Value:
    return {"item": value}


FIXES: Final = {
    "leave_out": Fix("Leave the row out", removes=True),
    "remove_bom": Fix(
        "Write no byte order mark", lambda recipe: replace(recipe, byte_order_mark=False), _same
    ),
    "escape_line_ends": Fix("Write these characters as escapes, which mean the same", line=_same),
    "replace_half_characters": Fix("Put the sign for an unknown character there", line=_replace_halves),
    "remove_unknown_keys": Fix("Remove the keys that are not known", line=_remove_unknown_keys),
    "remove_nulls": Fix("Remove keys without a value", line=_remove_nulls),
    "known_roles": Fix("Name the roles as the format does (developer becomes system)", line=_name_roles),
    "drop_trailing": Fix("Remove the messages after the last that counts", line=_drop_trailing),
    "mend_weights": Fix("Remove weights that are wrong", line=_mend_weights),
    "train_on_last": Fix(
        "Train on the last answer", lambda recipe: replace(recipe, train_on="last"), _train_on_last
    ),
    "remove_parallel": Fix("Remove `parallel_tool_calls`", line=_remove_parallel),
    "rename_outputs": Fix("Give the outputs their names of today", line=_rename_outputs),
    "wrap_item": Fix("Make the whole object the item", line=_wrap_item),
    "drop_empty": Fix("Leave out empty answers", _dropping("empty"), removes=True),
    "drop_refusals": Fix("Leave out refusals", _dropping("refusal"), removes=True),
    "drop_truncated": Fix("Leave out answers that were cut off", _dropping("truncated"), removes=True),
    "drop_filtered": Fix("Leave out answers that a filter stopped", _dropping("filtered"), removes=True),
    "use_corrections": Fix("Use corrections", lambda recipe: replace(recipe, use_corrections=True)),
    "only_approved": Fix("Use only what is approved", lambda recipe: replace(recipe, only_approved=True)),
    "replace_personal": Fix("Replace personal data", _replacing_personal),
    "leave_out_long": Fix(
        "Leave out what is too long", lambda recipe: replace(recipe, leave_out_long=True), removes=True
    ),
    "leave_out_duplicates": Fix(
        "Leave out repetitions", lambda recipe: replace(recipe, duplicates=recipe.duplicates or "exact"),
        removes=True,
    ),
    "add_validation": Fix(f"Set {VALIDATION_PERCENT} % apart for validation", _with_validation),
}  # fmt: skip
