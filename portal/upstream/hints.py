"""What a person can do about an upstream error, in one or two sentences."""

READ = "read"
ACTION = "action"
FINE_TUNE = "fine_tune"
DEPLOY = "deploy"
EVALS = "evals"
SCOPED = "scoped"  # a key with scopes instead of an identity with roles

RIGHTS = {
    READ: "Microsoft.CognitiveServices/accounts/OpenAI/stored-completions/read",
    ACTION: "Microsoft.CognitiveServices/accounts/OpenAI/stored-completions/action",
    FINE_TUNE: "Microsoft.CognitiveServices/accounts/OpenAI/fine-tunes/write",
    DEPLOY: "Microsoft.CognitiveServices/accounts/deployments/write",
    EVALS: "Microsoft.CognitiveServices/accounts/OpenAI/evals/write",
}
_NETWORK_RULE = ("firewall", "virtual network", "vnet", "private endpoint", "public access", "network rule")
_SCOPES = "https://ai.azure.com/.default or https://cognitiveservices.azure.com/.default"


def hint_for(
    kind: str, *, status: int | None = None, code: str = "", message: str = "", action: str = ""
) -> str:
    """The advice that belongs to an error; empty when there is none to give."""
    words = message.lower()
    if kind == "auth":
        if "audience" in words or "scope" in words:
            return f"The token is meant for another audience. Set the connection's scope: {_SCOPES}."
        return "Check that the key or identity belongs to this resource and was not replaced or revoked."
    if kind == "forbidden":
        if any(phrase in words for phrase in _NETWORK_RULE):
            return (
                "The resource's network rules refuse this machine. Add its address there, or use the"
                " private endpoint."
            )
        return missing_right(action)
    if kind == "not_found":
        if code == "DeploymentNotFound":
            return "No deployment has this name. A new one may need up to five minutes before it answers."
        if code == "404" or "resource not found" in words:
            return "Check the base URL and the API version of the connection."
        return ""
    if kind == "throttled":
        return "The service is busy or the rate limit is reached. The work goes on by itself after the wait."
    if kind == "closed":
        return (
            "The provider takes no new fine-tuning jobs from this account. The dataset stays here: download"
            " it, or launch on another connection."
        )
    if kind == "unavailable":
        return _unavailable(words)
    if kind == "quota" and "tun" in words:
        return "Wait until a running job has ended, or ask the provider for more, then launch again."
    if kind == "quota":
        return "The quota or credit of this account is used up. Raise it, then retry."
    if kind == "server":
        return "The service failed on its side. This usually passes."
    if kind == "bad_request":
        if code == "content_filter":
            return "The content filter refused the prompt."
        if status == 413:
            return "What was sent is too large for the service."
        return ""
    return ""


def _unavailable(words: str) -> str:
    if "region" in words or "location" in words:
        return "Choose another base model or training type, or a connection to a resource in another region."
    if "training type" in words or "trainingtype" in words:
        return "Choose another training type: not every model has each of them."
    return (
        "Choose another base model. On Azure the training type may be the reason too: some models are trained"
        " as GlobalStandard or Developer only."
    )


def missing_right(action: str) -> str:
    """How to get the right for `action`."""
    if action == SCOPED:
        return (
            "The key's permissions do not include this. Make one with all permissions, or add what is named."
        )
    right = RIGHTS.get(action)
    if right is None:
        return "The identity lacks a role on this resource. A new role works after about five minutes."
    role = (
        "Cognitive Services Contributor on the resource"
        if action == DEPLOY
        else "Cognitive Services OpenAI Contributor or Foundry User on the resource"
    )
    return (
        f"The identity lacks {right}. Give it a role that holds this right, such as {role};"
        " Owner and Contributor alone do not. New role assignments take about five minutes to work."
    )
