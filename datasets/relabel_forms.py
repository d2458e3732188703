"""The form of a relabelling: who teaches, and how it is asked."""

from typing import Any

from django import forms

from datasets.models import Relabel
from datasets.sampling_forms import SamplingForm, fields_of, params_of, reachable_by
from portal.models import Connection


class TeacherForm(SamplingForm):
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

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["connection"]
        choice.queryset = reachable_by(user)

    @staticmethod
    def initial_of(relabel: Relabel) -> dict[str, Any]:
        """What the form shows of a choice that was made earlier."""
        return {
            "name": relabel.name,
            "model": relabel.model,
            "connection": relabel.connection_id,
            **fields_of(relabel.params),
        }

    def clean_model(self) -> str:
        model = str(self.cleaned_data["model"]).strip()
        if not model:
            raise forms.ValidationError("Name the deployment or model.")
        return model

    @property
    def params(self) -> dict[str, Any]:
        """As calls take them; what is empty is left to the model."""
        return params_of(self.cleaned_data)
