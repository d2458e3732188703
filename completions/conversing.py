"""One completion's conversation for pages that show it beside something else, without its review."""

from dataclasses import dataclass

from django.utils.safestring import SafeString

from completions.addresses import drawer_address
from completions.models import Body, StoredCompletion
from completions.talk import Talk
from completions.talk_html import Writer


@dataclass(frozen=True, slots=True)
class Shown:
    """The conversation as HTML, what it was read from, and where the whole completion is."""

    talk: Talk
    html: SafeString
    address: str


def shown_of(row: StoredCompletion, *, raw: bool = False) -> Shown:
    """Its conversation; `row.connection` must be at hand."""
    talk = Talk(row, Body.objects.only("raw").filter(pk=row.pk).first())
    address = drawer_address(row.connection.slug, row.upstream_id, row.pk)
    return Shown(talk, Writer(f"{address}?", raw=raw).conversation(talk), address)
