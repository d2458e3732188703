"""Pages that show every component, for tests of the frame; they are no part of the product."""

from datetime import UTC, datetime
from math import exp

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from portal.charts import Chart, Line
from portal.htmx import fragment, toast
from portal.urls import urlpatterns as portal_urls

NOW = datetime(2026, 11, 20, 10, 41, tzinfo=UTC)
ROWS = range(1, 41)


class EveryField(forms.Form):
    """One field of each kind."""

    name = forms.CharField(help_text="Shown in lists and in the address.")
    kind = forms.ChoiceField(choices=[("a", "Azure OpenAI (v1)"), ("b", "OpenAI")])
    notes = forms.CharField(widget=forms.Textarea, required=False)
    fresh = forms.BooleanField(required=False, help_text="Ask the deployment again for every row.")
    how = forms.ChoiceField(choices=[("k", "API key"), ("e", "Microsoft Entra ID")], widget=forms.RadioSelect)


def loss() -> Chart:
    steps = list(range(1, 101))
    training = Line("Training loss", [1.8 * exp(-step / 30) + 0.3 for step in steps])
    validation = Line(
        "Validation loss", [1.6 * exp(-step / 30) if step % 20 == 0 else None for step in steps], marks=True
    )
    return Chart("loss", "Training and validation loss", "Step", steps, [training, validation])


def components(request: HttpRequest) -> HttpResponse:
    context = {"form": EveryField({"kind": "a"}), "chart": loss(), "now": NOW}
    return render(request, "kit/components.html", context)


def wizard(request: HttpRequest) -> HttpResponse:
    return render(request, "kit/wizard.html")


def pane(request: HttpRequest, row: int = 0) -> HttpResponse:
    start = 20 if request.GET.get("page") else 0
    return render(
        request,
        fragment(request, "kit/pane.html", {"results", "drawer"}),
        {
            "q": request.GET.get("q", ""),
            "rows": ROWS[start : start + 20],
            "now": NOW,
            "open": row,
            "before": row - 1,
            "after": row + 1,
            "prompt": "Why does `created_at` hide\u202e?",
            "answer": "**Look:**\n\n```sql\nSELECT 1\n```\n\n<b hx-get='/kit/pane/' hx-trigger='load'>x</b>",
            "arguments": '{"city": "Oslo", "days": [1, 2]}',
        },
    )


def chosen(request: HttpRequest) -> HttpResponse:
    names = ("mode", "ids", "excluded", "q", "for")
    return HttpResponse("|".join(request.POST.get(name, "") for name in names))


def answer(request: HttpRequest, status: int) -> HttpResponse:
    return toast(request, HttpResponse("swapped", status=status), "Saved.")


urlpatterns = [
    *portal_urls,
    path("kit/", components),
    path("kit/wizard/", wizard),
    path("kit/pane/", pane),
    path("kit/pane/<int:row>/", pane),
    path("kit/chosen/", chosen),
    path("kit/answer/<int:status>/", answer),
]
