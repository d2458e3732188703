"""One form per step of the Evaluate wizard."""

from collections.abc import Sequence
from typing import Any

from django import forms

from datasets.evaluate import graders, targets
from datasets.evaluate.checks import CHECKS
from datasets.evaluate.metrics import METRICS
from datasets.evaluate.targets import FRESH_KEYS, Target
from datasets.models import Grader
from datasets.sampling_forms import SamplingForm, fields_of, params_of, reachable_by

MAX_GRADERS = 6


class TargetsForm(SamplingForm):
    """What is measured: the stored answers, and some deployments."""

    stored = forms.BooleanField(required=False, label="The stored answers, as they are")

    def __init__(self, *args: Any, user: Any, reference: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reference = reference
        reachable = reachable_by(user)
        for key in FRESH_KEYS:
            self.fields[f"{key}_connection"] = forms.ModelChoiceField(
                reachable, required=False, label="Connection", empty_label="No connection"
            )
            self.fields[f"{key}_model"] = forms.CharField(
                max_length=300, required=False, label="Deployment or model"
            )
            self.fields[f"{key}_model"].widget.attrs.update(
                {"list": "models", "autocomplete": "off", "spellcheck": "false", "class": "mono"}
            )

    @staticmethod
    def initial_of(chosen: Sequence[Target]) -> dict[str, Any]:
        """What the form shows for targets that were chosen earlier."""
        initial: dict[str, Any] = {"stored": any(not target.is_fresh for target in chosen)}
        for target in chosen:
            if target.is_fresh:
                initial[f"{target.key}_connection"] = target.connection
                initial[f"{target.key}_model"] = target.model
                initial |= fields_of(target.params)
        return initial

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for key in FRESH_KEYS:
            model = (data.get(f"{key}_model") or "").strip()
            data[f"{key}_model"] = model
            if model and not data.get(f"{key}_connection") and f"{key}_connection" not in self.errors:
                self.add_error(f"{key}_connection", "Choose the connection that has this deployment.")
        chosen = self._chosen(data)
        if not self.errors and not chosen:
            raise forms.ValidationError("Choose at least one thing to measure.")
        seen: dict[tuple[int | None, str], str] = {}
        for target in chosen:
            if not target.is_fresh:
                continue
            earlier = seen.setdefault((target.connection, target.model), target.key)
            if earlier != target.key:
                again = f"This is the {earlier} deployment again. Choose another, or leave it empty."
                self.add_error(f"{target.key}_model", again)
        if problem := targets.problem_of(self.reference, chosen):
            self.add_error("stored", problem)
        return data

    @property
    def shown(self) -> tuple[str, ...]:
        """The keys of the deployments to ask for: teacher, base, two students; one more than there are."""
        filled = [place for place, key in enumerate(FRESH_KEYS) if self[f"{key}_model"].value()]
        return FRESH_KEYS[: max(4, max(filled, default=0) + 2)]

    def targets(self) -> tuple[Target, ...]:
        """What was chosen, with labels that tell them apart."""
        return self._chosen(self.cleaned_data)

    def _chosen(self, data: dict[str, Any]) -> tuple[Target, ...]:
        params = params_of(data)
        chosen = [targets.stored()] if data.get("stored") else []
        for key in FRESH_KEYS:
            connection, model = data.get(f"{key}_connection"), data.get(f"{key}_model")
            if connection and model:
                chosen.append(Target(key, "fresh", model, connection.pk, model, params))
        return _told_apart(chosen, data)


def _told_apart(chosen: list[Target], data: dict[str, Any]) -> tuple[Target, ...]:
    """The same model on two connections carries the connection's name."""
    models = [target.model for target in chosen if target.is_fresh]
    if len(set(models)) == len(models):
        return tuple(chosen)
    return tuple(
        Target(
            target.key,
            target.kind,
            f"{target.model} on {data[f'{target.key}_connection'].name}",
            target.connection,
            target.model,
            target.params,
        )
        if target.is_fresh
        else target
        for target in chosen
    )


class GraderForm(forms.Form):
    """One grader; its kind decides which of the last five fields it has."""

    OWN = {
        Grader.Kind.STRING_CHECK: ("operation", "reference"),
        Grader.Kind.TEXT_SIMILARITY: ("reference", "evaluation_metric", "pass_threshold"),
        Grader.Kind.CHECK: ("check", "value"),
    }

    kind = forms.ChoiceField(choices=Grader.Kind.choices, widget=forms.HiddenInput)
    name = forms.CharField(max_length=80, label="Name")
    input = forms.CharField(max_length=graders.MAX_TEMPLATE, label="Text")
    operation = forms.ChoiceField(
        choices=[(name, operation.label) for name, operation in graders.OPERATIONS.items()],
        label="Passes if it",
    )
    reference = forms.CharField(max_length=graders.MAX_TEMPLATE, label="Reference", strip=False)
    evaluation_metric = forms.ChoiceField(choices=[(name, name) for name in METRICS], label="Metric")
    pass_threshold = forms.FloatField(min_value=0, max_value=1, label="Passes from", help_text="0 to 1")
    check = forms.ChoiceField(
        choices=[(name, check.label) for name, check in CHECKS.items()], label="Passes if it"
    )
    value = forms.CharField(
        max_length=graders.MAX_TEMPLATE,
        label="Held against",
        required=False,
        strip=False,
        help_text="The text, expression, number or language that the check names; empty where it names none.",
    )

    def __init__(self, *args: Any, kind: str, number: int, has_reference: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sort, self.number, self.has_reference = kind, number, has_reference
        self.fields["kind"].initial = kind
        for name in ("input", "reference", "value"):
            self.fields[name].widget.attrs.update({"class": "mono", "spellcheck": "false"})
        self.fields["pass_threshold"].widget.attrs["step"] = "0.01"
        for name in {name for names in self.OWN.values() for name in names} - set(
            self.OWN[Grader.Kind(kind)]
        ):
            del self.fields[name]

    @property
    def title(self) -> str:
        return str(Grader.Kind(self.sort).label)

    @property
    def explained(self) -> str:
        """The definition that the chosen metric follows."""
        if self.sort != Grader.Kind.TEXT_SIMILARITY:
            return ""
        return graders.explain(self.sort, {"evaluation_metric": self["evaluation_metric"].value()})

    def params(self) -> dict[str, Any]:
        names = ("input", *self.OWN[Grader.Kind(self.sort)])
        return {name: self.cleaned_data[name] for name in names if name in self.cleaned_data}

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors:
            for field, problem in graders.validate(self.sort, self.params()).items():
                self.add_error(field if field in self.fields else None, problem)
        if not self.errors and not self.has_reference and graders.needs_reference(self.sort, self.params()):
            self.add_error(
                "reference" if "reference" in self.fields else "value",
                "This evaluation has no reference. Write a text here, or choose a reference first.",
            )
        return data

    def grader(self) -> dict[str, Any]:
        return {"name": self.cleaned_data["name"], "kind": self.sort, "params": self.params()}
