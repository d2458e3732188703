"""What belongs together on a connection: found, kept up to date, and the same however often it is begun."""

import os
import subprocess
import sys
from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from completions import belonging
from completions.filters import Filter
from completions.forgetting import forget
from completions.listing import Listing
from completions.models import Belonging, Fingerprint, Mirror, PromptTemplate, StoredCompletion
from portal.models import Connection, Operation, User
from tests import factories
from tests.completions.mirroring import check_whole, drain, hurry
from tests.workers import database_url

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True)]
LONG = " ".join(f"word{n}" for n in range(60))


@pytest.fixture(autouse=True)
def nobody_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
def connection() -> Connection:
    return factories.connection()


def compare(connection: Connection) -> Operation:
    operation = belonging.begin(connection)
    drain(connection)
    operation.refresh_from_db()
    assert operation.state == "done", operation.error_text
    return operation


def groups(connection: Connection, kind: str) -> list[list[int]]:
    found = defaultdict(list)
    for pk, key in Belonging.objects.filter(connection=connection).order_by("pk").values_list("pk", kind):
        if key:
            found[key].append(pk)
    return sorted(found.values())


def everything(connection: Connection) -> list[tuple[Any, ...]]:
    rows: Any = Belonging.objects.filter(connection=connection).order_by("pk")
    return list(rows.values_list("pk", *belonging.KINDS))


def fill(connection: Connection) -> dict[str, list[StoredCompletion]]:
    """Rows of every kind of group, and some that are like nothing."""
    make = factories.make_completion
    made = {
        "same": [make(connection, prompt="Who?", answer=f"{space}Me.") for space in ("", " ", "\n")],
        "near": [make(connection, prompt=LONG, answer=f"{LONG} {end}") for end in ("one", "two", "three")],
        "alike": [
            make(connection, system=f"You are a helper for {name}. Today is {day}.", prompt=name, answer=day)
            for name, day in (("Ann", "May 1, 2026"), ("Bo Lee", "May 2, 2026"), ("Cy", "June 1, 2026"))
        ],
        "alone": [make(connection, prompt=f"p{n}", answer=f"a{n}") for n in range(3)],
    }
    first = make(connection, prompt="Hi", answer="Hello there")
    then = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello there"},
        {"role": "user", "content": "And then?"},
    ]
    made["thread"] = [first, make(connection, messages=then, answer="Nothing more")]
    return made


def check_found(connection: Connection, made: dict[str, list[StoredCompletion]]) -> None:
    """The groups are those of `fill`."""
    for kind in belonging.KINDS:
        expected = [[row.pk for row in made[kind]]]
        if kind == "near":  # what is the same is near, too
            expected.append([row.pk for row in made["same"]])
        assert groups(connection, kind) == sorted(expected), kind
    assert not Belonging.objects.filter(pk__in=[row.pk for row in made["alone"]]).exists()
    check_whole(connection)


def test_groups_are_found_and_can_be_filtered_by(connection: Connection, reader: User) -> None:
    made = fill(connection)
    operation = compare(connection)
    assert operation.result == {"groups": 5, "grouped": 11}
    check_found(connection, made)
    for kind in belonging.KINDS:
        expected = {row.pk for row in made[kind]}
        key = getattr(Belonging.objects.get(pk=min(expected)), kind)
        assert set(Listing(reader, Filter.parse(f"{kind}:{key}")).ids()) == expected
        assert set(Listing(reader, Filter.parse(f"{kind}:*")).ids()) >= expected
    template = PromptTemplate.objects.exclude(parts=[]).get()
    assert str(template) == "You are a helper for {…}. Today is {…}."
    assert template.made_of == 3


def test_a_second_time_changes_nothing(connection: Connection) -> None:
    fill(connection)
    compare(connection)

    def state() -> tuple[Any, ...]:
        fingerprints = list(Fingerprint.objects.order_by("pk").values_list("pk", "near", "alike"))
        return everything(connection), Mirror.objects.get().change, fingerprints

    before = state()
    compare(connection)
    assert state() == before


def test_rows_that_come_later_join_the_groups_that_are_there(connection: Connection) -> None:
    made = fill(connection)
    compare(connection)
    make = factories.make_completion
    same = make(connection, prompt="Who?", answer="Me.", model="another")
    near = make(connection, prompt=LONG, answer=f"{LONG} four")
    alike = make(connection, system="You are a helper for Dee Dee. Today is July 1, 2026.", prompt="x")
    alone = make(connection, prompt="p0", answer="a0")
    compare(connection)
    assert groups(connection, "same") == sorted(
        [[*(row.pk for row in made["same"]), same.pk], [made["alone"][0].pk, alone.pk]]
    )
    assert [*(row.pk for row in made["near"]), near.pk] in groups(connection, "near")
    assert groups(connection, "alike") == [[*(row.pk for row in made["alike"]), alike.pk]]
    assert PromptTemplate.objects.exclude(parts=[]).get().made_of == 4
    check_whole(connection)


