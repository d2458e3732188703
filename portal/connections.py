"""Changes to a connection and the rules that go with them; each is written to the audit trail."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from portal import audit
from portal.encryption import SecretUnreadable
from portal.models import Auth, Connection
from portal.upstream import Finding, UpstreamError, test_connection
from portal.upstream.addresses import api_root, resource_of, split
from portal.upstream.outbound import allowed_origin, checked_addresses

State = Connection.State
NEEDS_SECRET = (Auth.KEY, Auth.ENTRA_SECRET)


def visible_to(user: Any) -> Any:
    """The connections that a person may read, without their secrets."""
    return Connection.objects.readable_by(user).defer("secret")


def check_address(url: str) -> None:
    """Refuse an address that this server may not call; a name that does not resolve yet is let through."""
    try:
        checked_addresses(allowed_origin(url))
    except UpstreamError as error:
        if error.kind == "blocked":
            raise


def why_secret_is_dropped(before: Connection, after: Connection) -> str:
    """What changed so that the stored secret must not be used any more; empty if nothing did.

    Who may edit a connection need not know its key, and must not learn it by sending it elsewhere.
    """
    if not before.secret_last4 and not before.secret_set_at:
        return ""
    if _place(before.base_url) != _place(after.base_url):
        return "the address changed"
    if before.auth != Auth.KEY and _place(before.management_url) != _place(after.management_url):
        return "the management address changed"
    if before.tenant_id.strip().lower() != after.tenant_id.strip().lower():
        return "the tenant changed"
    if before.auth != after.auth:
        return "the way of signing in changed"
    return ""


def _place(url: str) -> tuple[str, str]:
    parts = split(url.lower())
    return (parts.scheme, parts.netloc)


def save(connection: Connection, user: Any, *, new_secret: str = "") -> str:
    """Store a connection as edited; says why the stored secret was dropped, or an empty text.

    An empty `new_secret` keeps the stored one, where it may be kept.
    """
    with transaction.atomic():
        rows = Connection.objects.select_for_update().defer("secret")
        before: Connection | None = rows.filter(pk=connection.pk).first() if connection.pk else None
        dropped = why_secret_is_dropped(before, connection) if before is not None else ""
        connection.secret = ""
        if before is not None and not dropped:
            try:
                connection.secret = before.secret
            except SecretUnreadable:
                dropped = "it can no longer be decrypted"
        if dropped:
            connection.secret_last4, connection.secret_set_at = "", None
        if new_secret:
            connection.secret = new_secret
            connection.secret_last4 = new_secret[-4:] if len(new_secret) >= 12 else ""
            connection.secret_set_at = timezone.now()
        if connection.auth in NEEDS_SECRET and not connection.secret:
            connection.state = State.ATTENTION
            connection.last_error = {
                "kind": "credentials",
                "message": "The connection has no secret.",
                "hint": "",
            }
            connection.last_error_at = timezone.now()
        if before is not None and (new_secret or TESTED.intersection(changed_fields(before, connection))):
            connection.last_test = {}  # it told of another place, or of another credential
        if before is None:
            connection.slug = free_slug(connection.name)
            connection.created_by = user
        connection.save()
        if before is None:
            audit.record(user, "connection.created", connection, connection=connection, kind=connection.kind)
        else:
            fields = ", ".join(changed_fields(before, connection))
            audit.record(user, "connection.changed", connection, connection=connection, fields=fields)
        if dropped:
            audit.record(user, "connection.secret_dropped", connection, connection=connection, reason=dropped)
        if new_secret:
            audit.record(user, "connection.secret_changed", connection, connection=connection)
    return dropped


EDITED = (
    "name", "kind", "base_url", "api_version", "auth", "tenant_id", "client_id", "scope", "management_url",
    "subscription_id", "resource_group", "account_name", "scope_since", "scope_model", "scope_metadata",
    "sync_enabled", "sync_every_minutes", "overlap_minutes", "sweep_every_hours",
)  # fmt: skip

TESTED = frozenset(EDITED[EDITED.index("kind") : EDITED.index("scope_since")])


def changed_fields(before: Connection, after: Connection) -> list[str]:
    """Names of the fields that differ; never their values."""
    return [name for name in EDITED if getattr(before, name) != getattr(after, name)]


def free_slug(name: str) -> str:
    """A slug that no other connection has."""
    stem = slugify(name)[:70] or "connection"
    if stem in ("new", "access"):  # these stand for pages
        stem = f"{stem}-1"
    slug, number = stem, 1
    while Connection.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{stem}-{number}"
    return slug


def twins_of(connection: Connection) -> list[Connection]:
    """Other connections to the same resource: their rows would be mirrored twice."""
    if not connection.has_endpoint:
        return []
    mine = resource_of(connection)
    others = (
        Connection.objects.exclude(pk=connection.pk)
        .exclude(state=State.DELETING)
        .with_endpoint()
        .defer("secret")
    )
    return [other for other in others if resource_of(other) == mine]


def try_out(connection: Connection, user: Any) -> list[Finding]:
    """Test the connection, keep the report, and let its state follow from it."""
    findings = test_connection(connection)
    keep_report(connection, findings)
    audit.record(user, "connection.tested", connection, connection=connection, ok=all_well(findings))
    return findings


def all_well(findings: Iterable[Finding]) -> bool:
    """Whether the connection can do its first duty: be read."""
    return any(finding.check == "read" and finding.ok for finding in findings)


def keep_report(connection: Connection, findings: list[Finding]) -> None:
    now = timezone.now()
    fields: dict[str, Any] = {
        "last_test": {"at": now.isoformat(), "findings": [finding.as_dict() for finding in findings]}
    }
    failed = next(
        (f for f in findings if f.ok is False and f.check in ("reachable", "authenticated", "read")), None
    )
    if failed is not None:
        fields["last_error"] = {"kind": failed.check, "message": failed.text, "hint": failed.hint}
        fields["last_error_at"] = now
    elif all_well(findings):
        fields |= {"last_ok_at": now, "last_error": {}, "last_error_at": None}
    rows = Connection.objects.filter(pk=connection.pk)
    rows.update(**fields)
    if failed is not None:
        rows.filter(state=State.CONNECTED).update(state=State.ATTENTION)
    elif all_well(findings):
        rows.filter(state=State.ATTENTION).update(state=State.CONNECTED)
    connection.refresh_from_db(fields=[*fields, "state"])


def disconnect(connection: Connection, user: Any) -> bool:
    """Stop asking this endpoint anything; its rows stay. False if there is nothing to stop."""
    return _move(
        connection, user, (State.CONNECTED, State.ATTENTION), State.DISCONNECTED, "connection.disconnected"
    )


def reconnect(connection: Connection, user: Any) -> bool:
    return _move(connection, user, (State.DISCONNECTED,), State.CONNECTED, "connection.reconnected")


def _move(connection: Connection, user: Any, old: tuple[str, ...], new: str, verb: str) -> bool:
    with transaction.atomic():
        moved = Connection.objects.filter(pk=connection.pk, state__in=old).update(state=new)
        if moved:
            audit.record(user, verb, connection, connection=connection)
    return bool(moved)


def shown_root(connection: Connection) -> str:
    """The address that is really called."""
    return api_root(connection.kind, connection.base_url)
