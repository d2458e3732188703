"""Forms of prices and budgets."""

from datetime import date
from typing import Any

from django import forms
from django.conf import settings
from django.utils import timezone

from portal.models import Price

PROVIDERS = (("", "Every provider"), ("azure", "Azure"), ("openai", "OpenAI"))
LARGEST_FILE = 1_000_000  # bytes


class PriceForm(forms.ModelForm[Price]):
    """One price, as somebody read it somewhere on a day."""

    provider = forms.ChoiceField(choices=PROVIDERS, required=False)

    class Meta:
        model = Price
        fields = ["model", "kind", "provider", "training_type", "amount", "as_of", "source"]
        labels = {"training_type": "Training type", "as_of": "Read on"}
        help_texts = {
            "model": "A model's name without its date counts for all its versions: gpt-4.1-mini.",
            "training_type": "Azure's, for training: Standard, GlobalStandard, Developer. Empty for any.",
            "as_of": "",
            "source": "The page or the contract.",
        }
        widgets = {
            "model": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "as_of": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["amount"].label = f"Amount in {settings.CURRENCY}"
        if not self.instance.pk and not self.is_bound:
            self.initial.setdefault("as_of", timezone.now().date())

    def clean_as_of(self) -> date:
        day: date = self.cleaned_data["as_of"]
        if day > timezone.now().date():
            raise forms.ValidationError("This day has yet to come.")
        return day


class PriceFileForm(forms.Form):
    """A list of prices as a file."""

    file = forms.FileField(label="CSV file", widget=forms.ClearableFileInput(attrs={"accept": ".csv"}))

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > LARGEST_FILE:
            raise forms.ValidationError("A list of prices may have 1 MB.")
        return file


class BudgetForm(forms.Form):
    """The most that may be spent in a month; an empty amount is no limit."""

    amount = forms.DecimalField(required=False, min_value=0, max_digits=14, decimal_places=2)
    allow_unknown = forms.BooleanField(
        required=False,
        label="Allow work whose price nobody entered",
        help_text="It is listed, and counts as nothing.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["amount"].label = f"Amount in {settings.CURRENCY}"
