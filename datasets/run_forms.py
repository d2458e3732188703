"""What a run is asked for besides its targets: how often each item is answered, and what it is held to."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from datasets.evaluate import paying
from datasets.evaluate.goals import Goal
from datasets.evaluate.targets import Target
from datasets.models import Evaluation, Grader

MOST_REPETITIONS = 10


class RunForm(forms.Form):
    """Repetitions and goal. `counted`, which is no field, is what the page showed calls and price of."""

    repetitions = forms.IntegerField(
        min_value=1,
        max_value=MOST_REPETITIONS,
        required=False,
        label="Fresh answers to each item",
        help_text="1 to 10. Several show how much a deployment's own answers differ; each is a call.",
    )
    goal_grader = forms.ChoiceField(required=False, label="Judged by")
    at_least = forms.FloatField(
        min_value=0,
        max_value=100,
        required=False,
        label="Each target passes at least (%)",
        help_text="Empty: any share will do.",
    )
    no_worse = forms.BooleanField(
        required=False,
        label="No target is clearly worse than the first one",
        help_text="Clearly: the exact paired test tells a difference at 5%.",
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None,
        *,
        evaluation: Evaluation,
        saved: Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        goal = Goal.read(saved.get("goal"))
        initial = {
            "repetitions": saved.get("repetitions", 1),
            "goal_grader": goal.grader,
            "at_least": None if goal.at_least is None else round(100 * goal.at_least, 3),
            "no_worse": goal.no_worse,
        }
        super().__init__(data, initial=initial)
        names = [grader.name for grader in evaluation.graders.all()]
        grader = self.fields["goal_grader"]
        assert isinstance(grader, forms.ChoiceField)
        grader.choices = [("", "All graders together"), *((name, name) for name in names)]
        grader.help_text = _PREFERENCES if _prefers(evaluation) else ""
        self.fields["at_least"].widget.attrs["step"] = "any"
        self.evaluation = evaluation

    @property
    def repetitions_shown(self) -> int:
        """For how many the page tells calls and price: what was typed, where that is possible."""
        value = self["repetitions"].value()
        try:
            typed = int(value or 1)
        except (TypeError, ValueError):
            return 1
        return min(max(typed, 1), MOST_REPETITIONS)

    @property
    def is_opened(self) -> bool:
        """Whether there is more to see than the usual."""
        names = ("goal_grader", "at_least", "no_worse")
        return self.repetitions_shown > 1 or bool(self.errors) or any(self[name].value() for name in names)

    def must_look(self, targets: Sequence[Target]) -> bool:
        """Whether the page showed the price of other calls than those of such a run; valid forms only."""
        if "count" in self.data:
            return True
        asked = paying.agreed(self.evaluation, targets, self.options()["repetitions"])
        return bool(asked) and self.data.get("counted", asked) != asked

    def options(self) -> dict[str, Any]:
        """What run.start takes, and what is kept as the next run's default."""
        data = self.cleaned_data
        share = data.get("at_least")
        goal = Goal(
            grader=data.get("goal_grader") or "",
            at_least=None if share is None else round(share / 100, 6),
            no_worse=bool(data.get("no_worse")),
        )
        return {"repetitions": data.get("repetitions") or 1, "goal": goal.as_dict()}


_PREFERENCES = "Preferences compare targets and are not part of all together."


def _prefers(evaluation: Evaluation) -> bool:
    return any(grader.kind == Grader.Kind.PAIRWISE for grader in evaluation.graders.all())


def run_form(data: Mapping[str, Any] | None, evaluation: Evaluation) -> RunForm:
    """The form as it was filled in for the evaluation's last run; bound where `data` is given."""
    return RunForm(data, evaluation=evaluation, saved=evaluation.setup.get("run") or {})
