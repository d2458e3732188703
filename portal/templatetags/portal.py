"""Display words for templates: icons, fields, moments, amounts, and untrusted text."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.contrib.auth.models import AnonymousUser
from django.forms import BaseForm, BoundField, CheckboxInput
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

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
    return static(f"js/{name}.js")


# -- the frame -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """One entry of the rail."""

    label: str
    icon: str
    url_name: str
    href: str = ""
    current: bool = False
    apart: bool = False
    desk_only: bool = False


_EVERYBODY = (
    Place("Completions", "messages-square", "completions:pane"),
    Place("Datasets", "database", "datasets:list"),
    Place("Fine-tunes", "graduation-cap", "datasets:finetunes"),
    Place("Evaluations", "flask-conical", "datasets:evaluations"),
    Place("Connections", "plug", "connections:list", apart=True),
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
    return {"places": [place for item in wanted if (place := _located(item, request.path))]}


def _located(place: Place, path: str) -> Place | None:
    try:
        href = reverse(place.url_name)
    except NoReverseMatch:
        return None
    return Place(
        place.label,
        place.icon,
        place.url_name,
        href=href,
        current=path.startswith(href),
        apart=place.apart,
        desk_only=place.desk_only,
    )


@register.filter
def initials(user: Any) -> str:
    """Two letters for a person's round picture."""
    full = user.get_full_name().split() or user.get_username().replace(".", " ").replace("-", " ").split()
    return (full[0][:1] + full[-1][:1] if len(full) > 1 else user.get_username()[:2]).upper()


# -- forms -----------------------------------------------------------------------------------------------------------


@register.inclusion_tag("components/field.html")
def field(bound: BoundField) -> dict[str, Any]:
    """One form field with its label, help and errors."""
    return {"field": bound, "box": isinstance(bound.field.widget, CheckboxInput)}


@register.inclusion_tag("components/fields.html")
def fields(form: BaseForm) -> dict[str, Any]:
    """Every field of a form, with the errors of the whole form first."""
    return {"form": form}


@register.inclusion_tag("components/chart.html")
def chart(chart: Chart) -> dict[str, Any]:
    """A line chart: drawn by script, and as a table for everybody who cannot see it."""
    return {"chart": chart}


# -- moments and amounts ---------------------------------------------------------------------------------------------


def _moment(value: Any) -> datetime | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, datetime):
        return value if timezone.is_aware(value) else timezone.make_aware(value)
    return None


def spoken_age(seconds: float) -> str:
    """How long ago, in the shortest words that are still right."""
    if seconds < 45:
        return "just now"
    for size, name in ((86400 * 365, "y"), (86400 * 30, "mo"), (86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return "1 min ago"


@register.filter
def ago(value: Any) -> SafeString | str:
    """A moment as "5 min ago"; the reader's own clock time is in its title. Takes a datetime or Unix seconds."""
    moment = _moment(value)
    if moment is None:
        return "never"
    seconds = (timezone.now() - moment).total_seconds()
    text = spoken_age(seconds) if seconds >= 0 else f"in {duration(-seconds)}"
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>', moment.isoformat(), _utc(moment), text
    )


@register.filter
def moment(value: Any) -> SafeString | str:
    """A moment as "20 Nov 10:41", turned to the reader's own zone by script. Takes a datetime or Unix seconds."""
    at = _moment(value)
    if at is None:
        return "–"
    utc = at.astimezone(UTC)
    text = f"{utc.day} {utc:%b} {utc:%H:%M}" if utc.year == timezone.now().year else f"{utc.day} {utc:%b} {utc.year}"
    return format_html('<time datetime="{}" title="{}" data-moment>{}</time>', at.isoformat(), _utc(at), text)


def _utc(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%B %Y %H:%M:%S} UTC"


@register.filter
def duration(value: Any) -> str:
    """Seconds or a timedelta as "2 min 5 s"."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not isinstance(value, int | float):
        return "–"
    if value < 10:
        return f"{value:.1f} s".replace(".0 s", " s")
    seconds = round(value)
    parts = []
    for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        amount, seconds = divmod(seconds, size)
        if amount:
            parts.append(f"{amount} {name}")
    return " ".join(parts[:2])


@register.filter
def thousands(value: Any) -> str:
    """A whole number with separators: 12,480."""
    return f"{value:,}" if isinstance(value, int) else "–" if value is None else str(value)


@register.filter
def compact(value: Any) -> str:
    """A number in four signs or so: 1.28 M."""
    if not isinstance(value, int | float):
        return "–"
    for size, name in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            amount = value / (1e3 if name == "k" else size)
            return f"{amount:.3g} {name}" if amount < 1000 else f"{amount:,.0f} {name}"
    return f"{value:,}"


@register.filter
def size(value: Any) -> str:
    """Bytes as "4.2 MB"."""
    if not isinstance(value, int | float):
        return "–"
    for step, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if abs(value) >= step:
            return f"{value / step:.1f} {name}"
    return f"{value:.0f} B"


@register.filter
def percent(value: Any, digits: int = 0) -> str:
    """A share between 0 and 1 as "93%"."""
    return f"{value * 100:.{digits}f}%" if isinstance(value, int | float) else "–"


@register.filter
def lookup(mapping: Mapping[Any, Any] | None, key: Any) -> Any:
    """The value under a key that is only known at run time."""
    return mapping.get(key) if mapping else None
