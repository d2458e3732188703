"""What is asked about graders of the library."""

import json
from typing import Any

from django import forms

from datasets import library
from datasets.evaluate import carry_reading
from datasets.evaluate.storable import storable
from datasets.models import Grader, LibraryGraderVersion
from portal.models import Connection

EVERY_KIND = [("", "Every kind"), *Grader.Kind.choices]
LONGEST_PARAMS = 300_000


def reachable(user: Any) -> Any:
    """The connections whose models this person may ask."""
    return Connection.objects.actionable_by(user).with_endpoint().order_by("name")


class FindForm(forms.Form):
    """Which graders of a library are listed."""

    q = forms.CharField(required=False, max_length=80, label="Name")
    kind = forms.ChoiceField(required=False, choices=EVERY_KIND, label="Kind")
    archived = forms.BooleanField(required=False, label="Archived ones")


class NoteForm(forms.Form):
    """What goes with a version; `since` is the number of the one that was changed."""

    note = forms.CharField(max_length=200, required=False, label="What changes, and why")
    since = forms.IntegerField(min_value=1, required=False, widget=forms.HiddenInput)

    def said(self) -> str:
        return " ".join(str(self.cleaned_data["note"]).split())

    def clean_since(self) -> int:
        return int(self.cleaned_data["since"] or 1)


class ChangeForm(NoteForm):
    """A grader as its next version: its fields as the API names them, in JSON."""

    name = forms.CharField(max_length=80, label="Name")
    params = forms.CharField(
        max_length=LONGEST_PARAMS,
        label="Fields",
        strip=False,
        widget=forms.Textarea(attrs={"class": "mono", "rows": 18, "spellcheck": "false"}),
        help_text="JSON, with the names of the API; every version before this one stays as it is.",
    )
    field_order = ("name", "params", "note", "since")

    def __init__(self, *args: Any, user: Any, version: LibraryGraderVersion, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.version = user, version
        self.initial["name"] = version.grader.name
        self.initial["params"] = json.dumps(version.params, ensure_ascii=False, indent=2)
        self.initial["since"] = version.number

    def clean_name(self) -> str:
        return " ".join(str(self.cleaned_data["name"]).split())

    def clean_params(self) -> dict[str, Any]:
        try:
            params = storable(json.loads(self.cleaned_data["params"], parse_constant=_no_number))
        except (ValueError, RecursionError) as problem:
            raise forms.ValidationError(f"This is no JSON: {str(problem)[:200]}") from None
        if not isinstance(params, dict):
            raise forms.ValidationError("Write one JSON object, {…}.")
        if params != self.version.params:
            _refuse(library.problems_of(self.version.kind, params, self.user))
        return params


class JudgeForm(forms.Form):
    """Who judges: asked where a grader comes without a connection of its own."""

    judge = forms.ModelChoiceField(
        Connection.objects.none(), required=False, label="Judges are asked on", empty_label="No connection"
    )
    model = forms.CharField(
        max_length=300,
        required=False,
        label="Model that judges",
        help_text="Empty: the one that the grader names.",
    )
    embeddings = forms.CharField(
        max_length=300, required=False, label="Model of embeddings", help_text="For graders with cosine."
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["judge"]
        choice.queryset = reachable(user)
        for name in ("model", "embeddings"):
            self.fields[name].widget.attrs.update(
                {"list": "models", "autocomplete": "off", "spellcheck": "false", "class": "mono"}
            )

    def asking(self, kind: str, params: Any) -> dict[str, Any]:
        """A grader that asks whom the form says."""
        data = self.cleaned_data
        judge = data.get("judge")
        return library.asking(
            kind, params, judge.pk if judge else None, data["model"].strip(), data["embeddings"].strip()
        )


class CopyForm(JudgeForm):
    """To which connection a grader is copied, and who judges there."""

    to = forms.ModelChoiceField(
        Connection.objects.none(), label="Library of", empty_label="Choose a connection"
    )
    name = forms.CharField(max_length=80, label="Name there")
    field_order = ("to", "name", "judge", "model", "embeddings")

    def __init__(self, *args: Any, user: Any, version: LibraryGraderVersion, **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)
        self.user, self.version = user, version
        self.initial.setdefault("name", version.grader.name)
        choice: Any = self.fields["to"]
        choice.queryset = (
            Connection.objects.actionable_by(user).exclude(pk=version.grader.connection_id).order_by("name")
        )
        if library.asks(version.kind, version.params):
            self.fields["judge"].required = True
            for name in ("model", "embeddings"):
                self.fields[name].help_text = ""
            if version.kind == Grader.Kind.TEXT_SIMILARITY:
                del self.fields["model"]
                self.fields["embeddings"].required = True
            elif version.kind != Grader.Kind.MULTI:
                del self.fields["embeddings"]
                self.fields["model"].required = True
        else:
            for name in ("judge", "model", "embeddings"):
                del self.fields[name]

    def clean_name(self) -> str:
        return " ".join(str(self.cleaned_data["name"]).split())

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors:
            params = library.asking(
                self.version.kind,
                self.version.params,
                data["judge"].pk if data.get("judge") else None,
                data.get("model", "").strip(),
                data.get("embeddings", "").strip(),
            )
            _refuse(library.problems_of(self.version.kind, params, self.user))
            data["params"] = params
        return data


class ImportForm(JudgeForm):
    """A text or a file with graders in the form of another program."""

    text = forms.CharField(
        required=False,
        strip=False,
        max_length=carry_reading.LARGEST,
        label="Paste it here",
        widget=forms.Textarea(attrs={"class": "mono", "rows": 12, "spellcheck": "false"}),
    )
    file = forms.FileField(
        required=False,
        label="Or a file",
        help_text=f"JSON, JSONL or YAML, at most {carry_reading.LARGEST // 1024} KB.",
        widget=forms.ClearableFileInput(attrs={"accept": ".json,.jsonl,.yaml,.yml,.txt"}),
    )
    field_order = ("text", "file", "judge", "model", "embeddings")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if (file := data.get("file")) is not None:
            if file.size > carry_reading.LARGEST:
                self.add_error("file", f"It is larger than {carry_reading.LARGEST // 1024} KB. Divide it.")
                return data
            try:
                data["text"] = file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                self.add_error("file", "It is no text in UTF-8.")
                return data
        if not self.errors:
            try:
                data["reading"] = carry_reading.read(data.get("text") or "")
            except carry_reading.Unreadable as problem:
                self.add_error("file" if file is not None else "text", str(problem))
        return data


class KeepForm(forms.Form):
    """Where a grader of an evaluation goes in a library: a name of its own, or a version of one there."""

    to = forms.ModelChoiceField(
        Connection.objects.none(), label="Library of", empty_label="Choose a connection"
    )
    name = forms.CharField(
        max_length=80,
        label="Name",
        help_text="If the library has one of this name and kind, this becomes its next version.",
    )
    note = forms.CharField(max_length=200, required=False, label="Note")

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["to"]
        choice.queryset = Connection.objects.actionable_by(user).order_by("name")

    def clean_name(self) -> str:
        return " ".join(str(self.cleaned_data["name"]).split())


def _refuse(problems: list[str]) -> None:
    if problems:
        raise forms.ValidationError(problems)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
