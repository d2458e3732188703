"""The last step of Distill: how to train, what it costs, and the launch."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from datasets import distill, preview
from datasets.distill_forms import LaunchForm
from datasets.finetune import launch as launching
from datasets.models import DatasetVersion, FineTune
from datasets.views.distill_page import page, status
from portal.models import Connection
from portal.permissions import fetch


def launch(request: HttpRequest, version: DatasetVersion) -> HttpResponse:
    tune = _tune(request, version)
    if tune is None:
        return redirect("datasets:distill", version.pk, "model")
    if tune.state != FineTune.State.DRAFT:
        return redirect("datasets:finetune", tune.pk)
    if version.state != DatasetVersion.State.READY:
        return redirect("datasets:distill", version.pk, "check")
    # The right is asked for again: it may have gone since the model was chosen.
    fetch(Connection.objects, request.user, "act", pk=tune.connection_id)
    initial = {
        **tune.hyperparameters,
        "seed": tune.seed,
        "suffix": tune.suffix,
        "training_type": tune.training_type,
    }
    form = LaunchForm(request.POST or None, initial=initial, azure=tune.connection.is_azure)
    if request.method == "POST" and form.is_valid():
        distill.set_up(tune, form.cleaned_data)
        if "later" in request.POST:
            return redirect("datasets:version", version.dataset_id, version.number)
        launching.begin(tune, request.user)
        return redirect("datasets:finetune", tune.pk)
    epochs = distill.epochs(version.rows, tune.hyperparameters.get("n_epochs"))
    context = page(
        version,
        "launch",
        form=form,
        tune=tune,
        epochs=epochs,
        trained=version.counts.get("tokens", 0) * epochs,
        left_out=preview.left_out(version),
        left_out_count=version.left_out_total,
    )
    return render(request, "datasets/distill/launch.html", context, status=status(form))


def _tune(request: HttpRequest, version: DatasetVersion) -> FineTune | None:
    """The fine-tune that the posted form was made for, so that a form sent twice launches once."""
    named = request.POST.get("fine_tune", "")
    if named.isdigit():
        found: FineTune | None = (
            FineTune.objects.readable_by(request.user)
            .filter(pk=named, version=version)
            .select_related("connection", "version__dataset")
            .first()
        )
        return found
    return distill.draft_of(version)
