"""Forms of graders whose main field is a text of its own: a Python source, a JSON schema, tool calls."""

from typing import Any

from django import forms

from datasets.evaluate import graders, python_graders, python_source
from datasets.evaluate.checks import CHECKS
from datasets.evaluate.graders import ANSWER, MAX_TEMPLATE
from datasets.models import Grader

SCHEMA, TOOL_CALLS = "schema", "tool_calls"  # checks with a form of their own
STORED_CALLS, REFERENCE_CALLS, TYPED = "{{ item.output_tools }}", "{{ item.reference }}", "typed"
FIRST_SOURCE = """\
def grade(sample, item) -> float:
    answer = sample["output_text"].strip()
    return 1.0 if answer == item["reference"].strip() else 0.0
"""
FIRST_SOURCE_ALONE = """\
def grade(sample, item) -> float:
    words = sample["output_text"].split()
    return min(1.0, 50 / max(1, len(words)))
"""
FIRST_SCHEMA = """\
{
  "type": "object",
  "properties": {"answer": {"type": "string"}},
  "required": ["answer"],
  "additionalProperties": false
}"""
FIRST_CALLS = '[{"name": "weather", "arguments": {"city": "Oslo"}}]'
NO_REFERENCE = "This evaluation has no reference. Do without it, or choose a reference first."


def code(rows: int) -> forms.Textarea:
    """A field for code: letters of one width, and nothing that the browser would correct."""
    return forms.Textarea(
        attrs={"class": "mono code", "rows": rows, "spellcheck": "false", "autocapitalize": "off"}
    )


class CodeForm(forms.Form):
    """One grader; the kinds below say what its fields are.

    `sort` tells the forms apart: it is the kind of the grader, or the check where that has a form of its own.
    """

    sort = ""
    makes = Grader.Kind.CHECK
    template = "datasets/evaluate/grader_code.html"
    explained = ""

    kind = forms.CharField(max_length=20, widget=forms.HiddenInput)
    name = forms.CharField(max_length=80, label="Name")

    def __init__(self, *args: Any, number: int = 0, has_reference: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.number, self.has_reference = number, has_reference
        self.initial["kind"] = self.sort

    @property
    def title(self) -> str:
        return str(Grader.Kind(self.makes).label)

    @property
    def note(self) -> str:
        """What is to be known before one saves it; empty if nothing."""
        return ""

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        """A grader to begin with, as `grader()` gives it."""
        raise NotImplementedError

    def params(self) -> dict[str, Any]:
        """The parameters, from fields that have no errors."""
        raise NotImplementedError

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        params = self.params()
        for field, problem in graders.validate(self.makes, params).items():
            self.add_error(field, problem)
        if not self.errors and not self.has_reference and graders.needs_reference(self.makes, params):
            self.add_error(None, NO_REFERENCE)
        return data

    def add_error(self, field: str | None, error: Any) -> None:
        """What is wrong with something that is no field of this form is said above it."""
        super().add_error(field if field in self.fields else None, error)

    def grader(self) -> dict[str, Any]:
        return {"name": self.cleaned_data["name"], "kind": str(self.makes), "params": self.params()}


class PythonForm(CodeForm):
    """A source that gives the score."""

    sort = makes = Grader.Kind.PYTHON

    source = forms.CharField(
        max_length=python_source.LONGEST,
        label="Source",
        strip=False,
        widget=code(8),
        help_text="grade(sample, item) returns a number. It runs locked away: Python's library, no network,"
        " no files, 5 seconds for an answer.",
    )
    pass_threshold = forms.FloatField(label="Passes from", widget=forms.NumberInput(attrs={"step": "any"}))

    @property
    def note(self) -> str:
        return python_graders.off_because()

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        source = FIRST_SOURCE if has_reference else FIRST_SOURCE_ALONE
        return {
            "name": "Python",
            "kind": str(cls.makes),
            "params": {"source": source, "pass_threshold": 1.0 if has_reference else 0.5},
        }

    def params(self) -> dict[str, Any]:
        source = str(self.cleaned_data["source"]).replace("\r\n", "\n")
        return {"source": source, "pass_threshold": self.cleaned_data["pass_threshold"]}

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if off := python_graders.off_because():
            self.add_error(None, f"{off} Remove this grader to go on.")
        return data


class SchemaForm(CodeForm):
    """A JSON schema that answers match."""

    sort = SCHEMA
    title = "Matches a schema"

    input = forms.CharField(
        max_length=MAX_TEMPLATE,
        label="Text",
        widget=forms.TextInput(attrs={"class": "mono", "spellcheck": "false"}),
    )
    value = forms.CharField(
        max_length=CHECKS[SCHEMA].longest,
        label="JSON schema",
        strip=False,
        widget=code(8),
        help_text="Draft 2020-12. References within the schema only; patterns are expressions of RE2.",
    )

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        params = {"input": ANSWER, "check": SCHEMA, "value": FIRST_SCHEMA}
        return {"name": "Matches the schema", "kind": str(cls.makes), "params": params}

    def params(self) -> dict[str, Any]:
        return {"input": self.cleaned_data["input"], "check": SCHEMA, "value": self.cleaned_data["value"]}


class ToolCallsForm(CodeForm):
    """The tools that an answer is to call: those of the stored answer, of the reference, or typed ones."""

    sort = TOOL_CALLS
    title = "Calls the tools"

    expected = forms.ChoiceField(
        choices=[
            (STORED_CALLS, "as the stored answer does"),
            (REFERENCE_CALLS, "as the reference says, in JSON"),
            (TYPED, "as written below"),
        ],
        label="Calls the tools",
    )
    value = forms.CharField(
        max_length=CHECKS[TOOL_CALLS].longest,
        required=False,
        label="Calls",
        strip=False,
        widget=code(6),
        help_text="Names and arguments in JSON, in any order; without arguments, any will do. Texts may name"
        " columns: {{ item.metadata.city }}",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        value = self.initial.get("value", "")
        if value in (STORED_CALLS, REFERENCE_CALLS):
            self.initial.update({"expected": value, "value": ""})
        elif value:
            self.initial.setdefault("expected", TYPED)
        self.fields["value"].widget.attrs["placeholder"] = FIRST_CALLS

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        params = {"check": TOOL_CALLS, "value": STORED_CALLS}
        return {"name": "Calls the same tools", "kind": str(cls.makes), "params": params}

    def params(self) -> dict[str, Any]:
        expected = self.cleaned_data["expected"]
        return {
            "check": TOOL_CALLS,
            "value": self.cleaned_data["value"] if expected == TYPED else expected,
        }


FORMS: dict[str, type[CodeForm]] = {form.sort: form for form in (PythonForm, SchemaForm, ToolCallsForm)}


def sort_of(kind: str, params: Any) -> str:
    """Which form a saved grader has: that of its kind, or of its check."""
    check = params.get("check")
    return check if kind == Grader.Kind.CHECK and check in FORMS else kind
