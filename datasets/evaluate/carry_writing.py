"""Graders as a file for elsewhere, with what of them stays behind. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets.evaluate import openai_evals, promptfoo, promptfoo_export, template
from datasets.evaluate.carry import NotCarried
from datasets.evaluate.carry_reading import Format

Named = tuple[str, str, Mapping[str, Any]]  # name, kind, params
_MEDIA: Mapping[Format, tuple[str, str]] = {
    "openai": ("application/json", "json"),
    "promptfoo": ("application/yaml", "yaml"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """One grader on its way: `reason` says why it stays behind, `notes` what is not quite the same there."""

    name: str
    kind: str
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A file, and what became of each grader."""

    text: str
    media: str
    ending: str
    told: tuple[Told, ...]

    @property
    def carried(self) -> int:
        return sum(not told.reason for told in self.told)


def write(graders: Sequence[Named], wanted: Format, name: str) -> Written:
    """The graders in a format; those without an equal in it are told and not in the file."""
    if wanted == "openai":
        made = [openai_evals.criterion_of(*grader) for grader in graders]
    else:
        made, _ = promptfoo.told_of(graders)
    lost_of = openai_evals.lost_of if wanted == "openai" else promptfoo_export.lost_of
    told = [
        Told(called, kind, one.reason)
        if isinstance(one, NotCarried)
        else Told(called, kind, "", tuple(lost_of(kind, params)))
        for (called, kind, params), one in zip(graders, made, strict=True)
    ]
    text = _definition(graders, name) if wanted == "openai" else promptfoo.written(graders)
    return Written(text, *_MEDIA[wanted], tuple(told))


def _definition(graders: Sequence[Named], name: str) -> str:
    """The body of POST /evals, whose items have the columns that its criteria name."""
    made = [openai_evals.criterion_of(*grader) for grader in graders]
    criteria = [criterion for criterion in made if not isinstance(criterion, NotCarried)]
    columns = sorted({column for criterion in criteria for column in _columns(criterion)})
    definition = {
        "name": name,
        "data_source_config": {
            "type": "custom",
            "item_schema": {
                "type": "object",
                "properties": {column: _COLUMNS.get(column, {"type": "string"}) for column in columns},
                "required": columns,
            },
            "include_sample_schema": True,
        },
        "testing_criteria": criteria,
    }
    return json.dumps(definition, ensure_ascii=False, indent=2) + "\n"


_COLUMNS: Mapping[str, Any] = {
    "input": {"type": "array", "items": {"type": "object"}},
    "metadata": {"type": "object"},
}


def _columns(value: Any) -> Iterable[str]:
    """The columns of the item that the templates anywhere in a criterion name."""
    if isinstance(value, str):
        try:
            parts = template.parse(value)
        except template.Broken:
            return
        for part in parts:
            if not isinstance(part, str) and part[0] == "item" and isinstance(part[1], str):
                yield part[1]
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _columns(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _columns(inner)
