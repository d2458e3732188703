"""The label vocabulary of a connection: everybody who reads it sees it, builders change it."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from completions import labels
from completions.models import Label
from completions.review import keys_of, offered_by
from completions.reviewing import Refused
from portal.htmx import go, toast
from portal.models import Connection
from portal.permissions import Verb, fetch, may

Kind = Label.Kind
_CONTROLS = {*map(chr, range(32)), "\x7f", "\u2028", "\u2029"}


class LabelForm(forms.Form):
    """What a label asks. Its name and kind are fixed once it was answered."""

    use_required_attribute = False  # a browser would ask for fields of another kind

    name = forms.CharField(
        max_length=60,
        help_text="A word or two, as it is written in a filter: label.tone:formal",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )
    kind = forms.ChoiceField(choices=Kind.choices, label="Answers")
    options = forms.CharField(
        label="Offered answers",
        help_text="One on each line. Number keys 1 to 9 choose the first nine.",
        widget=forms.Textarea({"rows": 5, "spellcheck": "false"}),
    )
    low = forms.IntegerField(label="From", min_value=-labels.FARTHEST, max_value=labels.FARTHEST)
    high = forms.IntegerField(label="To", min_value=-labels.FARTHEST, max_value=labels.FARTHEST)
    guideline = forms.CharField(
        required=False,
        max_length=10_000,
        help_text="Stands beside the label while somebody answers. Markdown.",
        widget=forms.Textarea({"rows": 6}),
    )

    def __init__(self, data: Any = None, *, label: Label | None = None, fixed: bool = False) -> None:
        super().__init__(data, initial=_initial(label))
        if fixed:
            for name in ("name", "kind"):
                self.fields[name].disabled = True
            self.fields["name"].help_text = "It was answered, so its name and its kind stay as they are."

    def full_clean(self) -> None:
        """What another kind asks for may be missing."""
        kind = self.data.get("kind", "") if not self.fields["kind"].disabled else self.initial["kind"]
        needed = {Kind.CHOICE: ["options"], Kind.MULTIPLE: ["options"], Kind.SCORE: ["low", "high"]}
        for name in ("options", "low", "high"):
            self.fields[name].required = name in needed.get(kind, [])
        super().full_clean()
        for name in ("options", "low", "high"):
            self.fields[name].required = True

    def clean_name(self) -> str:
        name = " ".join(self.cleaned_data["name"].split())
        if _CONTROLS & set(name):
            raise forms.ValidationError("A name is one line of text.")
        return name

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if given.get("kind") in (Kind.CHOICE, Kind.MULTIPLE):
            if "options" in given:
                self._clean_options(given)
        elif given.get("kind") == Kind.SCORE:
            low, high = given.get("low"), given.get("high")
            if low is not None and high is not None:
                given["answers"] = [low, high]
                if low >= high:
                    self.add_error("high", "A score ends above where it begins.")
        else:
            given["answers"] = []
        return given

    def _clean_options(self, given: dict[str, Any]) -> None:
        lines = [" ".join(line.split()) for line in given.get("options", "").splitlines()]
        answers = list(dict.fromkeys(line for line in lines if line))
        least = 2 if given["kind"] == Kind.CHOICE else 1
        if len(answers) < least:
            self.add_error("options", "Offer two answers at least." if least == 2 else "Offer an answer.")
        elif len(answers) > labels.MOST_ANSWERS:
            self.add_error("options", f"A label can offer {labels.MOST_ANSWERS} answers.")
        elif long := next((each for each in answers if len(each) > labels.LONGEST_ANSWER), None):
            self.add_error("options", f"“{long[:30]}…” is longer than {labels.LONGEST_ANSWER} characters.")
        elif any(_CONTROLS & set(each) for each in answers):
            self.add_error("options", "An answer is one line of text.")
        else:
            given["answers"] = answers


def _initial(label: Label | None) -> dict[str, Any]:
    if label is None:
        return {"kind": Kind.CHOICE, "low": 1, "high": 5}
    known: dict[str, Any] = {"name": label.name, "kind": label.kind, "guideline": label.guideline}
    if label.kind == Kind.SCORE:
        known["low"], known["high"] = label.options
    else:
        known["options"] = "\n".join(label.options)
    return known


def _connection(request: HttpRequest, slug: str, verb: Verb = "read") -> Connection:
    found: Connection = fetch(Connection.objects.defer("secret"), request.user, verb, slug=slug)
    return found


def _label(request: HttpRequest, slug: str, pk: int) -> Label:
    rows = Label.objects.select_related("connection").defer("connection__secret")
    found: Label = fetch(rows, request.user, "act", connection__slug=slug, pk=pk)
    return found


@require_safe
def index(request: HttpRequest, connection: str) -> HttpResponse:
    """The labels in the order in which they are asked."""
    where = _connection(request, connection)
    rows = labels.of(where)
    return render(
        request,
        "completions/labels.html",
        {
            "connection": where,
            "asked": [(each, _answers(each)) for each in rows if each.retired is None],
            "retired": [(each, _answers(each)) for each in rows if each.retired is not None],
            "may_build": may(Connection.objects, request.user, "act", where),
        },
    )


def _answers(label: Label) -> list[tuple[str, str]]:
    """What is offered, each with the key that chooses it."""
    offered = offered_by(label)
    if offered is None:
        return [] if label.kind == Kind.TEXT else [("{} to {}".format(*label.options), "")]
    keys = keys_of(label, offered)
    return [(each, keys.get(each, "")) for each in offered]


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, connection: str) -> HttpResponse:
    """One more label."""
    where = _connection(request, connection, "act")
    form = LabelForm(request.POST or None)
    return _edited(request, where, form, Label(connection=where))


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, connection: str, pk: int) -> HttpResponse:
    """Other answers, another guideline; another name or kind as long as nobody answered."""
    label = _label(request, connection, pk)
    form = LabelForm(request.POST or None, label=label, fixed=labels.is_used(label))
    return _edited(request, label.connection, form, label)


def _edited(request: HttpRequest, where: Connection, form: LabelForm, label: Label) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        label.name, label.kind = given["name"], given["kind"]
        label.options, label.guideline = given["answers"], given["guideline"].strip()
        try:
            labels.save(label, request.user)
        except Refused as refused:
            form.add_error("name", str(refused))
        else:
            return toast(request, go(request, _list(where)), f"“{label.name}” is saved.")
    context = {"connection": where, "form": form, "label": label if label.pk else None}
    return render(request, "completions/label_form.html", context, status=422 if form.errors else 200)


@require_POST
def move(request: HttpRequest, connection: str, pk: int) -> HttpResponse:
    """One place up or down."""
    label = _label(request, connection, pk)
    labels.move(label, -1 if request.POST.get("to") == "up" else 1)
    return go(request, _list(label.connection))


@require_POST
def retire(request: HttpRequest, connection: str, pk: int) -> HttpResponse:
    """Ask it no more."""
    label = _label(request, connection, pk)
    labels.retire(label, request.user)
    text = f"“{label.name}” is not asked any more. What was answered stays."
    return toast(request, go(request, _list(label.connection)), text)


@require_POST
def restore(request: HttpRequest, connection: str, pk: int) -> HttpResponse:
    """Ask it again."""
    label = _label(request, connection, pk)
    try:
        labels.restore(label, request.user)
    except Refused as refused:
        return toast(request, go(request, _list(label.connection)), str(refused), "bad")
    return toast(request, go(request, _list(label.connection)), f"“{label.name}” is asked again.")


def _list(connection: Connection) -> str:
    return reverse("completions:labels", args=[connection.slug])
