"""The launch step of Distill as a form: the numbers of a method, and variants that differ in some of them."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from datasets.base_models import TRAINING_TYPES
from datasets.build import reinforcement
from datasets.distill import LONGEST_SEED
from datasets.distill_forms import MODEL
from datasets.finetune.method import AUTO, NUMBERS, Method, Number

SUFFIX = re.compile(r"[A-Za-z0-9_-]{1,31}")
MOST_VARIANTS = 7  # beside the first
LONGEST_GRADER = 50_000
_THE_SAME = {"placeholder": "the same", "spellcheck": "false"}
_HELP: Mapping[str, str] = {
    "n_epochs": "Times that every row is trained on, 1 to 50.",
    "batch_size": "Rows per update, 1 to 256.",
    "learning_rate_multiplier": "Usually 0.02 to 2.",
    "beta": "How near the student stays to the base model: above 0, up to 2.",
    "reasoning_effort": "How long it thinks before it answers.",
    "compute_multiplier": "How much it explores: above 0.00001, up to 10.",
    "eval_interval": "Steps between two measurements on the validation rows.",
    "eval_samples": "Answers per validation row and measurement.",
}


class NumberField(forms.CharField):
    """A hyperparameter, or `auto`, which leaves it to the provider."""

    def __init__(self, number: Number, *, help_text: str = "", blank: str = AUTO) -> None:
        choices = [(AUTO, "auto"), *((each, each) for each in number.choices if each != AUTO)]
        widget = forms.Select(choices=choices) if number.choices and blank else forms.TextInput()
        super().__init__(
            required=False,
            max_length=12,
            label=number.label,
            initial=blank,
            help_text=help_text,
            widget=widget,
        )
        self.number = number
        self.empty: str | None = blank or None

    def clean(self, value: Any) -> Any:
        text = str(super().clean(value)).strip().lower()
        if not text:
            return self.empty
        try:
            return self.number.read(text)
        except ValueError as problem:
            raise ValidationError(str(problem)) from None


class LaunchForm(forms.Form):
    """How to train: the method's numbers, seed, suffix, and what Azure and reinforcement ask besides."""

    seed = forms.IntegerField(
        min_value=0, max_value=LONGEST_SEED, help_text="The same seed and rows give nearly the same model."
    )
    suffix = forms.CharField(
        max_length=31,
        required=False,
        strip=True,
        help_text="Becomes part of the model's name: at most 31 letters, digits, - and _.",
    )
    training_type = forms.CharField(
        max_length=40,
        strip=True,
        label="Training type",
        widget=forms.TextInput(attrs={"list": "training-types", "spellcheck": "false"}),
        help_text="Standard stays in the region, GlobalStandard is cheaper, Developer cheapest.",
    )
    grader = forms.CharField(
        max_length=LONGEST_GRADER,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "class": "mono"}),
        help_text="As the API takes it. It scores what the model tries, from 0 to 1.",
    )
    training_types = TRAINING_TYPES

    def __init__(
        self, *args: Any, method: str, azure: bool, fields: Sequence[str] = (), **kwargs: Any
    ) -> None:
        """`fields` are those that a row has, for a grader to name."""
        super().__init__(*args, **kwargs)
        self.method, self.row_fields = method, fields
        for number in NUMBERS[method]:
            self.fields[number.name] = NumberField(number, help_text=_HELP.get(number.name, ""))
        if not azure:
            del self.fields["training_type"]
        if method != Method.REINFORCEMENT:
            del self.fields["grader"]

    def numbers(self) -> list[forms.BoundField]:
        """The fields of the method, in their order."""
        return [self[number.name] for number in NUMBERS[self.method]]

    def clean_suffix(self) -> str:
        suffix = str(self.cleaned_data["suffix"])
        if suffix and not SUFFIX.fullmatch(suffix):
            raise ValidationError("Use letters, digits, - and _ only.")
        return suffix

    def clean_grader(self) -> dict[str, Any]:
        try:
            grader = json.loads(self.cleaned_data["grader"])
        except (ValueError, RecursionError):
            raise ValidationError("This is not JSON. Begin with one of the ready-made ones.") from None
        if not isinstance(grader, dict):
            raise ValidationError("A grader is one JSON object.")
        problems = reinforcement.check_grader(grader, self.row_fields)
        if problems:
            raise ValidationError([problem.text for problem in problems])
        return grader

    def values(self) -> dict[str, Any]:
        """What a fine-tune keeps of a form that is valid."""
        cleaned = self.cleaned_data
        return {
            "hyperparameters": {number.name: cleaned[number.name] for number in NUMBERS[self.method]},
            "seed": cleaned["seed"],
            "suffix": cleaned["suffix"],
            "training_type": cleaned.get("training_type", ""),
            "grader": cleaned.get("grader", {}),
        }


class VariantForm(forms.Form):
    """Another job on the same rows. What is left empty is as in the first."""

    base_model = forms.CharField(
        max_length=120,
        required=False,
        strip=True,
        label="Base model",
        widget=forms.TextInput(
            attrs={"list": "base-models", "spellcheck": "false", "placeholder": "the same"}
        ),
    )

    def __init__(self, *args: Any, method: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.method = method
        for number in NUMBERS[method]:
            field = NumberField(number, blank="")
            field.widget.attrs |= _THE_SAME
            self.fields[number.name] = field

    def clean_base_model(self) -> str:
        model = str(self.cleaned_data["base_model"])
        if model and not MODEL.fullmatch(model):
            raise ValidationError("A model's name has letters, digits and . _ : / - only.")
        return model

    def differs(self) -> bool:
        """Whether something was entered."""
        return any(value not in (None, "") for value in self.cleaned_data.values())

    def values(self, base_model: str, first: Mapping[str, Any]) -> dict[str, Any]:
        """The whole variant, with what it shares with the first."""
        numbers = {
            number.name: self.cleaned_data[number.name]
            for number in NUMBERS[self.method]
            if self.cleaned_data[number.name] is not None
        }
        return {
            **first,
            "base_model": self.cleaned_data["base_model"] or base_model,
            "hyperparameters": {**first["hyperparameters"], **numbers},
        }