def test_the_groups_of_rows_that_are_gone_or_changed_are_made_again(connection: Connection) -> None:
    made = fill(connection)
    compare(connection)
    first, *others = made["near"]
    with transaction.atomic():
        forget(connection.pk, [first.pk, made["same"][0].pk, made["same"][1].pk])
    StoredCompletion.objects.filter(pk=made["thread"][1].pk).update(digest="0" * 64)
    compare(connection)
    assert groups(connection, "near") == [[row.pk for row in others]]
    assert Belonging.objects.get(pk=others[0].pk).near == str(others[0].pk)
    assert groups(connection, "same") == []
    assert groups(connection, "thread") == [[row.pk for row in made["thread"]]]
    check_whole(connection)


def test_no_text_stays_of_a_template_that_is_shared_no_longer(connection: Connection) -> None:
    made = fill(connection)
    operation = compare(connection)
    Operation.objects.filter(pk=operation.pk).update(finished=timezone.now() - timedelta(hours=2))
    with transaction.atomic():
        forget(connection.pk, [row.pk for row in made["alike"][1:]])
    assert belonging.begin_if_due(connection) is not None
    drain(connection)
    template = PromptTemplate.objects.get()
    assert (template.parts, template.made_of) == ([], 0)
    with transaction.atomic():
        forget(connection.pk, [made["alike"][0].pk])
    compare(connection)
    assert not PromptTemplate.objects.exists()


def test_rows_whose_messages_are_missing_are_left_for_later(connection: Connection) -> None:
    rows = [factories.make_completion(connection, messages_state="pending") for _ in range(2)]
    compare(connection)
    assert everything(connection) == []
    StoredCompletion.objects.update(messages_state="ok")
    compare(connection)
    assert groups(connection, "same") == [[row.pk for row in rows]]


def test_in_small_batches_the_groups_are_the_same(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(connection)
    compare(connection)
    whole = everything(connection)
    Fingerprint.objects.all().delete()
    monkeypatch.setattr(belonging, "READ", 2)
    monkeypatch.setattr(belonging, "WRITTEN", 3)
    monkeypatch.setattr(belonging, "TIDIED", 1)
    Fingerprint.objects.update(version=0)
    compare(connection)
    assert everything(connection) == whole
    check_whole(connection)


STEPS = """
import django
django.setup()
from tests.completions import mirroring
from portal import operations
from portal.models import Connection
from completions import belonging
belonging.READ, belonging.WRITTEN = 4, 5
operations.app.send_task = lambda *args, **options: None
mirroring.drain(Connection.objects.get())
"""


@pytest.mark.parametrize("passed", [1, 3, 5, 6, 8])
def test_a_killed_worker_loses_nothing(connection: Connection, passed: int) -> None:
    made = fill(connection)
    operation = belonging.begin(connection)
    died = subprocess.run(
        [sys.executable, "-c", STEPS],
        env=os.environ | {"DATABASE_URL": database_url(), "PORTAL_CRASH": f"belong.before_commit:{passed}"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert died.returncode == 137, died.stderr
    Operation.objects.filter(pk=operation.pk).update(state="ready", lease_owner="", lease_until=None)
    drain(connection)
    operation.refresh_from_db()
    assert operation.state == "done", operation.error_text
    check_found(connection, made)


def test_it_begins_by_itself_only_where_somebody_began_it_and_rows_have_come(
    connection: Connection,
) -> None:
    fill(connection)
    assert belonging.begin_if_due(connection) is None
    operation = compare(connection)
    assert belonging.begin_if_due(connection) is None  # a moment ago
    Operation.objects.filter(pk=operation.pk).update(finished=timezone.now() - timedelta(hours=2))
    assert belonging.begin_if_due(connection) is None  # nothing has come
    factories.make_completion(connection)
    again = belonging.begin_if_due(connection)
    assert again is not None
    assert again.pk != operation.pk
    assert belonging.begin_if_due(connection) is None  # under way


def test_it_can_be_begun_from_a_shell(connection: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    made = fill(connection)
    call_command("compare", connection=connection.slug)
    assert "5 groups, 11 completions in groups" in capsys.readouterr().out
    check_found(connection, made)
    call_command("compare", begin=True)
    assert Operation.objects.live().filter(kind=belonging.KIND).count() == 1
    with pytest.raises(CommandError, match="no connection"):
        call_command("compare", connection="other")
