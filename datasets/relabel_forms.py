"""The form of a relabelling: who teaches, and how it is asked."""

from typing import Any

from django import forms

from datasets.models import Relabel
from portal.models import Connection


class TeacherForm(forms.Form):
    """A deployment and the parameters of its calls."""

    name = forms.CharField(max_length=120, label="Name", help_text="How you and others will find it again.")
    model = forms.CharField(
        max_length=300,
        label="Teacher",
        help_text="A deployment on Azure, else a model.",
        widget=forms.TextInput(
            attrs={"list": "models", "autocomplete": "off", "spellcheck": "false", "class": "mono"}
        ),
    )
    connection = forms.ModelChoiceField(
        Connection.objects.none(), label="Connection", empty_label="No connection"
    )
    temperature = forms.FloatField(
        min_value=0,
        max_value=2,
        required=False,
        label="Temperature",
        help_text="0 to 2. Empty: the model's own; reasoning models take none.",
    )
    max_tokens = forms.IntegerField(
        min_value=1, max_value=200_000, required=False, label="Most tokens of an answer"
    )
    seed = forms.IntegerField(
        min_value=-(2**53),
        max_value=2**53,
        required=False,
        label="Seed",
        help_text="Makes answers repeatable.",
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["connection"]
        choice.queryset = (
            Connection.objects.actionable_by(user)
            .with_endpoint()
            .exclude(state__in=(Connection.State.DISCONNECTED, Connection.State.DELETING))
        )

    @staticmethod
    def initial_of(relabel: Relabel) -> dict[str, Any]:
        """What the form shows of a choice that was made earlier."""
        params = relabel.params
        return {
            "name": relabel.name,
            "model": relabel.model,
            "connection": relabel.connection_id,
            "temperature": params.get("temperature"),
            "max_tokens": params.get("max_completion_tokens"),
            "seed": params.get("seed"),
        }

    def clean_model(self) -> str:
        model = str(self.cleaned_data["model"]).strip()
        if not model:
            raise forms.ValidationError("Name the deployment or model.")
        return model

    @property
    def params(self) -> dict[str, Any]:
        """As calls take them; what is empty is left to the model."""
        data = self.cleaned_data
        named = {
            "temperature": data.get("temperature"),
            "max_completion_tokens": data.get("max_tokens"),
            "seed": data.get("seed"),
        }
        return {name: value for name, value in named.items() if value is not None}
