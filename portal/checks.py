"""What `manage.py check` says about this installation, before a person finds out the hard way."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register


@register
def field_keys_are_usable(**kwargs: Any) -> Sequence[CheckMessage]:
    """FIELD_KEYS must hold Fernet keys, or no credential can be stored."""
    if not settings.FIELD_KEYS:
        return [
            Error("FIELD_KEYS is empty.", hint="`manage.py new_keys` prints a fresh one.", id="portal.E001")
        ]
    for place, key in enumerate(settings.FIELD_KEYS, start=1):
        try:
            Fernet(key)
        except ValueError:
            return [
                Error(
                    f"Key {place} of FIELD_KEYS is not a Fernet key (32 bytes as url-safe base64).",
                    hint="`manage.py new_keys` prints a fresh one.",
                    id="portal.E001",
                )
            ]
    return []


@register
def sqlite_can_search(**kwargs: Any) -> Sequence[CheckMessage]:
    """The embedded database needs FTS5, which a few builds of SQLite leave out."""
    if settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":
        return []
    with sqlite3.connect(":memory:") as database:
        if database.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone() != (1,):
            return [
                Error(
                    f"SQLite {sqlite3.sqlite_version} was built without FTS5, so text search cannot work.",
                    hint="Use another Python build, or PostgreSQL through DATABASE_URL.",
                    id="portal.E002",
                )
            ]
    return []


@register
def policy_is_strict(**kwargs: Any) -> Sequence[CheckMessage]:
    """Untrusted text is shown on every page, so the policy must not be loosened by accident."""
    loose = {"'unsafe-inline'", "'unsafe-eval'", "*", "http:", "https:"}
    found = sorted(loose & {source for sources in settings.SECURE_CSP.values() for source in sources})
    if found or settings.SECURE_CSP.get("default-src") != ["'none'"]:
        return [Error(f"SECURE_CSP is too loose: {', '.join(found) or 'default-src'}.", id="portal.E003")]
    return []


@register(deploy=True)
def database_and_broker_fit(**kwargs: Any) -> Sequence[CheckMessage]:
    """A team's database with the embedded broker works on one machine only."""
    if settings.EMBEDDED or settings.BROKER_URL != settings.EMBEDDED_BROKER_URL:
        return []
    return [
        Warning(
            "DATABASE_URL is set but BROKER_URL is not: workers on other machines will not be reached.",
            hint="Set BROKER_URL to a Redis or Valkey that every machine reaches.",
            id="portal.W001",
        )
    ]
