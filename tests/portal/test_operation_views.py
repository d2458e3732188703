"""Operations as people see them, and what they may do about them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.models import Operation, OperationLine, User
from portal.progress import progress_of, results_of
from tests import factories

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
State = Operation.State


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.operations.app.send_task", lambda *args, **options: None)


def operation(**fields: Any) -> Operation:
    values: dict[str, Any] = {
        "kind": "sync.newest",
        "queue": "sync",
        "title": "First rows",
        "dedupe_key": str(fields),
    }
    if "connection" not in fields:
        values["connection"] = factories.connection()
    made: Operation = Operation.objects.create(**values | fields)
    return made


def test_rights_decide_who_sees_and_who_acts(
    reader: User, builder: User, outsider: User, client_of: ClientOf
) -> None:
    found = operation()
    address = reverse("operations:detail", args=[found.pk])
    assert client_of(outsider).get(address).status_code == 404
    assert client_of(reader).get(address).status_code == 200
    cancel = reverse("operations:cancel", args=[found.pk])
    assert client_of(outsider).post(cancel).status_code == 404
    assert client_of(reader).post(cancel).status_code == 403
    assert client_of(builder).post(cancel).status_code == 303
    found.refresh_from_db()
    assert found.state == State.CANCELLED


def test_results_are_told_in_words_and_unnamed_ones_not_at_all(reader: User, client_of: ClientOf) -> None:
    result = {"new": 3, "gone upstream": 2, "top": 1_790_000_000, "rows": 12, "<b>": "x"}
    found = operation(state=State.DONE, result=result)
    assert results_of(found) == [("New", 3), ("Gone upstream", 2), ("Rows", 12)]
    page = client_of(reader).get(reverse("operations:detail", args=[found.pk])).content.decode()
    assert "<dt>Gone upstream</dt>" in page
    assert "1790000000" not in page.replace(",", "")


def test_an_operation_without_a_connection_is_its_owners_and_the_operators(
    reader: User, builder: User, operator: User, client_of: ClientOf
) -> None:
    found = operation(connection=None, requested_by=builder)
    address = reverse("operations:detail", args=[found.pk])
    assert client_of(builder).get(address).status_code == 200
    assert client_of(operator).get(address).status_code == 200
    assert client_of(reader).get(address).status_code == 404


def test_the_list_filters_by_state_and_kind(reader: User, client_of: ClientOf) -> None:
    operation(title="Alpha", state=State.DONE)
    operation(title="Beta", state=State.FAILED, kind="dataset.build", error_text="<b>No</b> rows.")
    client = client_of(reader)

    def titles(**query: str) -> set[str]:
        text = client.get(reverse("operations:list"), query).content.decode()
        return {title for title in ("Alpha", "Beta") if title in text}

    assert titles() == {"Alpha", "Beta"}
    assert titles(state="failed") == {"Beta"}
    assert titles(kind="sync") == {"Alpha"}
    assert titles(state="live") == set()
    assert titles(kind="nonsense", state="nonsense", before="x") == {"Alpha", "Beta"}
    assert "&lt;b&gt;No&lt;/b&gt;" in client.get(reverse("operations:list")).content.decode()


def test_a_live_card_asks_again_and_an_ended_one_tells_the_page(reader: User, client_of: ClientOf) -> None:
    found = operation(state=State.RUNNING, done=20, total=100)
    address = reverse("operations:card", args=[found.pk])
    client = client_of(reader)
    live = client.get(address)
    assert "every 2s" in live.content.decode()
    assert "20 of 100" in live.content.decode()
    assert "HX-Trigger" not in live
    Operation.objects.update(state=State.DONE)
    ended = client.get(address)
    assert "hx-get" not in ended.content.decode()
    assert "operation-ended" in ended["HX-Trigger"]


def test_a_failed_one_says_why_shows_its_log_and_can_be_tried_again(
    builder: User, client_of: ClientOf
) -> None:
    found = operation(state=State.FAILED, error_code="auth", error_text="The key is wrong.", cursor={"at": 5})
    OperationLine.objects.create(operation=found, text="<script>x</script>", level="error")
    client = client_of(builder)
    text = client.get(reverse("operations:detail", args=[found.pk])).content.decode()
    assert "The key is wrong." in text
    assert "&lt;script&gt;" in text
    answer = client.post(reverse("operations:retry", args=[found.pk]))
    again = Operation.objects.exclude(pk=found.pk).get()
    assert answer["Location"] == reverse("operations:detail", args=[again.pk])
    assert again.cursor == {"at": 5}


def test_rate_and_time_left_follow_from_what_was_done() -> None:
    now = timezone.now()
    found = operation(
        state=State.RUNNING, done=100, total=300, started=now - timedelta(seconds=10), progressed=now
    )
    seen = progress_of(found)
    assert seen.rate == pytest.approx(10, rel=0.01)
    assert seen.left == pytest.approx(20, rel=0.01)
    assert progress_of(operation(total=50)).left is None
