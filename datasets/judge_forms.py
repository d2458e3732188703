"""Forms of graders that ask a model: which one, what it is shown, and what of its verdict passes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms

from datasets.evaluate import judge_rules, ready_made
from datasets.evaluate.judge_rules import EFFORTS, LONGEST_MESSAGE, MOST_MESSAGES, ROLES
from datasets.lines_forms import LinesInput
from datasets.models import Grader
from datasets.python_forms import CodeForm
from datasets.sampling_forms import reachable_by
from portal.models import Connection

COSINE = "cosine"  # a grader of text_similarity whose form is another one
SAMPLED = ("seed", "top_p", "temperature", "max_completions_tokens")


def _mono(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"class": "mono", "rows": rows, "spellcheck": "false"})


def _number(**attrs: Any) -> forms.NumberInput:
    return forms.NumberInput(attrs={"step": "any", **attrs})


class JudgeForm(CodeForm):
    """Who is asked. `user` decides which connections may be; `source` is the one to begin with."""

    asks = True
    template = "datasets/evaluate/grader_judge.html"
    samples: ClassVar[bool] = True

    connection = forms.ModelChoiceField(
        Connection.objects.none(), label="Connection", empty_label="Choose one"
    )
    model = forms.CharField(max_length=300, label="Deployment or model")

    def __init__(self, *args: Any, user: Any, source: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        reachable: Any = self.fields["connection"]
        reachable.queryset = reachable_by(user).order_by("name")
        if not self.initial.get("connection") and source is not None:
            self.initial["connection"] = source
        self.fields["model"].widget.attrs.update(
            {"list": "models", "autocomplete": "off", "spellcheck": "false", "class": "mono"}
        )
        if self.samples:
            self._ask_for_sampling(self.initial.get("sampling_params") or {})

    @property
    def explained_fields(self) -> list[forms.BoundField]:
        """The fields of its kind alone that stand below who is asked."""
        return []

    @property
    def note(self) -> str:
        return ready_made.note_of(self.makes, self._shown_params())

    @property
    def sampling(self) -> list[forms.BoundField]:
        names = (*SAMPLED, "reasoning_effort") if self.samples else ()
        return [self[name] for name in names]

    @property
    def samples_anything(self) -> bool:
        """Whether the part about sampling is open to begin with."""
        return any(field.value() not in (None, "") or field.errors for field in self.sampling)

    def who(self) -> dict[str, Any]:
        """The fields of the API that every judge has."""
        sampling = {
            name: self.cleaned_data[name]
            for name in ((*SAMPLED, "reasoning_effort") if self.samples else ())
            if self.cleaned_data.get(name) not in (None, "")
        }
        asked = {
            "connection": self.cleaned_data["connection"].pk,
            "model": " ".join(str(self.cleaned_data["model"]).split()),
        }
        return asked | ({"sampling_params": sampling} if sampling else {})

    def add_error(self, field: str | None, error: Any) -> None:
        """What is wrong with a way of asking is said beside its own field."""
        if field == "sampling_params":
            named = str(error).partition(" ")[0]
            field = named if named in self.fields else None
        super().add_error(field, error)

    def _shown_params(self) -> Mapping[str, Any]:
        return self.initial

    def _ask_for_sampling(self, given: Mapping[str, Any]) -> None:
        optional: dict[str, forms.Field] = {
            "seed": forms.IntegerField(label="Seed", help_text="Makes verdicts repeatable.", required=False),
            "top_p": forms.FloatField(label="Top p", help_text="0 to 1", widget=_number(), required=False),
            "temperature": forms.FloatField(
                label="Temperature",
                help_text="0 to 2. Empty: the model's own; reasoning models take none.",
                widget=_number(),
                required=False,
            ),
            "max_completions_tokens": forms.IntegerField(label="Most tokens of a verdict", required=False),
            "reasoning_effort": forms.ChoiceField(
                label="Reasoning effort",
                choices=[("", "The model's own"), *((effort, effort) for effort in EFFORTS)],
                required=False,
            ),
        }
        self.fields.update(optional)
        for name in (*SAMPLED, "reasoning_effort"):
            self.initial.setdefault(name, given.get(name))


class MessagesForm(JudgeForm):
    """A judge with messages of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        given = self.initial.get("input")
        given = given if isinstance(given, list) else []
        said = [number for number in range(MOST_MESSAGES) if self._is_said(number, given)]
        self.numbers = range(min(MOST_MESSAGES, max(said, default=0) + 2))
        for number in self.numbers:
            message = given[number] if number < len(given) else {}
            self.fields[f"input_{number}_role"] = forms.ChoiceField(
                choices=[(role, role) for role in ROLES],
                label=f"Role of message {number + 1}",
                required=number in said,
            )
            self.fields[f"input_{number}_content"] = forms.CharField(
                max_length=LONGEST_MESSAGE,
                label=f"Message {number + 1}",
                required=number == 0,
                strip=False,
                widget=_mono(9 if number in said else 2),
            )
            self.initial[f"input_{number}_role"] = message.get("role") or ("user" if number else "system")
            self.initial[f"input_{number}_content"] = _typed(message.get("content"))

    def _is_said(self, number: int, given: Sequence[Any]) -> bool:
        if not self.is_bound:
            return number < len(given)
        return bool(str(self.data.get(self.add_prefix(f"input_{number}_content"), "")).strip())

    @property
    def messages(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        """Those that there are and one more."""
        return [(self[f"input_{n}_role"], self[f"input_{n}_content"]) for n in self.numbers]

    def _shown_params(self) -> Mapping[str, Any]:
        return {"input": [{"content": content.value() or ""} for _, content in self.messages]}

    def said(self) -> list[dict[str, Any]]:
        """What the judge is shown, as the API has it."""
        return list(self._said_by_number().values())

    def _said_by_number(self) -> dict[int, dict[str, Any]]:
        found = {}
        for number in self.numbers:
            content = str(self.cleaned_data.get(f"input_{number}_content") or "").replace("\r\n", "\n")
            if content.strip():
                role = self.cleaned_data.get(f"input_{number}_role") or "user"
                found[number] = {"role": role, "content": _read(content)}
        return found

    def add_error(self, field: str | None, error: Any) -> None:
        """What is wrong with a message is said beside that one."""
        if field != "input":
            super().add_error(field, error)
            return
        said = self._said_by_number()
        numbers, wrong = list(said), judge_rules.message_problems(list(said.values()))
        for place, words in wrong.items():
            super().add_error(f"input_{numbers[place]}_content", words)
        if not wrong:
            super().add_error("input_0_content", error)


class LabelForm(MessagesForm):
    sort = makes = Grader.Kind.LABEL_MODEL

    labels = forms.CharField(
        max_length=4_000,
        label="Labels",
        widget=_mono(5),
        help_text="What the judge chooses from, one on each line.",
    )
    passing_labels = forms.CharField(
        max_length=4_000,
        label="Labels that pass",
        widget=_mono(5),
        help_text="Some of them, one on each line.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("labels", "passing_labels"):
            if isinstance(self.initial.get(name), list):
                self.initial[name] = "\n".join(map(str, self.initial[name]))

    @property
    def explained_fields(self) -> list[forms.BoundField]:
        return [self["labels"], self["passing_labels"]]

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        return ready_made.begin("label_model", has_reference=has_reference)

    def params(self) -> dict[str, Any]:
        lists = {name: _lines(self.cleaned_data[name]) for name in ("labels", "passing_labels")}
        # A label that passes is written as it is among all of them, whatever its capitals were here.
        same = {label.casefold(): label for label in lists["labels"]}
        lists["passing_labels"] = [same.get(label.casefold(), label) for label in lists["passing_labels"]]
        return {**self.who(), "input": self.said(), **lists}


class ScoreForm(MessagesForm):
    sort = makes = Grader.Kind.SCORE_MODEL

    range_low = forms.FloatField(label="Lowest score", widget=_number())
    range_high = forms.FloatField(label="Highest score", widget=_number())
    pass_threshold = forms.FloatField(label="Passes from", widget=_number())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        low, high = self.initial.get("range") or (0, 1)
        self.initial.update({"range_low": low, "range_high": high})

    @property
    def explained_fields(self) -> list[forms.BoundField]:
        return [self["range_low"], self["range_high"], self["pass_threshold"]]

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        return ready_made.begin("score_model", has_reference=has_reference)

    def params(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {
            **self.who(),
            "input": self.said(),
            "range": [data["range_low"], data["range_high"]],
            "pass_threshold": data["pass_threshold"],
        }

    def add_error(self, field: str | None, error: Any) -> None:
        super().add_error("range_high" if field == "range" else field, error)


class CosineForm(JudgeForm):
    """A text similarity whose metric is the cosine of embeddings."""

    sort = COSINE
    makes = Grader.Kind.TEXT_SIMILARITY
    title = "Embeddings"
    samples = False

    input = forms.CharField(max_length=LONGEST_MESSAGE, label="Text", widget=LinesInput)
    reference = forms.CharField(max_length=LONGEST_MESSAGE, label="Reference", strip=False, widget=LinesInput)
    pass_threshold = forms.FloatField(
        min_value=0, max_value=1, label="Passes from", help_text="0 to 1", widget=_number()
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["model"].label = "Model of the embeddings"
        for name in ("input", "reference"):
            self.fields[name].widget.attrs.update({"class": "mono", "spellcheck": "false"})

    @property
    def explained_fields(self) -> list[forms.BoundField]:
        return [self["input"], self["reference"], self["pass_threshold"]]

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        return ready_made.begin(COSINE, has_reference=has_reference)

    def params(self) -> dict[str, Any]:
        named = {name: self.cleaned_data[name] for name in ("input", "reference", "pass_threshold")}
        return {**self.who(), **named, "evaluation_metric": judge_rules.COSINE}


class PairwiseForm(JudgeForm):
    sort = makes = Grader.Kind.PAIRWISE

    criteria = forms.CharField(
        max_length=judge_rules.LONGEST_CRITERIA,
        label="Criteria",
        strip=False,
        widget=_mono(5),
        help_text="What makes an answer the better one.",
    )
    both_orders = forms.BooleanField(
        required=False,
        label="Ask in both orders",
        help_text="Twice the calls. Where the judge changes its mind with the order, it prefers neither."
        " Otherwise chance decides which answer comes first.",
    )

    @property
    def explained_fields(self) -> list[forms.BoundField]:
        return [self["criteria"], self["both_orders"]]

    @classmethod
    def first(cls, *, has_reference: bool) -> dict[str, Any]:
        return ready_made.begin("pairwise", has_reference=has_reference)

    def params(self) -> dict[str, Any]:
        criteria = str(self.cleaned_data["criteria"]).replace("\r\n", "\n")
        return {**self.who(), "criteria": criteria, "both_orders": bool(self.cleaned_data["both_orders"])}


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in str(text).splitlines() if line.strip()]


def _typed(content: Any) -> str:
    """What the field shows of a content: a text, or its parts in JSON."""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False) if content else ""


def _read(content: str) -> Any:
    """A text, or parts if that is what was typed: pictures come so, and what was imported with them."""
    if content.lstrip().startswith('[{"'):
        try:
            parts = json.loads(content)
        except (ValueError, RecursionError):
            return content
        if isinstance(parts, list) and all(isinstance(part, dict) and "type" in part for part in parts):
            return parts
    return content


FORMS: Sequence[type[JudgeForm]] = (LabelForm, ScoreForm, CosineForm, PairwiseForm)
