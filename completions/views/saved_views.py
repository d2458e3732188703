"""Saved views: named, changed, shared, moved, deleted and brought back; and what each of them counts."""

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from completions import saved
from completions.models import DefaultView, SavedView
from completions.pane import Pane
from portal.htmx import go, redraw, toast, wants_fragment
from portal.permissions import fetch

CHANGED = "views-changed"


class ViewForm(forms.Form):
    """What a view is called and for whom it is."""

    name = forms.CharField(max_length=80, widget=forms.TextInput({"autocomplete": "off"}))
    shared = forms.BooleanField(
        required=False,
        label="Share it",
        help_text="Colleagues see its name and filter if they may read a connection that you may read, and "
        "every one that it names. Each sees only completions that they may read themselves.",
    )
    first = forms.BooleanField(
        required=False, label="Open it first", help_text="When you come to the completions, for you alone."
    )


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Give what an address shows a name."""
    page = _page(request)
    form = ViewForm(request.POST or None, initial={"name": _proposed(page)})
    if form.is_valid():
        given = form.cleaned_data
        try:
            view = saved.save(request.user, given["name"], page.views.said, shared=given["shared"])
        except saved.Refused as refused:
            form.add_error("name", str(refused))
        else:
            if given["first"]:
                saved.open_first(request.user, view, first=True)
            return toast(request, go(request, saved.address(view)), f"“{view.name}” is saved.")
    return _form(request, page, form)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Another name, shared or not, opened first or not; of somebody else's view only the last."""
    view: SavedView = fetch(SavedView.objects, request.user, pk=pk)
    page, mine = _page(request), view.owner_id == request.user.pk
    first = DefaultView.objects.filter(person=request.user.pk, view=view).exists()
    initial = {"name": view.name, "shared": view.shared, "first": first}
    form = ViewForm(request.POST or None, initial=initial)
    if not mine:
        del form.fields["name"], form.fields["shared"]
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            if mine and given["name"] != view.name:
                saved.rename(view, given["name"])
        except saved.Refused as refused:
            form.add_error("name", str(refused))
        else:
            if mine:
                saved.share(view, shared=given["shared"])
            saved.open_first(request.user, view, first=given["first"])
            return toast(request, go(request, page.here), f"“{view.name}” is changed.")
    return _form(request, page, form, view, mine=mine)


@require_POST
def save(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep what the pane shows in the place of what the view showed."""
    view: SavedView = fetch(SavedView.objects, request.user, "manage", pk=pk)
    try:
        saved.overwrite(view, _page(request).views.said)
    except saved.Refused as refused:
        return toast(request, _beside(request), str(refused), "bad")
    return toast(request, _beside(request), f"“{view.name}” is saved.")


@require_POST
def move(request: HttpRequest, pk: int) -> HttpResponse:
    """One place up or down among one's own."""
    view: SavedView = fetch(SavedView.objects, request.user, "manage", pk=pk)
    saved.move(view, -1 if request.POST.get("to") == "up" else 1)
    return _beside(request)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a view away; the list offers to bring it back."""
    view: SavedView = fetch(SavedView.objects, request.user, "manage", pk=pk)
    page = _page(request)
    saved.delete(view)
    if page.view == str(view.pk):
        page.view = saved.EVERYTHING
        page.__dict__.pop("kept", None)
    text = f"“{view.name}” is deleted. It can be brought back beside the table."
    return toast(request, go(request, page.here), text)


@require_POST
def restore(request: HttpRequest, pk: int) -> HttpResponse:
    """Bring back what was just deleted."""
    view = SavedView.objects.owned_by(request.user).filter(pk=pk, deleted__isnull=False).first()
    if view is None:
        raise Http404
    saved.restore(view)
    return toast(request, _beside(request), f"“{view.name}” is back.")


@require_safe
def counts(request: HttpRequest) -> HttpResponse:
    """How many completions each view shows, put where its name stands."""
    context = {"counts": saved.counts(request.user)}
    return render(request, "completions/view_counts.html", context)


def _page(request: HttpRequest) -> Pane:
    """The pane that the person comes from and goes back to."""
    said = request.POST.get("query", "")[: 4 * saved.MOST_SAID]
    return Pane.of(request.user, QueryDict(said) if request.method == "POST" else request.GET)


def _beside(request: HttpRequest) -> HttpResponse:
    """The list of views anew; without scripts the pane with it."""
    page = _page(request)
    if not wants_fragment(request):
        return go(request, page.here)
    page.views.prepare()
    return redraw(render(request, "completions/views.html", {"pane": page}), CHANGED)


def _proposed(page: Pane) -> str:
    """A name to begin with."""
    return page.wanted.describe()[:60].strip() if page.wanted and not page.wanted.broken else ""


def _form(
    request: HttpRequest, page: Pane, form: forms.Form, view: SavedView | None = None, *, mine: bool = True
) -> HttpResponse:
    context: dict[str, Any] = {
        "pane": page,
        "form": form,
        "view": view,
        "mine": mine,
        "described": page.wanted.describe(),
        "action": reverse("completions:view", args=[view.pk]) if view else reverse("completions:view_new"),
    }
    template = "completions/view_form.html#form" if wants_fragment(request) else "completions/view_form.html"
    return render(request, template, context, status=422 if form.is_bound and form.errors else 200)
