"""The management plane: deployments of the two Azure resources."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict

from portal.sandbox.access import MANAGEMENT, Tokens, bearer
from portal.sandbox.call import Reply, parse_query
from portal.sandbox.exchange import Request
from portal.sandbox.kinds import Json
from portal.sandbox.personality import TUNE
from portal.sandbox.state import Deployment, ResourceState

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
RESOURCE_GROUP = "sandbox"
_PATH = re.compile(
    r"/management/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.CognitiveServices"
    r"/accounts/([^/]+)(?:/deployments(?:/([^/]+))?)?/?",
    re.IGNORECASE,
)


def respond(
    request: Request,
    states: dict[str, ResourceState],
    tokens: Tokens,
    now: float,
    job_seconds: float,
    commit: Callable[[str, Json], None],
) -> Reply:
    """https://learn.microsoft.com/rest/api/aiservices/accountmanagement/deployments"""
    token = bearer(request.headers)
    held = tokens.rights(token, MANAGEMENT, now) if token else None
    if held is None:
        return _error(401, "InvalidAuthenticationToken", "The access token is missing, invalid or expired.")
    if "api-version" not in parse_query(request.query):
        return _error(
            400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required."
        )
    match = _PATH.fullmatch(request.path)
    if match is None:
        return _error(404, "InvalidResourceType", "The resource type could not be found.")
    subscription, group, account, name = match.groups()
    if subscription != SUBSCRIPTION:
        return _error(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
    if group.lower() != RESOURCE_GROUP:
        return _error(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
    state = states.get(account)
    if state is None or not state.personality.azure:
        return _error(404, "ResourceNotFound", f"The Resource 'accounts/{account}' was not found.")
    if "/deployments" not in request.path.lower():
        return Reply({"name": account, "kind": "OpenAI", "properties": {"provisioningState": "Succeeded"}})
    if name is None:
        return Reply({"value": [view(d, account, now) for d in state.deployments.values()]})
    if request.method in ("PUT", "DELETE") and TUNE not in held:
        verb = "write" if request.method == "PUT" else "delete"
        return _error(
            403,
            "AuthorizationFailed",
            "The client does not have authorization to perform action "
            f"'Microsoft.CognitiveServices/accounts/deployments/{verb}'.",
        )
    if request.method == "PUT":
        return _put(request, state, account, name, now, job_seconds, commit)
    deployment = state.deployments.get(name)
    if request.method == "DELETE":
        if deployment is None:
            return Reply(None, 204)
        commit(account, {"change": "deployment.delete", "name": name})
        return Reply(None, 200, effect=f"deleted:deployment/{name}")
    if deployment is None:
        return _error(404, "DeploymentNotFound", f"The deployment '{name}' was not found.")
    return Reply(view(deployment, account, now))


def _put(
    request: Request,
    state: ResourceState,
    account: str,
    name: str,
    now: float,
    job_seconds: float,
    commit: Callable[[str, Json], None],
) -> Reply:
    try:
        body = json.loads(request.open_body())
        model, sku = body["properties"]["model"], body["sku"]
        wanted, version = str(model["name"]), str(model.get("version", "1"))
        sku = {"name": str(sku["name"]), "capacity": int(sku["capacity"])}
    except (ValueError, KeyError, TypeError):
        return _error(
            400, "InvalidRequestContent", "The request content was invalid: sku and properties.model."
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,63}", name):
        return _error(400, "InvalidResourceName", f"The deployment name '{name}' is not valid.")
    tuned = wanted in state.tuned(now)
    if (not tuned and not wanted.startswith(("gpt-", "text-embedding-", "o4-mini"))) or (
        ".ft-" in wanted and not tuned
    ):
        return _error(
            400,
            "DeploymentModelNotSupported",
            f"The model 'Format: OpenAI, Name: {wanted}, Version: {version}' "
            "of account deployment is not supported.",
        )
    if sku["capacity"] < 1 or sku["capacity"] > 1000:
        return _error(
            400, "InsufficientQuota", "This operation requires more capacity than the quota has left."
        )
    known = state.deployments.get(name)
    seconds = min(10.0, job_seconds / 6)
    if known is not None and (known.model, known.version) == (wanted, version):
        seconds = known.seconds
        created = known.created_at
    else:
        created = now
    deployment = Deployment(name, wanted, version, sku, created, seconds)
    commit(account, {"change": "deployment.put", "deployment": asdict(deployment)})
    effect = f"{'updated' if known else 'created'}:deployment/{name}"
    return Reply(view(deployment, account, now), 200 if known else 201, effect=effect)


def view(deployment: Deployment, account: str, now: float) -> Json:
    path = (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}/providers/Microsoft.CognitiveServices"
        f"/accounts/{account}/deployments/{deployment.name}"
    )
    return {
        "id": path,
        "type": "Microsoft.CognitiveServices/accounts/deployments",
        "name": deployment.name,
        "sku": deployment.sku,
        "properties": {
            "model": {"format": "OpenAI", "name": deployment.model, "version": deployment.version},
            "versionUpgradeOption": "OnceNewDefaultVersionAvailable",
            "capabilities": {"chatCompletion": "true"},
            "provisioningState": deployment.state(now),
        },
    }


def _error(status: int, code: str, message: str) -> Reply:
    return Reply({"error": {"code": code, "message": message}}, status)
