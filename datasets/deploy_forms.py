"""Forms for deploying a fine-tuned model and for trying it."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from datasets.finetune import deploy
from datasets.trying import TITLES
from portal.models import Connection


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


class AskForm(forms.Form):
    """One prompt for every model; `source` names what it was loaded from."""

    system = forms.CharField(
        required=False,
        strip=False,
        max_length=200_000,
        label="System prompt",
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    user = forms.CharField(
        strip=False, max_length=400_000, label="Prompt", widget=forms.Textarea(attrs={"rows": 6})
    )
    source = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)
    temperature = forms.FloatField(
        required=False, min_value=0, max_value=2, label="Temperature", help_text="Empty: as the model has it."
    )
    max_tokens = forms.IntegerField(
        required=False, min_value=1, max_value=32_000, initial=1000, label="Most tokens of an answer"
    )

    def options(self) -> dict[str, Any]:
        """Sampling parameters in the names of the create call."""
        values = self.cleaned_data
        named = {"temperature": values["temperature"], "max_completion_tokens": values["max_tokens"]}
        return {name: value for name, value in named.items() if value is not None}


class SideForm(forms.Form):
    """One model to ask, and where."""

    asked = forms.BooleanField(required=False, label="Ask it")
    model = forms.CharField(max_length=300, strip=True, label="Model or deployment")
    connection = forms.ModelChoiceField(Connection.objects.none(), label="On", empty_label=None)

    def __init__(self, *args: Any, connections: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["connection"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = connections
        self.fields["model"].widget.attrs.update(
            {"list": "models", "autocomplete": "off", "spellcheck": "false", "class": "mono"}
        )

    @property
    def title(self) -> str:
        return TITLES[str(self.prefix)]
