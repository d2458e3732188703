"""The form for a deployment of a fine-tuned model."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from datasets.finetune import deploy


class DeployForm(forms.Form):
    """A name, a size and a price class for a fine-tuned model on Azure."""

    model = forms.ChoiceField(label="Model", help_text="The finished model, or one of its checkpoints.")
    name = forms.CharField(
        max_length=64, strip=True, label="Deployment name", help_text="What calls name as their model."
    )
    sku = forms.ChoiceField(
        choices=[(sku, sku) for sku in deploy.SKUS],
        label="Kind",
        help_text="DeveloperTier has no hosting fee and is removed after 24 hours.",
    )
    capacity = forms.IntegerField(
        min_value=1, max_value=1000, initial=10, help_text="In thousands of tokens per minute."
    )

    def __init__(self, *args: Any, models: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["model"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = models

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if not deploy.NAME.fullmatch(name):
            raise ValidationError("2 to 64 letters, digits and . _ -, beginning with a letter or digit.")
        return name
