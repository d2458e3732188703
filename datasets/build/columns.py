"""What stands beside the messages of an item: the reference to measure by, and further fields. Pure.

Names of metadata and labels were written by people, and a grader's template names the field, so a name is
made one that every template can say.
"""

import json
import re
from collections.abc import Iterable, Iterator, Set
from typing import Any, Final

from completions.conversation import Conversation
from datasets.build.lines import CannotExpress
from datasets.build.material import Material
from datasets.build.rewrite import corrected
from datasets.recipe import Recipe

META: Final = "meta:"  # of a reference: what follows is the key
LABEL: Final = "label:"  # of a reference: what follows is the label's name
COLUMN: Final = "column:"  # of a reference: what follows is a column that the items have
CORRECTION: Final = "correction"
ELSE_META: Final = f"{CORRECTION}+{META}"  # the correction, else the stored answer, else this key
REFERENCE: Final = "reference"
LONGEST_NAME: Final = 48
_KINDS: Final = ("meta.", "label.")
_UNSAFE = re.compile(r"[^a-z0-9_]+")


def reference_of(material: Material, recipe: Recipe) -> dict[str, Any]:
    """`{"reference": text}` as the recipe wants it, or nothing. Raises CannotExpress where a row has none.

    With `correction` the reference is the answer as it should have been: the corrected one, else the stored
    one unless somebody said that it is bad. `correction+meta:<key>` takes the value of the key where both are
    missing.
    """
    wanted = recipe.reference
    if not wanted:
        return {}
    if wanted.startswith(META):
        return {REFERENCE: _of_metadata(material, wanted.removeprefix(META))}
    if wanted.startswith(LABEL):
        name = wanted.removeprefix(LABEL)
        if not material.labels.get(name):
            raise CannotExpress(f"It has no label “{name[:60]}”")
        return {REFERENCE: material.labels[name]}
    if wanted.startswith(ELSE_META):
        try:
            return _of_answer(material, CORRECTION)
        except CannotExpress:
            return {REFERENCE: _of_metadata(material, wanted.removeprefix(ELSE_META))}
    return _of_answer(material, wanted)


def _of_metadata(material: Material, key: str) -> str:
    value = material.metadata.get(key)
    if not isinstance(value, str) or not value:
        raise CannotExpress(f"It has no metadata “{key[:60]}”")
    return value


def _of_answer(material: Material, wanted: str) -> dict[str, Any]:
    conversation = material.conversation
    if wanted == CORRECTION:
        if material.correction is None and (material.state == "rejected" or material.rating == "bad"):
            raise CannotExpress("answer_not_good")
        conversation = corrected(material)
    text = said(conversation)
    if not text.strip():
        raise CannotExpress("empty_answer")
    return {REFERENCE: text}


def said(conversation: Conversation) -> str:
    """What the answer says as one text: its words, else its refusal, else the calls that it makes."""
    answer = conversation.answer
    if answer is None:
        raise CannotExpress("no_answer")
    return answer.text or answer.refusal


def further(material: Material, recipe: Recipe, taken: Set[str]) -> dict[str, str]:
    """The recipe's columns with the values of this row; an absent value is an empty text.

    Every row of a file has every field, as a grader that names an absent one fails the job.
    """
    return {name: _value(material, column) for column, name in names(recipe.columns, taken).items()}


def names(columns: Iterable[str], taken: Set[str] = frozenset()) -> dict[str, str]:
    """By column, the name of its field: letters, digits and _, unique, and none of `taken`."""
    used = {*taken, REFERENCE}
    made: dict[str, str] = {}
    for column in dict.fromkeys(columns):
        name = next(free for free in _candidates(column) if free not in used)
        used.add(name)
        made[column] = name
    return made


def _candidates(column: str) -> Iterator[str]:
    """The plain name first, then with its kind before it, then numbered."""
    kind, _, rest = column.partition(".")
    plain = _UNSAFE.sub("_", rest.casefold()).strip("_")[:LONGEST_NAME] or kind
    plain = plain if plain[0].isalpha() else f"{kind}_{plain}"
    yield plain
    yield f"{kind}_{plain}"
    number = 2
    while True:
        yield f"{kind}_{plain}_{number}"
        number += 1


def _value(material: Material, column: str) -> str:
    kind, _, key = column.partition(".")
    if kind == "meta":
        value = material.metadata.get(key, "")
        return value if isinstance(value, str) else json.dumps(value, default=str)
    return material.labels.get(key, "") if kind == "label" else ""
