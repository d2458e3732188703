"""The forms of the first steps of the Evaluate wizard: what is measured on, and compared with what."""

from collections.abc import Collection, Sequence
from typing import Any

from django import forms

from datasets.build.columns import CORRECTION, ELSE_META, META
from datasets.evaluate import targets
from datasets.evaluate.shape import INPUT, OUTPUT, REFERENCE
from datasets.evaluate.targets import Target
from datasets.models import DatasetVersion
from datasets.upload_forms import HELP
from portal.models import Connection

NO_REFERENCE = "none"
ALL = "all"
NO_CORRECTION = "No row has a correction yet, so every stored answer would be measured against itself."


class DataForm(forms.Form):
    name = forms.CharField(
        max_length=120, label="Name", help_text="How you and others will find the evaluation again."
    )

    def clean_name(self) -> str:
        return " ".join(str(self.cleaned_data["name"]).split())


class PartForm(DataForm):
    """Which part of a version; nothing to ask where it has one only."""

    part = forms.ChoiceField(widget=forms.RadioSelect, label="Rows")

    def __init__(self, *args: Any, version: DatasetVersion, parts: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["part"]
        if parts:
            choice.choices = [
                *((part.name, f"The {part.name} part, {part.rows:,} rows") for part in parts),
                (ALL, f"All {version.rows:,} rows"),
            ]
        else:
            del self.fields["part"]

    def chosen(self) -> str:
        """The name of the part, empty for the whole."""
        part = self.cleaned_data.get("part", ALL)
        return "" if part == ALL else str(part)


class ColumnsForm(DataForm):
    """Which columns of a file are the input, the stored answer and the reference."""

    input = forms.ChoiceField(label="Input", help_text="What is sent: a text, or a list of messages.")
    output = forms.ChoiceField(
        label="Stored answer", required=False, help_text="An answer that is there already, to be measured."
    )
    reference = forms.ChoiceField(
        label="Reference",
        required=False,
        help_text="What answers are compared with.",
    )

    def __init__(self, *args: Any, columns: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [(name, name[:80]) for name in columns]
        chosen: Any = self.fields
        chosen[INPUT].choices = names
        chosen[OUTPUT].choices = [("", "None"), *names]
        chosen[REFERENCE].choices = [("", "None"), *names]
        if not names:
            del self.fields[INPUT], self.fields[OUTPUT], self.fields[REFERENCE]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get(OUTPUT) and data.get(OUTPUT) == data.get(INPUT):
            self.add_error(OUTPUT, "This column is the input. Choose another one, or none.")
        if data.get(REFERENCE) and data.get(REFERENCE) == data.get(INPUT):
            self.add_error(REFERENCE, "This column is the input. Choose another one, or none.")
        return data


class FileForm(DataForm):
    """A file of items, and to whom its rows belong."""

    connections = forms.ModelMultipleChoiceField(
        queryset=Connection.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        label="Belongs to",
        help_text=HELP,
        error_messages={"required": "Choose the connections that the rows belong to."},
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["connections"]
        choice.queryset = Connection.objects.actionable_by(user).order_by("name")
        if choice.queryset.count() == 1:
            choice.initial = list(choice.queryset)


class ReferenceForm(forms.Form):
    """`reference` is `answer`, `correction`, `none`, or one of those that the rows offer."""

    reference = forms.CharField(max_length=220)
    else_key = forms.CharField(max_length=200, required=False)

    def __init__(
        self,
        *args: Any,
        offered: Collection[str],
        chosen: Sequence[Target],
        corrections: int | None = None,
        answers: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.offered, self.chosen = offered, chosen
        self.corrections, self.answers = corrections, answers

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        value = str(data.get("reference", ""))
        if value == NO_REFERENCE:
            data["reference"] = ""
            return data
        key = str(data.get("else_key", ""))
        allowed = {*self.offered, *(("answer",) if self.answers else ())}
        allowed |= {CORRECTION} if self.corrections is not None else set()
        if value not in allowed or (value == CORRECTION and key and f"{META}{key}" not in self.offered):
            self.add_error("reference", "Choose one of the references.")
            return data
        data["reference"] = f"{ELSE_META}{key}" if value == CORRECTION and key else value
        problem = targets.problem_of(value, self.chosen)
        if value == CORRECTION and not self.corrections and any(not each.is_fresh for each in self.chosen):
            problem = NO_CORRECTION
        if problem:
            self.add_error("reference", problem)
        return data
