"""Pages of prices and spending: who may read and change, and what a person reads there."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from portal import price_list, spending
from portal.models import AuditEntry, Budget, Connection, Price, Spending, User
from tests import factories

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]


@pytest.fixture
def connection(db: None) -> Connection:
    return factories.connection("Shop", slug="shop")


def entered(model: str = "gpt-4.1", **fields: object) -> Price:
    values = {"kind": "input", "amount": Decimal(2), "as_of": timezone.now().date(), "source": "contract"}
    made: Price = Price.objects.create(model=model, **values | fields)
    return made


def test_everybody_reads_prices_and_only_operators_change_them(
    reader: User, outsider: User, manager: User, operator: User, client_of: ClientOf
) -> None:
    price = entered()
    changes = ["/prices/new/", f"/prices/{price.pk}/"]
    posts = ["/prices/suggestions/", "/prices/import/", f"/prices/{price.pk}/delete/"]
    for person in (outsider, reader, manager):
        client = client_of(person)
        page = client.get("/prices/")
        assert "gpt-4.1" in page.text
        assert "New price" not in page.text
        assert client.get("/prices/prices.csv").status_code == 200
        assert {client.get(url).status_code for url in changes} == {403}
        assert {client.post(url).status_code for url in [*changes, *posts]} == {403}
    assert "New price" in client_of(operator).get("/prices/").text


def test_a_price_is_entered_changed_and_deleted_and_each_is_in_the_audit_trail(
    operator: User, client_of: ClientOf
) -> None:
    client = client_of(operator)
    values = {
        "model": "gpt-4.1-mini", "kind": "training", "provider": "azure", "training_type": "Developer",
        "amount": "0.45", "as_of": "2026-11-01", "source": "our contract",
    }  # fmt: skip
    assert client.post("/prices/new/", values).status_code == 303
    price = Price.objects.get()
    assert client.post(f"/prices/{price.pk}/", values | {"amount": "0.5"}).status_code == 303
    assert Price.objects.get().amount == Decimal("0.5")
    again = client.post("/prices/new/", values)
    assert (again.status_code, Price.objects.count()) == (422, 1)
    ahead = (timezone.now() + timedelta(days=3)).date().isoformat()
    assert client.post(f"/prices/{price.pk}/", values | {"as_of": ahead}).status_code == 422
    client.post(f"/prices/{price.pk}/delete/")
    assert not Price.objects.exists()
    verbs = AuditEntry.objects.filter(verb__startswith="price.").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["price.saved", "price.saved", "price.deleted"]


def test_an_old_price_is_said_to_be_old(reader: User, client_of: ClientOf) -> None:
    entered()
    assert "days ago" not in client_of(reader).get("/prices/").text
    entered("gpt-4o", as_of=date(2024, 1, 1))
    assert "1 price was read more than 180 days ago" in client_of(reader).get("/prices/").text


def test_suggestions_say_where_they_are_from_and_leave_what_is_entered(
    operator: User, client_of: ClientOf
) -> None:
    mine = entered(provider="openai", amount=Decimal("1.11"))
    client = client_of(operator)
    client.post("/prices/suggestions/")
    mine.refresh_from_db()
    assert mine.amount == Decimal("1.11")
    others = Price.objects.exclude(pk=mine.pk)
    assert others.count() > 5
    assert all(price.source.startswith("https://") for price in others)
    assert all(price.as_of < timezone.now().date() for price in others)
    assert price_list.suggestions() == []
    assert AuditEntry.objects.filter(verb="price.suggestions_taken").count() == 1


def test_the_list_goes_out_and_in_again(operator: User, client_of: ClientOf) -> None:
    entered()
    entered("o4-mini", kind="training", provider="azure", training_type="Standard", amount=Decimal("0.25"))
    client = client_of(operator)
    table = client.get("/prices/prices.csv").content
    first = list(Price.objects.values_list("model", "kind", "provider", "training_type", "amount", "as_of"))
    Price.objects.filter(model="o4-mini").delete()
    Price.objects.update(amount=9)
    client.post("/prices/import/", {"file": SimpleUploadedFile("prices.csv", table)})
    assert first == list(
        Price.objects.values_list("model", "kind", "provider", "training_type", "amount", "as_of")
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("model,amount\nx,1\n", "missing: kind, as_of"),
        ("model,kind,amount,as_of\nx,input,abc,2026-11-01\n", "Line 2: &#x27;abc&#x27; is no amount"),
        ("model,kind,amount,as_of\nx,input,NaN,2026-11-01\n", "not finite"),
        ("model,kind,amount,as_of\nx,input,-1,2026-11-01\n", "not below zero"),
        ("model,kind,amount,as_of\nx,input,1,yesterday\n", "is no day"),
        ("model,kind,amount,as_of\nx,rent,1,2026-11-01\n", "not a valid choice"),
        ("model,kind,amount,as_of,currency\nx,input,1,2026-11-01,EUR\n", "counts in USD, not in EUR"),
        (
            "model,kind,amount,as_of\nx,input,1,2026-11-01\nx,input,2,2026-11-01\n",
            "Line 3: the price of x (input) stands there twice",
        ),
        ("\xff\xfe", "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_taken_says_why_and_changes_nothing(
    table: str, said: str, operator: User, client_of: ClientOf
) -> None:
    answer = client_of(operator).post(
        "/prices/import/", {"file": SimpleUploadedFile("prices.csv", table.encode("latin-1"))}
    )
    assert answer.status_code == 422
    assert said in answer.text
    assert not Price.objects.exists()


def test_readers_see_the_month_and_managers_set_its_budget(
    connection: Connection, reader: User, builder: User, manager: User, outsider: User, client_of: ClientOf
) -> None:
    url = "/connections/shop/spending/"
    assert client_of(outsider).get(url).status_code == 404
    values = {"which": "every", "every-amount": "50", "every-allow_unknown": "on"}
    for person in (reader, builder):
        assert "Budget of every month" not in client_of(person).get(url).text
        assert client_of(person).post(f"{url}budget/", values).status_code == 403
    client = client_of(manager)
    assert client.post(f"{url}budget/", values).status_code == 303
    assert (
        client.post(f"{url}budget/", {"which": "month", "month": "2026-12", "month-amount": "5"}).status_code
        == 303
    )
    held = {each.month: (each.amount, each.allow_unknown) for each in Budget.objects.all()}
    assert held == {None: (50, True), date(2026, 12, 1): (5, False)}
    assert "5.00 USD" in client.get(f"{url}?month=2026-12").text
    assert client.post(f"{url}budget/", {"which": "every", "every-amount": "-3"}).status_code == 422
    client.post(f"{url}budget/", {"which": "every", "every-amount": ""})
    assert Budget.objects.count() == 1
    entries = AuditEntry.objects.filter(verb__startswith="budget.", connection=connection)
    assert entries.count() == 3


def test_a_row_names_its_work_only_to_those_who_may_open_it(
    connection: Connection, reader: User, client_of: ClientOf
) -> None:
    spending.reserve(connection, "datasets.run", 4711, "Run 1 of Secret plans", Decimal(3), None)
    page = client_of(reader).get("/connections/shop/spending/").text
    assert "3.00 USD" in page
    assert "Secret plans" not in page
    table = client_of(reader).get("/connections/shop/spending/spending.csv").text
    assert "3.000000" in table
    assert "Secret plans" not in table


@pytest.mark.parametrize("month", ["", "2026-13", "x", "2026-1", "0000-01", "9999-12", "2026-11-01"])
def test_any_month_in_the_address_is_answered(
    month: str, connection: Connection, reader: User, client_of: ClientOf
) -> None:
    answer = client_of(reader).get("/connections/shop/spending/", {"month": month, "page": "0"})
    assert answer.status_code == 200


def test_nothing_in_a_table_begins_a_formula(
    connection: Connection, reader: User, client_of: ClientOf
) -> None:
    Spending.objects.create(
        connection=connection, month=spending.this_month(), subject_type="=cmd()", subject_id="1", what="x"
    )
    assert ",'=cmd()," in client_of(reader).get("/connections/shop/spending/spending.csv").text


def test_a_connection_of_files_spends_nothing(reader: User, client_of: ClientOf) -> None:
    factories.connection("Files", slug="files", kind="files")
    assert client_of(reader).get("/connections/files/spending/").status_code == 404
    assert "spending" not in client_of(reader).get("/connections/files/").text
