"""The forms that ask what a file is to become."""

from typing import Any

from django import forms

from datasets.models import Dataset, Purpose
from portal.models import Connection

HELP = "Who may read, and act on, a connection, may do so with these rows."


class TargetForm(forms.Form):
    """A name and a purpose for a new dataset; nothing to ask where the file continues one."""

    name = forms.CharField(max_length=120, label="Name of the dataset")
    purpose = forms.ChoiceField(choices=Purpose.choices, label="What its rows are for")

    def __init__(self, *args: Any, into: Dataset | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if into is not None:
            del self.fields["name"], self.fields["purpose"]

    def clean_name(self) -> str:
        return " ".join(str(self.cleaned_data["name"]).split())


class UploadForm(TargetForm):
    """To which connections the rows of a file belong."""

    connections = forms.ModelMultipleChoiceField(
        queryset=Connection.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        label="Belongs to",
        help_text=HELP,
        error_messages={"required": "Choose the connections that the rows belong to."},
    )
    mend = forms.BooleanField(
        required=False,
        initial=True,
        label="Mend lines where a fix is known",
        help_text="Such rows are marked as edited. Without it they are left out.",
    )
    field_order = ("name", "purpose", "connections", "mend")

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["connections"]
        choice.queryset = Connection.objects.actionable_by(user).order_by("name")
        if choice.queryset.count() == 1:
            choice.initial = list(choice.queryset)


class FetchForm(TargetForm):
    """Which file of the provider; its rows belong to the connection that it comes from."""

    file = forms.CharField(max_length=200, widget=forms.HiddenInput)
    mend = UploadForm.base_fields["mend"]
