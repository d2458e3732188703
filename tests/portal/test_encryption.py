"""Secrets at rest: never readable in the database, readable after a rotation, refused without the key."""

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.db import connection as database

from portal.encryption import SecretUnreadable
from portal.models import Connection
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.engines]
SECRET = "sk-0123456789-ünïcode-…"


def stored() -> str:
    """What really stands in the column."""
    with database.cursor() as cursor:
        cursor.execute("SELECT secret FROM portal_connection")
        return str(cursor.fetchone()[0])


def test_the_column_never_holds_the_secret() -> None:
    connection = factories.connection(secret=SECRET)
    assert stored()
    assert SECRET not in stored()
    assert "sk-" not in stored()
    assert Connection.objects.get(pk=connection.pk).secret == SECRET


def test_the_same_secret_is_written_differently_each_time() -> None:
    connection = factories.connection(secret=SECRET)
    first = stored()
    Connection.objects.get(pk=connection.pk).save()
    assert stored() != first
    assert Connection.objects.get().secret == SECRET


def test_no_secret_stays_empty() -> None:
    factories.connection(secret="")
    assert stored() == ""
    assert Connection.objects.get().secret == ""


def test_an_older_key_still_reads_and_a_new_one_writes(settings: Any) -> None:
    old, new = settings.FIELD_KEYS[0], Fernet.generate_key().decode()
    connection = factories.connection(secret=SECRET)
    settings.FIELD_KEYS = [new, old]
    assert Connection.objects.get(pk=connection.pk).secret == SECRET
    Connection.objects.get(pk=connection.pk).save()
    settings.FIELD_KEYS = [new]
    assert Connection.objects.get(pk=connection.pk).secret == SECRET


def test_without_the_key_it_is_refused_and_not_emptied(settings: Any) -> None:
    connection = factories.connection(secret=SECRET)
    key = settings.FIELD_KEYS
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(SecretUnreadable):
        Connection.objects.get(pk=connection.pk)
    assert Connection.objects.defer("secret").get(pk=connection.pk).name == connection.name
    settings.FIELD_KEYS = key
    assert Connection.objects.get(pk=connection.pk).secret == SECRET


def test_a_tampered_secret_is_refused() -> None:
    factories.connection(secret=SECRET)
    text = stored()
    changed = text[:40] + ("A" if text[40] != "A" else "B") + text[41:]
    with database.cursor() as cursor:
        cursor.execute("UPDATE portal_connection SET secret = %s", [changed])
    with pytest.raises(SecretUnreadable):
        Connection.objects.get()


@pytest.mark.parametrize("lookup", ["secret", "secret__contains", "secret__startswith", "secret__in"])
def test_nobody_can_ask_the_database_for_a_secret(lookup: str) -> None:
    with pytest.raises(TypeError):
        Connection.objects.filter(**{lookup: "x"}).exists()


def test_a_secret_is_in_no_words_about_the_row() -> None:
    connection = factories.connection(secret=SECRET)
    assert SECRET not in repr(connection) + str(connection)
    dump = serializers.serialize("json", [connection])
    assert connection.name in dump
    assert "sk-" not in dump
