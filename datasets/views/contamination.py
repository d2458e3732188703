"""Which rows of a version, or of a part of it, are known from another: counts, and the rows side by side."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from datasets import contamination_run, reading
from datasets.build import files
from datasets.contamination import KINDS, Found, Pair, Side, between_splits
from datasets.models import DatasetVersion
from datasets.recipe import SPLITS
from portal.htmx import go, wants_fragment
from portal.permissions import Verb, fetch, may

PAGE = 10
MOST_OFFERED = 200
TEXT_CHARS = 3_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a pair: its line, where it is shown, and what it says."""

    line: int
    url: str
    text: str
    cut: bool


@require_http_methods(["GET", "POST"])
def contamination(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Compare. What is compared stands in the address; posting begins a comparison that takes long."""
    versions = DatasetVersion.objects.select_related("dataset")
    verb: Verb = "act" if request.method == "POST" else "read"
    version: DatasetVersion = fetch(versions, request.user, verb, dataset=pk, number=number)
    here = request.get_full_path()
    if wants_fragment(request) and request.method == "GET":  # the comparison has ended: a new page
        return go(request, here)
    other = _other(request, version)
    side, against = _sides(request, version, other)
    context: dict[str, Any] = {
        "version": version,
        "other": other,
        "part": side.part if side else "",
        "with_part": against.part if against else "",
        "parts": [("", "All rows"), *((part.name, part.name.capitalize()) for part in version.parts)],
        "splits": [("", "All rows"), *((name, name.capitalize()) for name in SPLITS)],
        "offered": _offered(request, version),
        "shared": between_splits(version),
        "here": here,
        "problem": _problem(side, against),
    }
    if side is not None and against is not None and not context["problem"]:
        if request.method == "POST":
            contamination_run.begin(side, against, request.user)
            return redirect(here)
        found = contamination_run.found(side, against)
        operation = contamination_run.newest(side, against) if found is None else None
        context |= {
            "found": found,
            "operation": operation,
            "may_act": may(DatasetVersion.objects, request.user, "act", version),
        }
        if found is not None:
            context |= _shown(request, found, side, against)
    return render(request, "datasets/contamination.html", context)


def _other(request: HttpRequest, version: DatasetVersion) -> DatasetVersion:
    wanted = request.GET.get("with", "")
    if not wanted:
        return version
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 16):
        raise Http404
    found: DatasetVersion = fetch(
        DatasetVersion.objects.select_related("dataset"), request.user, pk=int(wanted)
    )
    return found


def _sides(
    request: HttpRequest, version: DatasetVersion, other: DatasetVersion
) -> tuple[Side | None, Side | None]:
    """What is compared with what; of one version with itself first its test part with what it learns from."""
    part, with_part = request.GET.get("part", ""), request.GET.get("with_part", "")
    if version.pk == other.pk and not part and not with_part and len(version.parts) > 1:
        part, with_part = version.parts[-1].name, version.parts[0].name
    return Side.of(version, part), Side.of(other, with_part)


def _problem(side: Side | None, against: Side | None) -> str:
    if side is None or against is None:
        return "A version that is not built, or has no such part, cannot be compared."
    if side.overlaps(against):
        return "" if side.rows == 0 else "Choose another version, or two different parts of this one."
    return ""


def _offered(request: HttpRequest, version: DatasetVersion) -> list[DatasetVersion]:
    """Versions to compare with, this one first."""
    ready = DatasetVersion.objects.readable_by(request.user).filter(state=DatasetVersion.State.READY)
    others = ready.exclude(pk=version.pk).select_related("dataset").order_by("-id")
    return [version, *others[: MOST_OFFERED - 1]]


def _shown(request: HttpRequest, found: Found, side: Side, against: Side) -> dict[str, Any]:
    """One page of pairs, and where the next begins."""
    after = request.GET.get("after", "")
    first = int(after) if after.isascii() and after.isdigit() and len(after) < 6 else 0
    pairs = found.pairs[first : first + PAGE]
    mine = _rows(side, [pair.line for pair in pairs])
    theirs = _rows(against, [pair.known for pair in pairs])
    asked = {name: value for name, value in request.GET.items() if name in ("with", "part", "with_part")}
    more = first + PAGE < len(found.pairs)
    return {
        "pairs": [_pair(pair, mine, theirs) for pair in pairs],
        "first": first,
        "next": f"?{urlencode({**asked, 'after': first + PAGE})}" if more else "",
        "back": f"?{urlencode(asked)}" if first else "",
    }


def _pair(pair: Pair, mine: dict[int, Row], theirs: dict[int, Row]) -> dict[str, Any]:
    return {
        "words": KINDS[pair.kind],
        "share": pair.share if pair.kind == "near" else None,
        "rows": (mine.get(pair.line), theirs.get(pair.known)),
    }


def _rows(side: Side, lines: list[int]) -> dict[int, Row]:
    """The rows of these lines, read from the file."""
    version = side.version
    where = reverse("datasets:version", args=[version.dataset_id, version.number])
    made: dict[int, Row] = {}
    with files.open_file(version) as file:
        for example in version.examples.filter(line__in=lines):
            line = example.line or 0
            file.seek(example.offset)
            text = reading.read(reading.parsed(file.read(example.length))).text
            made[line] = Row(line, f"{where}?line={line}", text[:TEXT_CHARS], len(text) > TEXT_CHARS)
    return made
