"""What of datasets can be gone to by typing; importing registers it."""

from collections.abc import Iterable

from django.db.models import Q
from django.urls import reverse

from completions.palette import MOST_OF_ONE, Asked, Entry, named, offers
from datasets.models import Comparison, Dataset, Evaluation, FineTune, LibraryGrader, Relabel


@offers
def datasets(asked: Asked) -> Iterable[Entry]:
    """Datasets by their name."""
    if asked.typed:
        for each in named(Dataset.objects.readable_by(asked.user), "name", asked.typed):
            yield Entry(each.name, "Dataset", "database", reverse("datasets:dataset", args=[each.pk]))


@offers
def evaluations(asked: Asked) -> Iterable[Entry]:
    """Evaluations by their name."""
    if asked.typed:
        for each in named(Evaluation.objects.readable_by(asked.user), "name", asked.typed):
            href = reverse("datasets:evaluation", args=[each.pk])
            yield Entry(each.name, "Evaluation", "flask-conical", href)


@offers
def comparisons(asked: Asked) -> Iterable[Entry]:
    """The page of comparisons, and each by its name."""
    typed = asked.typed
    if not typed:
        return
    if "comparisons".startswith(typed.casefold()):
        yield Entry("Comparisons", "Page", "git-compare", reverse("datasets:comparisons"))
    for each in named(Comparison.objects.readable_by(asked.user), "name", typed):
        yield Entry(each.name, "Comparison", "git-compare", reverse("datasets:comparison", args=[each.pk]))


@offers
def graders(asked: Asked) -> Iterable[Entry]:
    """The library of graders, and those in it by their name."""
    typed = asked.typed
    if not typed:
        return
    if "grader library".startswith(typed.casefold()):
        yield Entry("Grader library", "Page", "book-open", reverse("datasets:libraries"))
    kept = LibraryGrader.objects.readable_by(asked.user).filter(archived=False).select_related("connection")
    for each in named(kept, "name", typed):
        href = reverse("datasets:library_grader", args=[each.pk])
        yield Entry(each.name, "Grader", "book-open", href, hint=each.connection.name)


@offers
def relabels(asked: Asked) -> Iterable[Entry]:
    """The page of relabelling, and what was relabelled by its name."""
    typed = asked.typed
    if not typed:
        return
    if "relabelling".startswith(typed.casefold()):
        yield Entry("Relabelling", "Page", "sparkles", reverse("datasets:relabels"))
    begun = Relabel.objects.readable_by(asked.user).exclude(state=Relabel.State.DRAFT)
    for each in named(begun, "name", typed):
        yield Entry(each.name, "Relabelling", "sparkles", each.get_absolute_url())


@offers
def fine_tunes(asked: Asked) -> Iterable[Entry]:
    """Fine-tunes by the model that they began with or made, by their dataset, or by their id upstream."""
    typed = asked.typed
    if not typed:
        return
    rows = FineTune.objects.readable_by(asked.user).select_related("version__dataset")
    fits = Q(version__dataset__name__icontains=typed)
    for field in ("base_model", "fine_tuned_model", "suffix", "remote_id"):
        fits |= Q(**{f"{field}__icontains": typed})  # a field of ours
    for each in rows.filter(fits)[:MOST_OF_ONE]:
        origin = str(each.version.dataset) if each.version is not None else "a file at the provider"
        title = each.fine_tuned_model or f"{each.base_model} on {origin}"
        hint = f"{each.get_state_display()} · {origin} {each.suffix} {each.remote_id}".strip()
        yield Entry(
            title, "Fine-tune", "graduation-cap", reverse("datasets:finetune", args=[each.pk]), hint=hint
        )
