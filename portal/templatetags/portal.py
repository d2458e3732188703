"""Display words for templates: icons, fields, moments, amounts, and untrusted text."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django import template
from django.contrib.auth.models import AnonymousUser
from django.forms import BaseForm, BoundField, CheckboxInput
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from portal import hidden, json_rendering, rendering, wording
from portal.charts import Chart
from portal.querysets import is_operator

register = template.Library()


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """One icon of the sprite; decorative unless it is given a label."""
    sprite = f"{static('icons.svg')}#{name}"
    if label:
        return format_html(
            '<svg class="i" role="img" aria-label="{}"><use href="{}"></use></svg>', label, sprite
        )
    return format_html('<svg class="i" aria-hidden="true"><use href="{}"></use></svg>', sprite)


@register.filter
def words(text: str) -> list[str]:
    """The words of a text, to loop over a short fixed list."""
    return text.split()


@register.simple_tag
def script_url(name: str) -> str:
    """The address of one of our ES modules."""
    return str(static(f"js/{name}.js"))


# -- the frame ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """One entry of the rail; `also` are addresses outside its own that belong to it."""

    label: str
    icon: str
    url_name: str
    also: tuple[str, ...] = ()
    href: str = ""
    current: bool = False
    apart: bool = False
    desk_only: bool = False


_EVERYBODY = (
    Place("Completions", "messages-square", "completions:pane"),
    Place("Review", "users", "completions:queues"),
    Place("Datasets", "database", "datasets:list", also=("/distill/", "/relabels/")),
    Place("Fine-tunes", "graduation-cap", "datasets:finetunes", also=("/deployments/",)),
    Place("Evaluations", "flask-conical", "datasets:evaluations", also=("/evaluate/", "/comparisons/")),
    Place("Connections", "plug", "connections:list", also=("/prices/",), apart=True),
    Place("Operations", "activity", "operations:list"),
)
_OPERATORS = (Place("Audit", "scroll-text", "audit:list", desk_only=True),)
_STAFF = (Place("Admin", "settings", "admin:index", desk_only=True),)


@register.inclusion_tag("components/rail.html", takes_context=True)
def rail(context: template.Context) -> dict[str, Any]:
    """The sections this person may open, the one that is open marked."""
    request: HttpRequest | None = context.get("request")
    user = getattr(request, "user", None) or AnonymousUser()
    if request is None or not user.is_authenticated:
        return {"places": []}
    wanted = _EVERYBODY + (_OPERATORS if is_operator(user) else ()) + (_STAFF if user.is_staff else ())
    places = [place for item in wanted if (place := _located(item, request.path))]
    # Of two that hold the address the longer one is where the person is.
    here = max((place for place in places if place.current), key=lambda place: len(place.href), default=None)
    return {"places": [place if place is here else replace(place, current=False) for place in places]}


def _located(place: Place, path: str) -> Place | None:
    try:
        href = reverse(place.url_name)
    except NoReverseMatch:
        return None
    return replace(place, href=href, current=path.startswith((href, *place.also)))


@register.filter
def initials(user: Any) -> str:
    """Two letters for a person's round picture."""
    full = user.get_full_name().split() or user.get_username().replace(".", " ").replace("-", " ").split()
    return str(full[0][:1] + full[-1][:1] if len(full) > 1 else user.get_username()[:2]).upper()


# -- forms -------------------------------------------------------------------------------------------------


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, label: str = "") -> dict[str, Any]:
    """One form field with its label, help and errors."""
    box = isinstance(bound.field.widget, CheckboxInput)
    return {"field": bound, "label": label or bound.label, "box": box}


@register.inclusion_tag("components/fields.html")
def fields(form: BaseForm) -> dict[str, Any]:
    """Every field of a form, with the errors of the whole form first."""
    return {"form": form}


@register.inclusion_tag("components/chart.html")
def chart(chart: Chart) -> dict[str, Any]:
    """A line chart: drawn by script, and as a table for everybody who cannot see it."""
    return {"chart": chart}


# -- moments and amounts -----------------------------------------------------------------------------------

register.filter("duration", wording.duration)
register.filter("thousands", wording.thousands)
register.filter("compact", wording.compact)
register.filter("size", wording.size)
register.filter("percent", wording.percent)


@register.filter
def ago(value: Any) -> SafeString | str:
    """A datetime or Unix seconds as "5 min ago"; the reader's own clock time is in its title."""
    at = wording.as_moment(value)
    if at is None:
        return "never"
    seconds = (timezone.now() - at).total_seconds()
    text = wording.age(seconds) if seconds >= 0 else f"in {wording.duration(-seconds)}"
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>', at.isoformat(), wording.full_clock(at), text
    )


@register.filter
def moment(value: Any) -> SafeString | str:
    """A datetime or Unix seconds as "20 Nov 10:41", turned to the reader's own zone by script."""
    at = wording.as_moment(value)
    if at is None:
        return wording.NOTHING
    return format_html(
        '<time datetime="{}" title="{}" data-moment>{}</time>',
        at.isoformat(),
        wording.full_clock(at),
        wording.clock(at),
    )


# -- untrusted text ----------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    return "" if value is None else str(value)


@register.filter
def rich(text: Any) -> SafeString:
    """What a model or a user wrote, as markdown."""
    return rendering.rich(_text(text))


@register.filter
def plain(text: Any) -> SafeString:
    """What a model or a user wrote, as it is, with its line breaks."""
    return rendering.plain(_text(text))


@register.filter
def line(text: Any, length: int = 300) -> SafeString:
    """One line of what a model or a user wrote, for lists."""
    return rendering.line(_text(text), length)


@register.filter
def shown(text: Any) -> SafeString:
    """What a model or a user wrote, for inside an element of the page's own, such as a <pre>."""
    return mark_safe(rendering.escaped(_text(text)))  # noqa: S308  # escaped, with our own chips


@register.filter
def spelled(text: Any, length: int = 120) -> str:
    """One line of what a model or a user wrote without any markup, for <title> and attributes."""
    return rendering.shortened(hidden.name(_text(text)), length)


register.filter("json_text", json_rendering.json_text)
register.filter("json_tree", json_rendering.json_tree)


@register.filter
def pairs(mapping: Any) -> list[tuple[Any, Any]]:
    """Names and values of a mapping from outside, where `.items` would find a value of that name instead."""
    return list(mapping.items()) if isinstance(mapping, Mapping) else []


@register.filter
def lookup(mapping: Mapping[Any, Any] | None, key: Any) -> Any:
    """The value under a key that is only known at run time."""
    return mapping.get(key) if mapping else None
