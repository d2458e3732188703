"""Roles: each includes the ones before it, alone or through a group, on one connection or on all."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import Http404

from datasets.models import Dataset, DatasetVersion
from portal.connection_views import may_create
from portal.models import Connection, Grant, Operation, Role, User
from portal.permissions import fetch, may
from portal.querysets import is_operator, roles_from
from tests import factories

pytestmark = pytest.mark.django_db
VERBS = ("readable_by", "reviewable_by", "actionable_by", "manageable_by")
REACH = {"reader": 1, "reviewer": 2, "builder": 3, "manager": 4, "operator": 4}


def rights(person: Any, connection: Connection) -> int:
    """How many of the four verbs the person may do."""
    held = [getattr(Connection.objects, verb)(person).contains(connection) for verb in VERBS]
    assert held == sorted(held, reverse=True)
    return sum(held)


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("through_group", [True, False])
@pytest.mark.parametrize("everywhere", [True, False])
def test_a_role_reaches_exactly_as_far_as_it_should(role: str, through_group: bool, everywhere: bool) -> None:
    here, there = factories.connection(), factories.connection()
    person, group = factories.user("person"), Group.objects.create(name="group")
    person.groups.add(group)
    holder: dict[str, Any] = {"group": group} if through_group else {"user": person}
    Grant.objects.create(role=role, connection=None if everywhere else here, **holder)
    assert rights(person, here) == REACH[role]
    assert rights(person, there) == (REACH[role] if everywhere else 0)
    assert rights(factories.user("stranger"), here) == 0
    assert may_create(person) == (everywhere and role in ("manager", "operator"))
    assert is_operator(person) == (everywhere and role == "operator")


def test_the_strongest_of_several_roles_counts() -> None:
    connection, person = factories.connection(), factories.user("person")
    group = Group.objects.create(name="group")
    person.groups.add(group)
    factories.grant(person, "reader")
    factories.grant(person, "builder", connection)
    Grant.objects.create(group=group, role="reviewer", connection=connection)
    assert rights(person, connection) == 3


def test_who_is_not_active_or_not_signed_in_may_nothing() -> None:
    connection = factories.connection()
    gone = factories.user("gone", "operator")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    gone.refresh_from_db()
    root = factories.user("root", is_superuser=True, is_active=False)
    for nobody in (gone, root, AnonymousUser(), None):
        assert rights(nobody, connection) == 0
        assert not is_operator(nobody)


def test_a_superuser_may_everything() -> None:
    root = factories.user("root", is_superuser=True)
    assert rights(root, factories.connection()) == 4
    assert is_operator(root)
    assert may_create(root)


def test_roles_are_a_ladder() -> None:
    assert roles_from("builder") == ("builder", "manager", "operator")
    assert set(roles_from("reader")) == set(Role.values)


def test_what_is_invisible_is_404_and_what_is_visible_403() -> None:
    connection, person = factories.connection(), factories.user("person")
    with pytest.raises(Http404):
        fetch(Connection.objects, person, "manage", pk=connection.pk)
    factories.grant(person, "reader", connection)
    assert fetch(Connection.objects, person, pk=connection.pk) == connection
    with pytest.raises(PermissionDenied):
        fetch(Connection.objects, person, "manage", pk=connection.pk)
    with pytest.raises(Http404):
        fetch(Connection.objects, person, pk=connection.pk + 1)
    assert may(Connection.objects, person, "read", connection)
    assert not may(Connection.objects, person, "act", connection)


@pytest.mark.parametrize("missing", [0, 1])
def test_what_was_made_from_two_connections_needs_both(missing: int) -> None:
    sources = [factories.connection(), factories.connection()]
    dataset = Dataset.objects.create(name="Set", owner=factories.user("owner"))
    version = DatasetVersion.objects.create(dataset=dataset, number=1)
    version.connections.set(sources)
    person = factories.user("person")
    factories.grant(person, "manager", sources[1 - missing])
    assert not DatasetVersion.objects.readable_by(person).contains(version)
    weaker = factories.grant(person, "reader", sources[missing])
    assert DatasetVersion.objects.readable_by(person).contains(version)
    assert not DatasetVersion.objects.actionable_by(person).contains(version)
    Grant.objects.filter(pk=weaker.pk).update(role="builder")
    assert DatasetVersion.objects.actionable_by(person).contains(version)


def test_work_without_a_connection_is_seen_by_who_asked_and_by_operators() -> None:
    asked, other, boss = (
        factories.user("asked"),
        factories.user("other", "manager"),
        factories.user("boss", "operator"),
    )
    operation = Operation.objects.create(
        kind="x", queue="house", title="X", dedupe_key="x", requested_by=asked
    )
    seen = [Operation.objects.readable_by(person).contains(operation) for person in (asked, other, boss)]
    assert seen == [True, False, True]


@pytest.mark.engines
@pytest.mark.parametrize("everywhere", [True, False])
def test_nobody_holds_two_roles_in_one_place(everywhere: bool) -> None:
    connection = None if everywhere else factories.connection()
    person, group = factories.user("person"), Group.objects.create(name="group")
    for holder in ({"user": person}, {"group": group}):
        Grant.objects.create(role="reader", connection=connection, **holder)
        with pytest.raises(IntegrityError), transaction.atomic():
            Grant.objects.create(role="builder", connection=connection, **holder)


@pytest.mark.engines
def test_a_grant_names_a_person_or_a_group_and_a_known_role() -> None:
    person, group = factories.user("person"), Group.objects.create(name="group")
    for wrong in ({"user": person, "group": group}, {}, {"user": person, "role": "owner"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Grant.objects.create(**{"role": "reader"} | wrong)
