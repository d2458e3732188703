"""How Azure OpenAI's two surfaces and OpenAI differ, and how each words its refusals."""

from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]  # JSON objects have no narrower type before they are read
Style = Literal["azure-v1", "azure-dated", "openai"]

READ = "stored-completions/read"
ACTION = "stored-completions/action"
INFER = "deployments/chat/completions/action"
FILES_READ = "files/read"
FILES_WRITE = "files/write"
TUNE = "fine-tunes/write"
EVALS_READ = "evals/read"
EVALS_WRITE = "evals/write"
ALL_RIGHTS = frozenset({READ, ACTION, INFER, FILES_READ, FILES_WRITE, TUNE, EVALS_READ, EVALS_WRITE})
READER_RIGHTS = frozenset({READ, INFER, FILES_READ, EVALS_READ})
USER_RIGHTS = frozenset({INFER})
ROLES = {"all": ALL_RIGHTS, "read-only": READER_RIGHTS, "user": USER_RIGHTS}


class ApiError(Exception):
    """A refusal; the personality decides its body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        kind: str = "invalid_request_error",
        flat: bool = False,
        inner: Json | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param, self.kind = status, code, message, param, kind
        self.flat = flat  # as Azure's gateway answers: {"statusCode": …, "message": …}
        self.inner = inner
        self.headers = headers


@dataclass(frozen=True)
class Personality:
    """One resource's surface."""

    name: Style
    prefix: str  # of its API, below the server's address
    audience: str = ""  # of Entra tokens; none on OpenAI
    order: str = "asc"

    @property
    def azure(self) -> bool:
        return self.name != "openai"

    @property
    def dated(self) -> bool:
        return self.name == "azure-dated"

    @property
    def keys(self) -> dict[str, frozenset[str]]:
        """The keys that the resource starts with; the full one first."""
        stem = f"sandbox-{self.name}"
        return {
            f"{stem}-key": ALL_RIGHTS,
            f"{stem}-read-only-key": READER_RIGHTS,
            f"{stem}-user-key": USER_RIGHTS,
        }

    def error(self, error: ApiError) -> Json:
        """The body of a refusal."""
        if self.name == "openai":
            return {
                "error": {
                    "message": error.message,
                    "type": error.kind,
                    "param": error.param,
                    "code": error.code or None,
                }
            }
        if error.flat:
            return {"statusCode": error.status, "message": error.message}
        body: Json = {"code": error.code, "message": error.message}
        if error.status in (401, 403) or error.code in ("404", "DeploymentNotFound", "429"):
            return {"error": body}
        if error.code == "content_filter":
            body |= {"type": None, "param": "prompt", "status": 400, "innererror": error.inner}
        elif self.dated:
            body |= {"target": error.param, "details": [], "innererror": error.inner}
        else:
            body |= {"param": error.param, "type": "error", "inner_error": error.inner}
        return {"error": body}

    def not_found(self, what: str, name: str) -> ApiError:
        message = (
            f"No {what} found with id '{name}'."
            if self.name == "openai"
            else f"{what} '{name}' was not found."
        )
        return ApiError(404, "" if self.name == "openai" else "notFound", message)

    def no_route(self, method: str, path: str) -> ApiError:
        if self.azure:
            return ApiError(404, "404", "Resource not found")
        return ApiError(404, "", f"Invalid URL ({method} {path})")

    def unauthenticated(self, given: str | None) -> ApiError:
        if self.azure:
            return ApiError(
                401,
                "401",
                "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a "
                "valid key for an active subscription and use a correct regional API endpoint for your "
                "resource.",
            )
        if given is None:
            message = "You didn't provide an API key. Provide it in an Authorization header with Bearer auth."
            return ApiError(401, "", message)
        shown = f"{given[:3]}***{given[-4:]}" if len(given) > 12 else "***"
        return ApiError(401, "invalid_api_key", f"Incorrect API key provided: {shown}.")

    def bad_token(self) -> ApiError:
        return ApiError(
            401,
            "401",
            "Unauthorized. Access token is missing, invalid, audience is incorrect "
            f"({self.audience}), or have expired.",
            flat=True,
            headers=(("WWW-Authenticate", 'Bearer error="invalid_token"'),),
        )

    def forbidden(self, right: str, method: str, path: str) -> ApiError:
        if self.azure:
            return ApiError(
                403,
                "PermissionDenied",
                "The principal lacks the required data action "
                f"`Microsoft.CognitiveServices/accounts/OpenAI/{right}` to perform "
                f"`{method} {path}` operation.",
            )
        scope = {
            READ: "api.chat.completions.read",
            ACTION: "api.chat.completions.write",
            INFER: "model.request",
            FILES_READ: "api.files.read",
            FILES_WRITE: "api.files.write",
            TUNE: "api.fine_tuning.jobs.write",
        }[right]
        return ApiError(
            403,
            "missing_scope",
            f"You have insufficient permissions for this operation. Missing scopes: {scope}.",
        )


PERSONALITIES: dict[str, Personality] = {
    "azure-v1": Personality("azure-v1", "/azure-v1/openai/v1", "https://ai.azure.com"),
    "azure-dated": Personality(
        "azure-dated", "/azure-dated/openai", "https://cognitiveservices.azure.com", order="desc"
    ),
    "openai": Personality("openai", "/openai/v1"),
}
