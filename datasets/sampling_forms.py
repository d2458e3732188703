"""How a model is asked for fresh answers: the fields that every form with a deployment shares."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet

from portal.models import Connection

CALLED = {"temperature": "temperature", "max_tokens": "max_completion_tokens", "seed": "seed"}


class SamplingForm(forms.Form):
    """Sampling parameters; what is empty is left to the model."""

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


def reachable_by(user: Any) -> "QuerySet[Connection]":
    """The connections whose deployments a person may ask."""
    found: QuerySet[Connection] = (
        Connection.objects.actionable_by(user)
        .with_endpoint()
        .exclude(state__in=(Connection.State.DISCONNECTED, Connection.State.DELETING))
    )
    return found


def params_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as calls take them."""
    return {called: data[field] for field, called in CALLED.items() if data.get(field) is not None}


def fields_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """What the fields show of a call's parameters."""
    return {field: params.get(called) for field, called in CALLED.items()}
