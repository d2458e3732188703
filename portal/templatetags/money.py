"""Amounts of money in templates."""

from decimal import Decimal
from typing import Any

from django import template
from django.conf import settings

from portal import prices

register = template.Library()


@register.filter
def money(amount: Any) -> str:
    """A decimal, or the text of one, as "12.40 USD"; "unknown" for None and nothing."""
    if isinstance(amount, Decimal) or amount is None:
        return prices.money(amount)
    return prices.money(Decimal(str(amount)) if str(amount) else None)


@register.filter
def rate(amount: Decimal) -> str:
    """A price without the noughts at its end, at least to the cent."""
    text = f"{amount.normalize():f}"
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest:0<2} {settings.CURRENCY}"
