"""The only door to what lies outside: everything that asks an endpoint goes through here.

with connect(connection) as upstream:
    page = upstream.list_stored()
"""

from portal.models import Connection
from portal.upstream.checkup import Finding, test_connection
from portal.upstream.client import Upstream
from portal.upstream.errors import UpstreamError
from portal.upstream.patience import READ_SECONDS, READ_TRIES
from portal.upstream.records import (
    ChatAnswer,
    CheckpointInfo,
    DeploymentInfo,
    EventInfo,
    FileInfo,
    Item,
    JobInfo,
    Messages,
    ModelInfo,
    Page,
)

__all__ = [
    "ChatAnswer",
    "CheckpointInfo",
    "DeploymentInfo",
    "EventInfo",
    "FileInfo",
    "Finding",
    "Item",
    "JobInfo",
    "Messages",
    "ModelInfo",
    "Page",
    "Upstream",
    "UpstreamError",
    "connect",
    "test_connection",
]


def connect(connection: Connection, *, tries: int = READ_TRIES, seconds: float = READ_SECONDS) -> Upstream:
    """The endpoint of `connection`; nothing is sent yet. A read is tried so often, and may last so long.

    Raises UpstreamError with kind "credentials" if the connection lacks what it needs to sign in, "blocked"
    if its address is not one that this server may call or if it has none.
    """
    if not connection.has_endpoint:
        raise UpstreamError(
            "blocked",
            f"{connection.name} was filled from files: there is no endpoint that could be asked.",
            code="no_endpoint",
            hint="Choose a connection with an endpoint.",
        )
    return Upstream(connection, tries=tries, seconds=seconds)
