"""One form per step of Distill."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from datasets.base_models import TRAINING_TYPES
from datasets.distill import LONGEST_SEED
from portal.models import Connection

SUFFIX = re.compile(r"[A-Za-z0-9_-]{1,31}")
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,119}")
TRAIN_ON = (
    ("all", "Every answer in a conversation"),
    ("last", "Only the stored answer; earlier ones are context"),
)


class DataForm(forms.Form):
    """Step 1: what the dataset is called and what it teaches."""

    name = forms.CharField(max_length=120, label="Name of the dataset", strip=True)
    train_on = forms.ChoiceField(choices=TRAIN_ON, label="Train on", widget=forms.RadioSelect, initial="all")


class ModelForm(forms.Form):
    """Step 2: where to train, and which model in which version."""

    connection = forms.ModelChoiceField(Connection.objects.none(), label="Train on", empty_label=None)
    model = forms.CharField(max_length=120, required=False, label="Base model")
    version = forms.CharField(max_length=120, required=False, label="Version")
    other = forms.CharField(
        max_length=120,
        required=False,
        strip=True,
        label="Another model",
        help_text="With its version, for example gpt-4.1-mini-2025-04-14, or a model that you fine-tuned.",
    )

    def __init__(self, *args: Any, connections: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["connection"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = connections

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        chosen = values.get("other") or values.get("version") or ""
        if not chosen:
            self.add_error(
                "other" if not values.get("model") else "version", "Choose a base model and its version."
            )
        elif not MODEL.fullmatch(chosen):
            self.add_error("other", "A model's name has letters, digits and . _ : / - only.")
        values["base_model"] = chosen
        return values


class _AutoNumber(forms.CharField):
    """A number, or `auto`, which leaves the choice to the provider."""

    def __init__(self, *, whole: bool, low: float, high: float, label: str, help_text: str) -> None:
        super().__init__(required=False, initial="auto", max_length=12, label=label, help_text=help_text)
        self.whole, self.low, self.high = whole, low, high

    def clean(self, value: Any) -> Any:
        text = str(super().clean(value)).strip().lower()
        if text in ("", "auto"):
            return "auto"
        try:
            number: float = int(text) if self.whole else float(text)
        except ValueError:
            raise ValidationError("Enter a number or auto.") from None
        if not self.low <= number <= self.high:
            raise ValidationError(f"Enter auto or a number from {self.low:g} to {self.high:g}.")
        return number


class LaunchForm(forms.Form):
    """Step 4: how to train."""

    n_epochs = _AutoNumber(
        whole=True, low=1, high=50, label="Epochs", help_text="Times that every row is trained on, 1 to 50."
    )
    batch_size = _AutoNumber(
        whole=True, low=1, high=256, label="Batch size", help_text="Rows per update, 1 to 256."
    )
    learning_rate_multiplier = _AutoNumber(
        whole=False, low=0.0001, high=10, label="Learning rate multiplier", help_text="Usually 0.02 to 2."
    )
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
        required=False,
        strip=True,
        label="Training type",
        widget=forms.TextInput(attrs={"list": "training-types"}),
        help_text="Standard stays in the region, GlobalStandard is cheaper, Developer cheapest.",
    )
    training_types = TRAINING_TYPES

    def __init__(self, *args: Any, azure: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if azure:
            self.fields["training_type"].required = True
        else:
            del self.fields["training_type"]

    def clean_suffix(self) -> str:
        suffix = str(self.cleaned_data["suffix"])
        if suffix and not SUFFIX.fullmatch(suffix):
            raise ValidationError("Use letters, digits, - and _ only.")
        return suffix

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        values.setdefault("training_type", "")
        return values
