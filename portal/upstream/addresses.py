"""Where an endpoint's API begins, and which resource a connection means, however its address was typed."""

from urllib.parse import SplitResult, urlsplit

from portal.models import Connection, Kind
from portal.upstream.outbound import SUFFIXES


def split(url: str) -> SplitResult:
    """The parts of an address; none of what is not one."""
    try:
        return urlsplit(url.strip())
    except ValueError:
        return SplitResult("", "", "", "", "")


def api_root(kind: str, base_url: str) -> str:
    """The address below which the API's paths lie, without a slash at its end.

    People paste what they find: the endpoint as the Azure portal shows it, or the base URL of a code sample.
    """
    root = base_url.strip().rstrip("/")
    path = split(root).path
    match kind:
        case Kind.AZURE_V1:
            if path.endswith("/openai"):
                return f"{root}/v1"
            return root if path.endswith("/openai/v1") else f"{root}/openai/v1"
        case Kind.AZURE_DATED:
            return root if path.endswith("/openai") else f"{root.removesuffix('/openai/v1')}/openai"
        case Kind.OPENAI:
            return root if path else f"{root}/v1"
        case _:
            return root


def resource_of(connection: Connection) -> tuple[str, ...]:
    """What two connections share when they mean the same resource or account.

    An Azure resource has one name below several domains and API surfaces; at OpenAI the key decides the
    account.
    """
    parts = split(connection.base_url.lower())
    host = parts.hostname or ""
    for suffix in SUFFIXES:
        if host.endswith(suffix):
            return ("azure", host.removesuffix(suffix))
    root = split(api_root(connection.kind, connection.base_url.lower()))
    place = root.path.removesuffix("/v1").removesuffix("/openai")
    if connection.kind == Kind.OPENAI:
        return (parts.netloc, place, connection.secret_last4)
    return (parts.netloc, place)
