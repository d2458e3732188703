"""The pages of prices: everybody reads them, operators keep them."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal import price_list, prices
from portal.htmx import go, toast
from portal.models import Price
from portal.permissions import operator_required
from portal.price_forms import PriceFileForm, PriceForm
from portal.querysets import is_operator


def _prices() -> "QuerySet[Price]":
    found: QuerySet[Price] = Price.objects.all()
    return found


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    return _page(request, PriceFileForm())


def _page(
    request: HttpRequest, form: PriceFileForm, problems: list[str] | None = None, status: int = 200
) -> HttpResponse:
    rows = [{"price": price, "is_old": prices.is_old(price.as_of)} for price in _prices()]
    operator = is_operator(request.user)
    context = {
        "rows": rows,
        "old": sum(bool(row["is_old"]) for row in rows),
        "days": prices.OLD.days,
        "currency": settings.CURRENCY,
        "is_operator": operator,
        "suggested": len(price_list.suggestions()) if operator else 0,
        "form": form,
        "problems": problems or [],
    }
    return render(request, "portal/prices.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_required
def new(request: HttpRequest) -> HttpResponse:
    model = request.GET.get("model", "")[:120].replace("\x00", "")
    return _edit(request, Price(model=model))


@require_http_methods(["GET", "HEAD", "POST"])
@operator_required
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    return _edit(request, get_object_or_404(_prices(), pk=pk))


def _edit(request: HttpRequest, price: Price) -> HttpResponse:
    form = PriceForm(request.POST or None, instance=price)
    if request.method == "POST" and form.is_valid():
        made = form.save(commit=False)
        price_list.save(made, request.user)
        return toast(request, go(request, reverse("spending:prices")), f"The price of {made.model} is saved.")
    context: dict[str, Any] = {"form": form, "price": price if price.pk else None}
    return render(request, "portal/price_form.html", context, status=422 if form.is_bound else 200)


@require_POST
@operator_required
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    price = get_object_or_404(_prices(), pk=pk)
    price_list.delete(price, request.user)
    return toast(request, go(request, reverse("spending:prices")), f"The price of {price.model} is deleted.")


@require_POST
@operator_required
def suggestions(request: HttpRequest) -> HttpResponse:
    taken = price_list.take_suggestions(request.user)
    text = f"{taken} prices are entered. Compare them with your contract." if taken else "Nothing is missing."
    return toast(request, go(request, reverse("spending:prices")), text, "warn" if taken else "info")


@require_POST
@operator_required
def take_file(request: HttpRequest) -> HttpResponse:
    form = PriceFileForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, form, status=422)
    try:
        taken = price_list.take(price_list.read(form.cleaned_data["file"].read()), request.user)
    except price_list.Unreadable as unreadable:
        return _page(request, PriceFileForm(), unreadable.problems, 422)
    text = f"{taken.added} added, {taken.changed} changed, {taken.same} as they were."
    return toast(request, go(request, reverse("spending:prices")), text)


@require_safe
def export(request: HttpRequest) -> HttpResponse:
    answer = HttpResponse(price_list.as_table(_prices()), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="prices.csv"'
    return answer
