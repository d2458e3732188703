"""The audit trail: one chain in any weather, and every change to it is found."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection as database
from django.db import connections as databases
from django.db import transaction
from django.test import Client
from django.urls import reverse

from portal import audit
from portal.models import AuditEntry, AuditHead, User
from tests import factories

THREADS, EACH = 10, 8


@pytest.mark.django_db
def test_entries_form_a_chain_that_verifies(operator: User) -> None:
    connection = factories.connection("Somewhere")
    for number in range(5):
        audit.record(operator, "thing.done", connection, connection=connection, number=number, text="é\u202e")
    audit.record(None, "thing.begun")
    assert audit.verify() == (6, None)
    first = AuditEntry.objects.order_by("pk")[0]
    assert (first.previous, first.actor_name, first.target_name) == (audit.GENESIS, "operator", "Somewhere")
    assert AuditEntry.objects.latest("pk").actor_name == "system"


@pytest.mark.django_db
def test_an_entry_goes_with_the_transaction_it_describes(operator: User) -> None:
    audit.record(operator, "kept")
    with transaction.atomic():
        audit.record(operator, "lost")
        transaction.set_rollback(True)
    audit.record(operator, "kept.too")
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True)) == ["kept", "kept.too"]
    assert audit.verify() == (2, None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        {"verb": "other"},
        {"actor_name": "somebody"},
        {"target_name": "other"},
        {"target_id": "9"},
        {"details": {"rows": 2}},
        {"previous": "0" * 64},
        {"digest": "f" * 64},
    ],
)
def test_a_changed_entry_is_found(operator: User, change: dict[str, Any]) -> None:
    for number in range(4):
        audit.record(operator, "thing.done", operator, rows=number)
    victim = AuditEntry.objects.order_by("pk")[1]
    AuditEntry.objects.filter(pk=victim.pk).update(**change)
    checked, broken = audit.verify()
    assert broken == victim.pk
    assert checked == 1


@pytest.mark.django_db
@pytest.mark.parametrize("position", [0, 1, 3])
def test_a_removed_entry_is_found(operator: User, position: int) -> None:
    for number in range(4):
        audit.record(operator, "thing.done", rows=number)
    AuditEntry.objects.filter(pk=AuditEntry.objects.order_by("pk")[position].pk).delete()
    assert audit.verify()[1] is not None


@pytest.mark.django_db
def test_removing_everything_is_found(operator: User) -> None:
    audit.record(operator, "thing.done")
    AuditEntry.objects.all().delete()
    assert audit.verify()[1] is not None


@pytest.mark.django_db
def test_the_chain_outlives_people_and_connections(operator: User) -> None:
    connection = factories.connection()
    audit.record(operator, "thing.done", connection, connection=connection)
    connection.delete()
    operator.delete()
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.connection, entry.actor_name) == (None, None, "operator")
    assert audit.verify() == (1, None)


@pytest.mark.engines
@pytest.mark.django_db(transaction=True)
def test_ten_threads_write_one_chain() -> None:
    together = threading.Barrier(THREADS)
    failures: list[BaseException] = []

    def write(name: int) -> None:
        try:
            together.wait(30)
            for number in range(EACH):
                with transaction.atomic():
                    audit.record(None, f"thread.{name}", number=number)
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            databases.close_all()

    threads = [threading.Thread(target=write, args=(name,)) for name in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert audit.verify() == (THREADS * EACH, None)
    assert AuditHead.objects.count() == 1
    for name in range(THREADS):
        rows = AuditEntry.objects.filter(verb=f"thread.{name}").order_by("pk")
        assert [entry.details["number"] for entry in rows] == list(range(EACH))
    assert database.vendor in ("sqlite", "postgresql")


# Its page


@pytest.fixture
def boss(operator: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(operator)


@pytest.mark.engines
@pytest.mark.django_db
def test_the_page_is_narrowed_and_paged(boss: Client, operator: User) -> None:
    connection = factories.connection("Somewhere")
    for number in range(130):
        audit.record(operator, "thing.done", number=number)
    audit.record(None, "other.done", connection, connection=connection)
    url = reverse("audit:list")
    page = boss.get(url)
    assert len(page.context["entries"]) == 100
    older = boss.get(f"{url}?{page.context['older']}")
    assert len(older.context["entries"]) == 31
    assert not older.context["older"]
    assert [entry.verb for entry in boss.get(url, {"verb": "other"}).context["entries"]] == ["other.done"]
    assert len(boss.get(url, {"connection": connection.slug}).context["entries"]) == 1
    assert len(boss.get(url, {"actor": "system"}).context["entries"]) == 1
    for name in ("actor", "verb", "connection"):
        assert not boss.get(url, {name: "a\x00"}).context["entries"]
    for odd in ("x", "-1", "9" * 40, "١٢"):
        assert len(boss.get(url, {"before": odd}).context["entries"]) in (0, 100)


@pytest.mark.django_db
def test_the_page_says_whether_the_chain_is_whole(boss: Client, operator: User) -> None:
    audit.record(operator, "thing.done")
    verify = reverse("audit:verify")
    assert "as they were written" in boss.get(boss.post(verify)["Location"]).content.decode()
    AuditEntry.objects.update(verb="thing.undone")
    assert "changed or removed" in boss.get(boss.post(verify)["Location"]).content.decode()


@pytest.mark.django_db
def test_names_in_the_trail_are_text_and_not_markup(boss: Client, operator: User) -> None:
    connection = factories.connection("<script>alert(1)</script>")
    audit.record(operator, "thing.done", connection, connection=connection, note="<img src=x>")
    page = boss.get(reverse("audit:list")).content.decode()
    assert "<script>alert" not in page
    assert "<img" not in page


@pytest.mark.django_db
def test_only_operators_see_it_and_nobody_edits_it(
    client_of: Callable[[User], Client], manager: User, operator: User
) -> None:
    assert client_of(manager).get(reverse("audit:list")).status_code == 403
    assert client_of(manager).post(reverse("audit:verify")).status_code == 403
    User.objects.filter(pk=operator.pk).update(is_staff=True, is_superuser=True)
    boss = client_of(operator)
    entry = audit.record(operator, "thing.done")
    change = reverse("admin:portal_auditentry_change", args=[entry.pk])
    assert boss.get(change).status_code == 200
    assert boss.post(change, {"verb": "x"}).status_code == 403
    assert boss.post(reverse("admin:portal_auditentry_delete", args=[entry.pk])).status_code == 403
    assert boss.get(reverse("admin:portal_auditentry_add")).status_code == 403
    assert audit.verify() == (1, None)


@pytest.mark.django_db
def test_what_operators_do_to_people_in_the_admin_is_recorded(
    client_of: Callable[[User], Client], operator: User
) -> None:
    User.objects.filter(pk=operator.pk).update(is_staff=True, is_superuser=True)
    boss = client_of(operator)
    password = "a long enough sentence 42"
    boss.post(
        reverse("admin:portal_user_add"),
        {"username": "fresh", "password1": password, "password2": password, "usable_password": "true"},
    )
    fresh = User.objects.get(username="fresh")
    boss.post(reverse("admin:portal_user_delete", args=[fresh.pk]), {"post": "yes"})
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True)) == [
        "user.added",
        "user.deleted",
    ]


def test_the_administration_lists_audit_entries_by_their_name(
    client_of: Callable[[User], Client], db: None
) -> None:
    boss = User.objects.create_superuser("boss", "boss@example.org")
    page = client_of(boss).get("/admin/").content.decode()
    assert "Audit entries" in page
    assert "Audit entrys" not in page
