"""Deployments of an Azure OpenAI resource, through Azure's management plane: the data plane cannot make them.

https://learn.microsoft.com/rest/api/aiservices/accountmanagement/deployments
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from portal.models import Connection
from portal.upstream.errors import UpstreamError
from portal.upstream.records import DeploymentInfo, deployment_info
from portal.upstream.wire import Answer

PUBLIC = "https://management.azure.com"
VERSION = "2024-10-01"
VERSION_DEVELOPER = "2025-07-01-preview"  # the first that knows the developer tier

Send = Callable[..., Answer]


def management_root(connection: Connection) -> str:
    return (connection.management_url or PUBLIC).rstrip("/")


class Management:
    """The deployments of one account; `send(method, target, body)` raises on a refusal."""

    def __init__(self, connection: Connection, send: Send, read: Callable[[Answer], dict[str, Any]]) -> None:
        if not connection.can_deploy:
            raise UpstreamError(
                "credentials",
                "The connection does not say where its deployments are managed.",
                code="no_management",
                hint="Edit the connection and enter subscription, resource group and account name.",
            )
        names = (connection.subscription_id, connection.resource_group, connection.account_name)
        subscription, group, account = (quote(name, safe="") for name in names)
        self.path = urlsplit(management_root(connection)).path + (
            f"/subscriptions/{subscription}/resourceGroups/{group}"
            f"/providers/Microsoft.CognitiveServices/accounts/{account}/deployments"
        )
        self.send = send
        self.read = read

    def put(self, name: str, body: Mapping[str, Any]) -> DeploymentInfo:
        sku = body.get("sku")
        developer = isinstance(sku, dict) and "developer" in str(sku.get("name", "")).lower()
        target = self._target(name, VERSION_DEVELOPER if developer else VERSION)
        return deployment_info(self.read(self.send("PUT", target, json.dumps(body).encode())))

    def get(self, name: str) -> DeploymentInfo:
        return deployment_info(self.read(self.send("GET", self._target(name))))

    def delete(self, name: str) -> None:
        self.send("DELETE", self._target(name))

    def all(self) -> list[DeploymentInfo]:
        target, seen = self._target(), set[str]()
        found: list[DeploymentInfo] = []
        while target not in seen and len(seen) < 100:
            seen.add(target)
            answer = self.read(self.send("GET", target))
            found += [deployment_info(row) for row in answer.get("value") or () if isinstance(row, dict)]
            following = answer.get("nextLink")
            if not isinstance(following, str) or not following:
                break
            # Only its path and query are used: the next page lies where this one did, wherever the link
            # points.
            parts = urlsplit(following)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
        return found

    def _target(self, name: str = "", version: str = VERSION) -> str:
        below = f"/{quote(name, safe='')}" if name else ""
        return f"{self.path}{below}?{urlencode({'api-version': version})}"
