"""The header that proves who we are: an API key, or a token of Microsoft Entra ID.

Tokens are kept per process and asked for again shortly before they end. azure-identity is loaded when the
first connection needs it, as it takes long.
"""

import hashlib
import threading
from collections.abc import Callable
from time import monotonic, time
from typing import Any

from django.conf import settings

from portal.encryption import SecretUnreadable
from portal.models import Auth, Connection, Kind
from portal.upstream.errors import UpstreamError, clean

SCOPE_V1 = "https://ai.azure.com/.default"
SCOPE_DATED = "https://cognitiveservices.azure.com/.default"
SCOPE_MANAGEMENT = "https://management.azure.com/.default"
EARLY = 300.0  # seconds before its end at which a token counts as old

_tokens: dict[tuple[str, ...], tuple[str, float]] = {}
_came: dict[tuple[str, ...], float] = {}
_locks: dict[tuple[str, ...], threading.Lock] = {}
_guard = threading.Lock()


class Credential:
    """Headers for a connection.

    `forget(sent)` drops the token that a request begun at `sent` (monotonic) was refused with, and says
    whether asking again with a new one is of use. A token that came later is kept: requests are refused in
    bursts.
    """

    def __init__(
        self,
        headers: Callable[[], dict[str, str]],
        forget: Callable[[float], bool],
        secrets: tuple[str, ...],
    ):
        self.headers = headers
        self.forget = forget
        self.secrets = secrets


def credential_of(connection: Connection, *, scope: str = "") -> Credential:
    """How `connection` signs its requests; raises UpstreamError("credentials") if something is missing.

    `scope` is for the management plane, which takes no key.
    """
    secret = _secret_of(connection)
    if connection.auth == Auth.KEY:
        if scope:
            raise _missing(
                "Deploying needs Microsoft Entra ID; an API key does not reach Azure's management plane."
            )
        if not secret:
            raise _missing("This connection has no API key.")
        if not secret.isascii() or any(character <= " " for character in secret):
            raise _missing("The API key holds characters that no key has.")
        name, value = ("api-key", secret) if connection.is_azure else ("authorization", f"Bearer {secret}")
        return Credential(lambda: {name: value}, lambda sent: False, (secret,))
    wanted = scope or connection.scope or (SCOPE_DATED if connection.kind == Kind.AZURE_DATED else SCOPE_V1)
    if connection.auth == Auth.ENTRA_SECRET and not (
        connection.tenant_id and connection.client_id and secret
    ):
        raise _missing("A client secret needs the tenant, the client id and the secret.")
    key = (
        connection.auth,
        connection.tenant_id,
        connection.client_id,
        hashlib.sha256(secret.encode()).hexdigest(),
        wanted,
    )

    def headers() -> dict[str, str]:
        return {"authorization": f"Bearer {_token(key, connection, secret, wanted)}"}

    def forget(sent: float) -> bool:
        with _guard:
            if _came.get(key, 0.0) <= sent:
                _tokens.pop(key, None)
        return True

    return Credential(headers, forget, (secret,) if secret else ())


def _secret_of(connection: Connection) -> str:
    try:
        return connection.secret
    except SecretUnreadable as error:
        raise _missing(
            "The stored secret cannot be read: it was encrypted with a key that is gone."
        ) from error


def _missing(message: str) -> UpstreamError:
    return UpstreamError(
        "credentials", message, code="credentials", hint="Edit the connection and enter what is missing."
    )


def _token(key: tuple[str, ...], connection: Connection, secret: str, scope: str) -> str:
    kept = _tokens.get(key)
    if kept is not None and kept[1] - time() > EARLY:
        return kept[0]
    with _guard:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        kept = _tokens.get(key)
        if kept is not None and kept[1] - time() > EARLY:
            return kept[0]
        token, ends = _ask(connection, secret, scope)
        # A token that lives shorter than our margin still serves for half of its life.
        _came[key] = monotonic()
        _tokens[key] = (token, max(ends, time() + EARLY + (ends - time()) / 2))
        return token


def _ask(connection: Connection, secret: str, scope: str) -> tuple[str, float]:
    from azure.core.exceptions import AzureError

    try:
        identity = _identity(connection, secret)
        try:
            answer = identity.get_token(scope)
        finally:
            identity.close()
    except AzureError as error:
        raise _refused(error, connection, secret) from None  # its text and its cause may hold the request
    except ValueError as error:
        raise _missing(f"Microsoft Entra ID cannot be used: {clean(str(error), (secret,), 300)}") from None
    return str(answer.token), float(answer.expires_on)


def _identity(connection: Connection, secret: str) -> Any:
    # https://learn.microsoft.com/python/api/overview/azure/identity-readme
    from azure import identity

    patience: dict[str, Any] = {"retry_total": 1, "connection_timeout": 5, "read_timeout": 15}
    authority = {"authority": settings.ENTRA_AUTHORITY}
    client = connection.client_id or None
    match connection.auth:
        case Auth.ENTRA_SECRET:
            custom = settings.ENTRA_AUTHORITY != "https://login.microsoftonline.com"
            return identity.ClientSecretCredential(
                connection.tenant_id,
                connection.client_id,
                secret,
                disable_instance_discovery=custom,
                **authority,
                **patience,
            )
        case Auth.ENTRA_MANAGED:
            return identity.ManagedIdentityCredential(client_id=client, **patience)
        case Auth.ENTRA_WORKLOAD:
            given = {"tenant_id": connection.tenant_id or None, "client_id": client}
            return identity.WorkloadIdentityCredential(
                **{name: value for name, value in given.items() if value}, **authority, **patience
            )
        case _:
            return identity.DefaultAzureCredential(
                managed_identity_client_id=client, process_timeout=10, **authority, **patience
            )


def _refused(error: Exception, connection: Connection, secret: str) -> UpstreamError:
    text = clean(str(getattr(error, "message", "") or error).strip(), (secret,), 600)
    words = text.lower()
    code, hint = "entra", "Check the tenant, the client id and the secret."
    if "aadsts7000222" in words or "expired" in words:
        code, hint = (
            "secret_expired",
            "The client secret has expired. Make a new one in Entra ID and enter it here.",
        )
    elif "aadsts7000215" in words:
        code, hint = "secret_wrong", "The client secret is wrong. Enter the secret's value, not its id."
    elif "aadsts90002" in words or "aadsts900023" in words:
        code, hint = "tenant", "The tenant is not known. Enter its id or one of its domain names."
    elif "aadsts700016" in words:
        code, hint = "client", "The application is not known in this tenant. Check the client id."
    elif connection.auth in (Auth.ENTRA_MANAGED, Auth.ENTRA_DEFAULT, Auth.ENTRA_WORKLOAD):
        code = "no_identity"
        hint = (
            "This machine has no identity that Azure would give to the portal. Run it on Azure with a managed"
            " identity, sign in with `az login`, or choose the client secret."
        )
    from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError, ServiceResponseError

    if isinstance(error, ServiceRequestError | ServiceResponseError) and not isinstance(
        error, ClientAuthenticationError
    ):
        return UpstreamError(
            "network",
            f"Microsoft Entra ID cannot be reached: {text.splitlines()[0] if text else 'no answer'}",
            code="entra_network",
            hint="Check that this machine may connect to login.microsoftonline.com.",
        )
    return UpstreamError(
        "credentials",
        f"Microsoft Entra ID gave no token: {text.splitlines()[0][:300] if text else 'no reason given'}",
        code=code,
        hint=hint,
        excerpt=text[:200],
    )
