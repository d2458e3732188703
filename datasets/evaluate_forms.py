"""One form per step of the Evaluate wizard."""

from collections.abc import Sequence
from typing import Any

from django import forms

from datasets.evaluate import targets
from datasets.evaluate.targets import FRESH_KEYS, Target
from datasets.sampling_forms import SamplingForm, fields_of, params_of, reachable_by

MAX_GRADERS = 6


class TargetsForm(SamplingForm):
    """What is measured: the stored answers, and some deployments."""

    stored = forms.BooleanField(required=False, label="The stored answers, as they are")

    def __init__(self, *args: Any, user: Any, reference: str, refused: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reference, self.refused = reference, refused
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
        problem = targets.problem_of(self.reference, chosen) or (data.get("stored") and self.refused)
        if problem:
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
