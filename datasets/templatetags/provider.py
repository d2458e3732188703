"""What pages tell of a run that the provider does."""

import json
import zlib
from typing import Any
from urllib.parse import urlsplit

from django import template

from datasets.evaluate.provider import ITS_ITEMS
from datasets.models import Run
from portal.models import Connection

register = template.Library()
_IDS = (("Evaluation", "eval"), ("Run", "run"), ("File", "file"))


@register.simple_tag
def provider_facts(run: Run) -> dict[str, Any]:
    """Where it is, how far, its ids; the report's address only if it is one that a browser may open.

    `mark` is another one as soon as anything of it is.
    """
    told = run.upstream
    counts = told.get("counts") or {}
    return {
        "mark": f"{zlib.crc32(json.dumps(told, sort_keys=True).encode()):x}",
        "place": Connection.objects.filter(pk=told.get("connection")).values_list("name", flat=True).first(),
        "status": told.get("status", ""),
        "judged": sum(counts.get(name, 0) for name in ("passed", "failed", "errored")),
        "total": counts.get("total", 0),
        "errored": counts.get("errored", 0),
        "report": _address(told.get("report_url")),
        "ids": [(title, told[name]) for title, name in _IDS if told.get(name)],
        "usage": told.get("usage") or [],
        "strange": told.get("strange", 0),
    }


@register.filter
def refused_for_its_items(run: Run) -> bool:
    """Whether the provider takes no such items, which never change: going on would be refused again."""
    ended = run.operation
    return run.state == Run.State.FAILED and ended is not None and ended.error_code == ITS_ITEMS


def _address(text: Any) -> str:
    """The address if it is a plain https one, else nothing: it was written by others."""
    if not isinstance(text, str) or any(ord(character) <= 32 for character in text):
        return ""
    try:
        parts = urlsplit(text)
        ok = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return ""
    return text if ok else ""
