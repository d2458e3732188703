"""Who calls: keys, and Entra tokens with their audience and time."""

import base64
import hashlib
import hmac
import json

from portal.sandbox.draw import digest
from portal.sandbox.kinds import Json
from portal.sandbox.personality import ALL_RIGHTS, READER_RIGHTS, USER_RIGHTS
from portal.sandbox.state import ResourceState

TOKEN_SECONDS = 75 * 60
CLIENT_SECRET = "sandbox-client-secret"  # noqa: S105 - opens nothing but this sandbox
IDENTITY_HEADER = "sandbox-identity-header"
MANAGEMENT = "https://management.azure.com"
CLIENTS = {
    "sandbox-client": ALL_RIGHTS,
    "sandbox-read-only-client": READER_RIGHTS,
    "sandbox-user-client": USER_RIGHTS,
}


class Tokens:
    """Issues and reads bearer tokens; signed, so that a restarted sandbox still knows them."""

    def __init__(self, seed: int) -> None:
        self._secret = f"sandbox {digest('tokens', seed)}".encode()
        self.issued = 0

    def issue(self, audience: str, client: str, now: float, seconds: float) -> tuple[str, int]:
        """(token, when it expires)."""
        self.issued += 1
        expires = int(now + seconds)
        body: Json = {"aud": audience, "appid": client, "iat": now, "exp": expires, "uti": self.issued}
        payload = (
            _pack(json.dumps({"typ": "JWT", "alg": "HS256"}).encode())
            + "."
            + _pack(json.dumps(body).encode())
        )
        return f"{payload}.{self._sign(payload)}", expires

    def read(self, token: str) -> Json | None:
        """What the token says; None if it is not one of ours."""
        payload, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._sign(payload).encode(), signature.encode("utf-8", "replace")):
            return None
        claims = json.loads(base64.urlsafe_b64decode(payload.partition(".")[2] + "=="))
        return claims if isinstance(claims, dict) else None

    def rights(self, token: str, audience: str, now: float, valid_from: float = 0.0) -> frozenset[str] | None:
        claims = self.read(token)
        if (
            claims is None
            or claims["aud"] != audience
            or not valid_from < claims["iat"]
            or now >= claims["exp"]
        ):
            return None
        return CLIENTS.get(claims["appid"])

    def _sign(self, payload: str) -> str:
        return _pack(hmac.new(self._secret, payload.encode("utf-8", "replace"), hashlib.sha256).digest())


def _pack(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def bearer(headers: dict[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


def credential(headers: dict[str, str]) -> str | None:
    """The key or token that came along."""
    return headers.get("api-key") or bearer(headers)


def hint(headers: dict[str, str]) -> str | None:
    given = credential(headers)
    return None if given is None else "…" + given[-4:]


def rights(state: ResourceState, tokens: Tokens, headers: dict[str, str], now: float) -> frozenset[str]:
    """What the caller may do; raises the personality's 401."""
    personality, keys = state.personality, state.keys
    key, token = headers.get("api-key"), bearer(headers)
    if personality.azure and key is not None and key in keys and key not in state.revoked:
        return keys[key]
    if token is not None:
        if not personality.dated and token in keys and token not in state.revoked:
            return keys[token]
        if personality.azure:
            held = tokens.rights(token, personality.audience, now, state.tokens_valid_from)
            if held is not None:
                return held
            if token.count(".") == 2 or (personality.dated and key is None):
                raise personality.bad_token()
    raise personality.unauthenticated(token if not personality.azure else key or token)
