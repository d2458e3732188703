"""A stand-in for Microsoft Entra ID: managed identity, client credentials, discovery."""

from urllib.parse import parse_qs

from portal.sandbox.access import CLIENT_SECRET, CLIENTS, IDENTITY_HEADER, TOKEN_SECONDS, Tokens
from portal.sandbox.call import Reply, parse_query
from portal.sandbox.exchange import Request
from portal.sandbox.kinds import Json


def respond(request: Request, tokens: Tokens, now: float, seconds: float = TOKEN_SECONDS) -> Reply:
    parts = request.path.strip("/").split("/")[1:]
    if parts == ["token"]:
        return _managed(request, tokens, now, seconds)
    if parts[-1:] == ["token"] and "oauth2" in parts and request.method == "POST":
        return _client_credentials(request, tokens, now, seconds)
    if parts[-2:] == [".well-known", "openid-configuration"]:
        return Reply(_discovery(request, parts[0]))
    if parts[-2:] == ["discovery", "instance"] or parts[-1:] == ["instance"]:
        return Reply(
            {"tenant_discovery_endpoint": _base(request) + "/common/v2.0/.well-known/openid-configuration"}
        )
    return Reply({"error": "not_found", "error_description": "Unknown identity endpoint."}, 404)


def _managed(request: Request, tokens: Tokens, now: float, seconds: float) -> Reply:
    """https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference"""
    if request.headers.get("x-identity-header") != IDENTITY_HEADER:
        return Reply({"statusCode": 401, "message": "The X-IDENTITY-HEADER is missing or wrong."}, 401)
    query = parse_query(request.query)
    resource = query.get("resource", "").removesuffix("/.default").rstrip("/")
    client = query.get("client_id", "sandbox-client")
    if not resource or "api-version" not in query:
        return Reply({"statusCode": 400, "message": "resource and api-version are required."}, 400)
    if client not in CLIENTS:
        return Reply(
            {"statusCode": 400, "message": "No User Assigned Managed Identity found for specified id."}, 400
        )
    token, expires = tokens.issue(resource, client, now, seconds)
    return Reply(
        {
            "access_token": token,
            "expires_on": str(expires),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": client,
        },
        effect=f"token:{resource}",
    )


def _client_credentials(request: Request, tokens: Tokens, now: float, seconds: float) -> Reply:
    form = {k: v[0] for k, v in parse_qs(request.open_body().decode("utf-8", "replace")).items()}
    client = form.get("client_id", "")
    if client not in CLIENTS or form.get("client_secret") != CLIENT_SECRET:
        return Reply(
            {
                "error": "invalid_client",
                "error_description": "AADSTS7000215: Invalid client secret provided.",
                "error_codes": [7000215],
            },
            401,
        )
    audience = form.get("scope", "").split(" ")[0].removesuffix("/.default").rstrip("/")
    if form.get("grant_type") != "client_credentials" or not audience:
        return Reply(
            {"error": "invalid_request", "error_description": "AADSTS900144: A parameter is missing."}, 400
        )
    token, _ = tokens.issue(audience, client, now, seconds)
    answer: Json = {"token_type": "Bearer", "expires_in": int(seconds), "ext_expires_in": int(seconds)}
    return Reply({**answer, "access_token": token}, effect=f"token:{audience}")


def _base(request: Request) -> str:
    scheme = request.headers.get("x-forwarded-proto", "http")
    prefix = "" if request.headers.get("x-forwarded-proto") else "/identity"
    return f"{scheme}://{request.headers.get('host', 'localhost')}{prefix}"


def _discovery(request: Request, tenant: str) -> Json:
    base = f"{_base(request)}/{tenant}"
    return {
        "issuer": f"{base}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "tenant_region_scope": None,
    }
