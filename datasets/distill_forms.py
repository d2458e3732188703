"""The model step of Distill as a form."""

import re
from typing import Any

from django import forms

from portal.models import Connection

MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,119}")


class ModelForm(forms.Form):
    """Where to train, and which model in which version."""

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
