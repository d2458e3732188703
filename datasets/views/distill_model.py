"""The third step of Distill: where to train, and which model in which version."""

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from datasets import base_models, distill
from datasets.distill_forms import ModelForm
from datasets.models import DatasetVersion, FineTune
from datasets.views.distill_page import page, status
from portal import prices
from portal.htmx import fragment, go, toast, wants_fragment
from portal.models import Connection, Price


@dataclass(frozen=True)
class Choice:
    """A base model as a card: with what training costs, if somebody entered it."""

    family: base_models.Family
    price: Price | None

    @property
    def retires(self) -> str:
        """The day on which its newest version goes."""
        return self.family.versions[0].retires


def model(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    """Choose connection and model; the method follows from the purpose."""
    connections = Connection.objects.actionable_by(request.user).with_endpoint().order_by("name")
    if not connections.exists():
        text = "Training takes a connection with an endpoint; you act on none. Download the rows instead."
        return toast(
            request, go(request, reverse("datasets:distill", args=[version.pk, "check"])), text, "warn"
        )
    draft = distill.draft_of(version)
    form = ModelForm(request.POST or None, connections=connections, initial=_chosen(request, version, draft))
    if request.method == "POST" and form.is_valid():
        chosen, base_model = form.cleaned_data["connection"], form.cleaned_data["base_model"]
        version, _ = distill.choose_model(version, request.user, chosen, base_model)
        if version.state == DatasetVersion.State.READY:
            return redirect("datasets:distill", version.pk, "launch")
        distill.build_now(version, request.user)  # the model takes shorter rows than were built
        return redirect("datasets:distill", version.pk, "check")
    connection = _connection(request, form, connections)
    asks = wants_fragment(request) or request.method == "POST"
    purpose = version.dataset.purpose
    offer = base_models.ask(connection, purpose) if asks else base_models.suggested(connection, purpose)
    context = page(
        version,
        "model",
        form=form,
        offer=offer,
        choices=[Choice(family, _price(family, connection, draft)) for family in offer.families],
        connection=connection,
        asks=not asks,
        picked=_picked(request, draft, offer),
        method=FineTune.Method(distill.METHODS[purpose]).label,
    )
    template = fragment(request, "datasets/distill/model.html", {"models"})
    return render(request, template, context, status=status(form))


def _price(family: base_models.Family, connection: Connection, draft: FineTune | None) -> Price | None:
    training_type = draft.training_type if draft is not None else ""
    if connection.is_azure and not training_type:
        training_type = distill.USUAL_TRAINING_TYPE
    return prices.find(
        family.versions[0].id, Price.Kind.TRAINING, prices.provider_of(connection), training_type
    )


def _chosen(request: HttpRequest, version: DatasetVersion, draft: FineTune | None) -> dict[str, Any]:
    """What the form shows first: the draft's choice, else a source that may be acted on."""
    if draft is not None:
        return {"connection": draft.connection_id}
    sources = Connection.objects.actionable_by(request.user).with_endpoint().filter(dataset_versions=version)
    return {"connection": distill.main_source(version, sources)}


def _connection(request: HttpRequest, form: ModelForm, connections: Any) -> Connection:
    wanted = request.POST.get("connection") or request.GET.get("connection") or form.initial.get("connection")
    number = int(str(wanted)) if str(wanted).isdecimal() and len(str(wanted)) < 19 else 0
    found: Connection | None = connections.filter(pk=number).first() or connections.first()
    if found is None:
        raise Http404
    return found


def _picked(request: HttpRequest, draft: FineTune | None, offer: base_models.Offer) -> dict[str, Any]:
    """The family and version that are marked, and the free text of a model that is not on the list."""
    sent = request.POST if request.method == "POST" else request.GET
    model = sent.get("version") or (draft.base_model if draft and "model" not in sent else "")
    family = offer.named(sent.get("model", "")) or offer.family_of(model)
    other = sent.get("other", "") or (model if draft and family is None else "")
    if family is None and not other and offer.families:
        family = offer.families[0]
    return {"family": family, "version": model, "other": other}
