"""What was spent through a connection, month by month, and the budget that its managers set."""

from datetime import date
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from portal import prices, spending, tables
from portal.htmx import go, toast
from portal.models import Budget, Connection, Spending
from portal.permissions import fetch, may
from portal.price_forms import BudgetForm
from portal.spending_subjects import shown

PAGE = 100
COLUMNS = (
    "month", "what", "kind", "state", "reserved", "settled", "currency", "by", "begun", "changed",
)  # fmt: skip


def _found(request: HttpRequest, slug: str, verb: Any = "read") -> Connection:
    found: Connection = fetch(
        Connection.objects.defer("secret").with_endpoint(), request.user, verb, slug=slug
    )
    return found


def _month_of(text: str) -> date | None:
    """The first day of a month that stands in an address, such as 2026-11."""
    try:
        return date.fromisoformat(f"{text}-01") if len(text) == 7 else None
    except ValueError:
        return None


def _rows(connection: Connection, month: date) -> "QuerySet[Spending]":
    rows: QuerySet[Spending] = Spending.objects.filter(connection=connection, month=month)
    return rows.select_related("requested_by").order_by("-created", "-pk")


@require_safe
def of_connection(request: HttpRequest, slug: str) -> HttpResponse:
    connection = _found(request, slug)
    return _page(request, connection, _month_of(request.GET.get("month", "")) or spending.this_month())


def _page(
    request: HttpRequest, connection: Connection, month: date, forms: dict[str, BudgetForm] | None = None
) -> HttpResponse:
    now = spending.this_month()
    months = set(Spending.objects.filter(connection=connection).values_list("month", flat=True).distinct())
    months |= {
        each for each in Budget.objects.filter(connection=connection).values_list("month", flat=True) if each
    }
    before = request.GET.get("page", "")
    start = (int(before) - 1) * PAGE if before.isascii() and before.isdigit() and 0 < len(before) < 6 else 0
    rows = list(_rows(connection, month)[max(start, 0) : max(start, 0) + PAGE + 1])
    can_manage = may(Connection.objects, request.user, "manage", connection)
    context = {
        "connection": connection,
        "month": month,
        "months": sorted(months | {now, month}, reverse=True),
        "state": spending.state_of(connection, month),
        "rows": shown(rows[:PAGE], request.user),
        "number": start // PAGE + 1,
        "more": len(rows) > PAGE,
        "can_manage": can_manage,
        "forms": (forms or _forms(connection, month)) if can_manage else {},
        "is_past": month < now,
    }
    return render(request, "portal/spending.html", context, status=422 if forms else 200)


def _forms(connection: Connection, month: date) -> dict[str, BudgetForm]:
    held = {each.month: each for each in Budget.objects.filter(connection=connection)}
    made = {}
    for name, key in (("every", None), ("month", month)):
        budget = held.get(key)
        initial = (
            {"amount": budget.amount.quantize(spending.CENT), "allow_unknown": budget.allow_unknown}
            if budget
            else {}
        )
        made[name] = BudgetForm(initial=initial, prefix=name)
    return made


@require_POST
def budget(request: HttpRequest, slug: str) -> HttpResponse:
    """Set or take away the budget of every month, or of one."""
    connection = _found(request, slug, "manage")
    month = _month_of(request.POST.get("month", "")) or spending.this_month()
    name = "month" if request.POST.get("which") == "month" else "every"
    form = BudgetForm(request.POST, prefix=name)
    if not form.is_valid():
        return _page(request, connection, month, _forms(connection, month) | {name: form})
    amount = form.cleaned_data["amount"]
    spending.change_budget(
        connection,
        request.user,
        month if name == "month" else None,
        amount,
        allow_unknown=form.cleaned_data["allow_unknown"],
    )
    url = f"{reverse('spending:connection', args=[slug])}?month={month:%Y-%m}"
    text = "The budget is gone." if amount is None else f"The budget is {prices.money(amount)}."
    return toast(request, go(request, url), text)


@require_safe
def export(request: HttpRequest, slug: str) -> HttpResponse:
    """The rows of a month for a spreadsheet."""
    connection = _found(request, slug)
    month = _month_of(request.GET.get("month", "")) or spending.this_month()
    lines: list[list[object]] = [
        ["month", "what", "kind", "state", "reserved", "settled", "currency", "by", "begun", "changed"]
    ]
    for each in shown(_rows(connection, month), request.user):
        row = each.row
        lines.append(
            [
                f"{row.month:%Y-%m}",
                each.words,
                row.subject_type,
                row.state,
                "" if row.reserved is None else f"{row.reserved:f}",
                "" if row.settled is None else f"{row.settled:f}",
                settings.CURRENCY,
                str(row.requested_by or ""),
                row.created.isoformat(timespec="seconds"),
                row.changed.isoformat(timespec="seconds"),
            ]
        )
    answer = HttpResponse(tables.rows(lines), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="spending-{connection.slug}-{month:%Y-%m}.csv"'
    return answer
