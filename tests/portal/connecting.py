"""What tests of connections look at: the audit trail, and where a form leads."""

from typing import Any

from django.test import Client

from portal.models import AuditEntry


def verbs() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))


def followed(client: Client, url: str, values: dict[str, Any] | None = None) -> Any:
    """The page to which a form leads."""
    return client.get(client.post(url, values)["Location"])
