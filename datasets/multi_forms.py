"""The form of several graders together: forms within a form, and the formula that makes one score of all."""

from collections.abc import Mapping
from typing import Any

from django import forms

from datasets.evaluate import formula as formulas
from datasets.evaluate import graders
from datasets.evaluate.graders import ANSWER, REFERENCE
from datasets.models import Grader
from datasets.python_forms import CodeForm, code

EXACT: Mapping[str, Any] = {"input": ANSWER, "reference": REFERENCE, "operation": "eq"}
CLOSE: Mapping[str, Any] = {
    "input": ANSWER,
    "reference": REFERENCE,
    "evaluation_metric": "rouge_l",
    "pass_threshold": 0.5,
}
ANSWERS: Mapping[str, Any] = {"input": ANSWER, "check": "answers", "value": ""}
SHORT: Mapping[str, Any] = {"input": ANSWER, "check": "max_words", "value": "100"}
BAD_NAME = "The formula cannot say this name: letters, digits and _ only, none of a function."


class MultiForm(CodeForm):
    """Its parts are forms of other graders. A button names the form that it changes, then what it changes:
    `add=g0:string_check` adds a part to the form with the prefix g0, `remove=g0:2` takes number 2 away.
    """

    sort = makes = Grader.Kind.MULTI
    template = "datasets/evaluate/grader_multi.html"

    calculate_output = forms.CharField(
        max_length=formulas.LONGEST,
        label="Formula",
        widget=code(2),
        help_text="Of the names above: + - * / ^, min, max, abs, floor, ceil, exp, sqrt, log.",
    )
    pass_threshold = forms.FloatField(label="Passes from", widget=forms.NumberInput(attrs={"step": "any"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: What the forms of the parts are made with as well, for example who is asked.
        self.beside = {name: value for name, value in kwargs.items() if name not in OWN_ARGUMENTS}
        super().__init__(*args, **{name: kwargs[name] for name in kwargs if name in OWN_ARGUMENTS})
        self.parts = self._posted() if self.is_bound else self._saved()

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        if has_reference:
            parts = {"exact": ("string_check", EXACT), "close": ("text_similarity", CLOSE)}
        else:
            parts = {"answers": ("check", ANSWERS), "short": ("check", SHORT)}
        params = {
            "graders": {
                name: {"kind": kind, "params": dict(params)} for name, (kind, params) in parts.items()
            },
            "calculate_output": f"0.5 * {' + 0.5 * '.join(parts)}",
            "pass_threshold": 0.5,
        }
        return {"name": "Several together", "kind": str(cls.makes), "params": params}

    @property
    def asks(self) -> bool:
        """Whether one of its parts asks a model."""
        return any(getattr(part, "asks", False) for part in self.parts)

    @property
    def can_add(self) -> bool:
        return len(self.parts) < graders.MOST_INNER

    @property
    def offered(self) -> list[tuple[str, str]]:
        """The forms of parts that can be added: what a button says, and its title."""
        return [(f"{self.prefix}:{sort}", title) for sort, title in _registry().titles(inner=True)]

    def params(self) -> dict[str, Any]:
        return {
            "graders": {
                part.cleaned_data["name"]: {"kind": part.grader()["kind"], "params": part.grader()["params"]}
                for part in self.parts
            },
            "calculate_output": self.cleaned_data["calculate_output"],
            "pass_threshold": self.cleaned_data["pass_threshold"],
        }

    def clean(self) -> dict[str, Any]:
        seen: set[str] = set()
        for part in self.parts:
            if not part.is_bound:  # it was added a moment ago, and nothing is kept before it is filled in
                return forms.Form.clean(self) or {}
            if not part.is_valid():
                self.add_error(None, f"“{part['name'].value()!s:.40}” cannot grade yet: see below.")
                continue
            name = part.cleaned_data["name"]
            if not formulas.can_say(name):
                part.add_error("name", BAD_NAME)
            elif name in seen:
                part.add_error("name", "Another one has this name.")
            seen.add(name)
            if part.errors:
                self.add_error(None, f"“{name:.40}” needs another name.")
        return super().clean()

    def _posted(self) -> list[Any]:
        """The parts as typed, one more or one less if a button of this form asked for that."""
        asked = {name: self.data.get(name, "").partition(f"{self.prefix}:")[2] for name in ("add", "remove")}
        parts = [
            self._part(number, sort, data=self.data)
            for number in range(graders.MOST_INNER)
            if (sort := self.data.get(f"{self.prefix}-p{number}-kind", ""))
            and asked["remove"] != str(number)
            and _registry().has(sort, inner=True)
        ]
        if _registry().has(asked["add"], inner=True) and len(parts) < graders.MOST_INNER:
            free = min(set(range(graders.MOST_INNER)) - {part.number for part in parts})
            begun = _registry().first(asked["add"], has_reference=self.has_reference)
            parts.append(self._begun(free, f"part_{free + 1}", begun))
        return parts

    def _saved(self) -> list[Any]:
        saved: Mapping[str, Any] = self.initial.get("graders") or {}
        return [self._begun(number, name, part) for number, (name, part) in enumerate(saved.items())]

    def _begun(self, number: int, name: str, grader: Mapping[str, Any]) -> Any:
        sort = _registry().sort_of(grader["kind"], grader["params"])
        return self._part(number, sort, initial={**grader["params"], "name": name})

    def _part(self, number: int, sort: str, **kwargs: Any) -> Any:
        part = _registry().make(
            sort,
            prefix=f"{self.prefix}-p{number}",
            number=number,
            has_reference=self.has_reference,
            **self.beside,
            **kwargs,
        )
        part.fields["name"].label = "Name in the formula"
        return part


OWN_ARGUMENTS = ("data", "files", "prefix", "initial", "number", "has_reference")


def _of(kind: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "params": dict(params)}


def _registry() -> Any:
    from datasets import grader_forms  # which holds this form too

    return grader_forms
