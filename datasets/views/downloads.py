"""The file of a version, as it is, in parts or packed, and what goes with it."""

from collections.abc import Callable, Iterator

from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from datasets import cards, packing, training_configs
from datasets.build import files
from datasets.models import DatasetVersion
from datasets.views.datasets import version_of
from portal import audit

JSONL = "application/jsonl"
Texts = dict[str, tuple[str, str, Callable[[DatasetVersion], str]]]
# By the last word of the address: what the file is called behind the version's name, its type, its text.
TEXTS: Texts = {
    "manifest": ("manifest.json", "application/json", cards.manifest_text),
    "card": ("README.md", "text/markdown; charset=utf-8", cards.card),
    "trl": (training_configs.TRL, "text/x-python; charset=utf-8", training_configs.trl),
    "axolotl": (training_configs.AXOLOTL, "application/yaml", training_configs.axolotl),
}


def _ready(request: HttpRequest, pk: int, number: int) -> DatasetVersion:
    version = version_of(request, pk, number, "act")
    if version.state != DatasetVersion.State.READY:
        raise Http404
    if not files.artifacts().exists(version.path):
        raise Http404("The file is not in the artifacts any more.")
    return version


def _noted(request: HttpRequest, version: DatasetVersion, what: str) -> None:
    with transaction.atomic():
        audit.record(request.user, "dataset_version.downloaded", version, sha256=version.sha256, what=what)


def _careful(response: HttpResponseBase) -> HttpResponseBase:
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    return response


def _streamed(pieces: Iterator[bytes], name: str, kind: str) -> HttpResponseBase:
    response = StreamingHttpResponse(pieces, content_type=kind)
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return _careful(response)


@require_safe
def file(request: HttpRequest, pk: int, number: int) -> HttpResponseBase:
    """The exact file."""
    found = _ready(request, pk, number)
    _noted(request, found, "file")
    response = FileResponse(
        files.open_file(found), as_attachment=True, filename=f"{cards.stem(found)}.jsonl", content_type=JSONL
    )
    response["Digest"] = f"sha-256={found.sha256}"
    return _careful(response)


@require_safe
def other(request: HttpRequest, pk: int, number: int, what: str) -> HttpResponseBase:
    """A part, the file as gzip, a text that goes with it, or everything as a zip."""
    found = _ready(request, pk, number)
    name = cards.stem(found)
    if what in TEXTS:
        return _text(request, found, what)
    if what == "gzip":
        _noted(request, found, what)
        return _streamed(packing.packed(files.checked_bytes(found)), f"{name}.jsonl.gz", "application/gzip")
    if what == "everything":
        _noted(request, found, what)
        return _streamed(_everything(found, name), f"{name}.zip", "application/zip")
    part = found.part(what)
    if part is None:
        raise Http404
    _noted(request, found, what)
    response = _streamed(packing.part(found, part), f"{name}-{part.name}.jsonl", JSONL)
    response["Digest"] = f"sha-256={part.sha256}"
    response["Content-Length"] = str(part.size)
    return response


def _text(request: HttpRequest, version: DatasetVersion, what: str) -> HttpResponseBase:
    if what in ("trl", "axolotl") and not training_configs.offered(version):
        raise Http404
    name, kind, write = TEXTS[what]
    _noted(request, version, what)
    response = HttpResponse(write(version), content_type=kind)
    shown = f"{cards.stem(version)}-{name}" if what in ("manifest", "card") else name
    response["Content-Disposition"] = content_disposition_header(True, shown) or "attachment"
    return _careful(response)


def _everything(version: DatasetVersion, name: str) -> Iterator[bytes]:
    texts = {
        "README.md": cards.card(version),
        "manifest.json": cards.manifest_text(version),
        "SHA256SUMS": cards.checksums(version),
        **training_configs.texts(version),
    }
    return packing.everything(version, name, texts, dict(training_configs.flat_rows(version)))
