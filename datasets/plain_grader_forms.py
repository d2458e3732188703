"""Forms of graders that need no model: strings compared, texts compared, and ready-made checks."""

from typing import Any

from django import forms

from datasets.evaluate import graders
from datasets.evaluate.checks import CHECKS
from datasets.evaluate.graders import ANSWER, MAX_TEMPLATE, REFERENCE
from datasets.evaluate.metrics import METRICS
from datasets.lines_forms import LinesInput
from datasets.models import Grader
from datasets.python_forms import FORMS as WITH_FORMS_OF_THEIR_OWN
from datasets.python_forms import CodeForm

NO_REFERENCE = "This evaluation has no reference. Write a text here, or choose a reference first."


class PlainForm(CodeForm):
    """One grader that compares a text with another one."""

    template = "datasets/evaluate/grader_plain.html"
    held_against = "reference"
    own: tuple[str, ...] = ()

    input = forms.CharField(max_length=MAX_TEMPLATE, label="Text", widget=LinesInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("input", self.held_against):
            self.fields[name].widget.attrs.update({"class": "mono", "spellcheck": "false"})

    def params(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("input", *self.own) if name in self.cleaned_data}

    def clean(self) -> dict[str, Any]:
        data = forms.Form.clean(self) or {}
        if not self.errors:
            for field, problem in graders.validate(self.makes, self.params()).items():
                self.add_error(field, problem)
        if not self.errors and not self.has_reference and graders.needs_reference(self.makes, self.params()):
            self.add_error(self.held_against, NO_REFERENCE)
        return data

    @property
    def first_row(self) -> list[forms.BoundField]:
        return [self["name"], self[self.own[0] if self.own[0] != "reference" else self.own[1]]]

    @property
    def second_row(self) -> list[forms.BoundField]:
        return [self["input"], self[self.held_against]]


class StringForm(PlainForm):
    sort = makes = Grader.Kind.STRING_CHECK
    own = ("operation", "reference")

    operation = forms.ChoiceField(
        choices=[(name, operation.label) for name, operation in graders.OPERATIONS.items()],
        label="Passes if it",
    )
    reference = forms.CharField(max_length=MAX_TEMPLATE, label="Reference", strip=False, widget=LinesInput)

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        name = "Contains the reference" if has_reference else "Contains"
        params = {"input": ANSWER, "reference": REFERENCE if has_reference else "", "operation": "ilike"}
        return {"name": name, "kind": str(cls.makes), "params": params}


class SimilarityForm(PlainForm):
    sort = makes = Grader.Kind.TEXT_SIMILARITY
    own = ("evaluation_metric", "reference", "pass_threshold")

    evaluation_metric = forms.ChoiceField(choices=[(name, name) for name in METRICS], label="Metric")
    reference = forms.CharField(max_length=MAX_TEMPLATE, label="Reference", strip=False, widget=LinesInput)
    pass_threshold = forms.FloatField(
        min_value=0,
        max_value=1,
        label="Passes from",
        help_text="0 to 1",
        widget=forms.NumberInput(attrs={"step": "any"}),
    )

    @property
    def explained(self) -> str:  # type: ignore[override]  # what it follows depends on the metric
        return graders.explain(self.sort, {"evaluation_metric": self["evaluation_metric"].value()})

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        params = {
            "input": ANSWER,
            "reference": REFERENCE if has_reference else "",
            "evaluation_metric": "rouge_l",
            "pass_threshold": 0.5,
        }
        return {"name": "Close to the reference", "kind": str(cls.makes), "params": params}


class CheckForm(PlainForm):
    sort = makes = Grader.Kind.CHECK
    own = ("check", "value")
    held_against = "value"

    check = forms.ChoiceField(
        choices=[
            (name, check.label) for name, check in CHECKS.items() if name not in WITH_FORMS_OF_THEIR_OWN
        ],
        label="Passes if it",
    )
    value = forms.CharField(
        max_length=MAX_TEMPLATE,
        label="Held against",
        required=False,
        strip=False,
        widget=LinesInput,
        help_text="The text, expression, number or language that the check names; empty where it names none.",
    )

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        params = {"input": ANSWER, "check": "answers", "value": ""}
        return {"name": "Answers", "kind": str(cls.makes), "params": params}
