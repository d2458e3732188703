"""Builders that state only what a test is about; everything else is plausible."""

from itertools import count
from typing import Any

from django.utils import timezone

from portal.models import Auth, Connection, Grant, Kind, Role, User

PASSWORD = "correct horse battery staple"
_numbers = count(1)


def user(name: str = "", role: str = "", connection: Connection | None = None, **fields: Any) -> User:
    """A person without a password; with `role` also the grant, on every connection unless one is named."""
    name = name or f"person-{next(_numbers)}"
    person = User.objects.create_user(name, f"{name}@example.org", **fields)
    if role:
        grant(person, role, connection)
    return person


def grant(person: User, role: str, connection: Connection | None = None) -> Grant:
    return Grant.objects.create(user=person, role=Role(role), connection=connection)


def connection(name: str = "", **fields: Any) -> Connection:
    """A connection row; point `base_url` at a sandbox to use it."""
    number = next(_numbers)
    name = name or f"Connection {number}"
    values: dict[str, Any] = {
        "slug": f"connection-{number}",
        "kind": Kind.AZURE_V1,
        "base_url": "https://example.openai.azure.com/openai/v1/",
        "auth": Auth.KEY,
        "secret": "key-of-a-test",
        "secret_last4": "test",
        "secret_set_at": timezone.now(),
        "sync_enabled": False,
    } | fields
    made: Connection = Connection.objects.create(name=name, **values)
    return made
