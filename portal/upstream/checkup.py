"""Test a connection and say in words what works, what is missing and what to do about it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from portal.models import Auth, Connection
from portal.upstream import hints
from portal.upstream.client import Upstream
from portal.upstream.errors import UpstreamError

Check = Literal["reachable", "authenticated", "read", "write", "fine_tune", "deploy", "evals"]
_NOT_REACHED = frozenset(("network", "timeout", "tls", "dns", "blocked", "redirect", "unreadable", "server"))
# Nothing has these ids, so asking to change them changes nothing; a right that is missing is refused before
# that.
PROBE = "chatcmpl-portal-check"
PROBE_JOB = "ftjob-portal-check"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `ok` is None where it could not be found out."""

    check: Check
    ok: bool | None
    text: str
    hint: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def test_connection(connection: Connection) -> list[Finding]:
    """Ask the endpoint for one of everything. Changes nothing upstream and never raises UpstreamError."""
    try:
        upstream = Upstream(connection, tries=2, seconds=10.0)  # somebody waits
    except UpstreamError as error:
        check: Check = "reachable" if error.kind == "blocked" else "authenticated"
        return [Finding(check, False, error.message, error.hint)]
    with upstream:
        return _ask(upstream)


test_connection.__test__ = False  # type: ignore[attr-defined]  # its name is the product's, not a test's


def _ask(upstream: Upstream) -> list[Finding]:
    where = str(upstream.connection.base_url)
    listing = _failure(lambda: upstream.list_stored(limit=1))
    models = _failure(upstream.models)
    worst = listing or models
    # Where the models are listed although the completions are not, the address and the credential are right.
    answered = listing is None or models is None
    if not answered and worst is not None and worst.kind in _NOT_REACHED:
        return [Finding("reachable", False, worst.message, worst.hint)]
    if not answered and worst is not None and worst.kind == "credentials":
        return [Finding("authenticated", False, worst.message, worst.hint)]
    findings = [Finding("reachable", True, f"{where} answers.")]
    refused = next((error for error in (listing, models) if error is not None and error.kind == "auth"), None)
    if refused is not None and not answered:
        findings.append(
            Finding("authenticated", False, f"It does not know us: {refused.message}", refused.hint)
        )
        return findings
    findings.append(Finding("authenticated", True, "The credential is accepted."))
    findings.append(_reading(listing))
    findings.append(_writing(upstream))
    findings.append(_fine_tuning(upstream))
    if upstream.connection.is_azure:
        findings.append(_deploying(upstream))
        findings.append(evaluating(upstream))
    return findings


def _reading(error: UpstreamError | None) -> Finding:
    if error is None:
        return Finding("read", True, "Stored completions can be listed (read).")
    if error.kind in ("auth", "forbidden"):
        return Finding("read", False, "Stored completions may not be listed (read).", _said(error))
    if error.kind in ("not_found", "bad_request"):
        hint = "Check the base URL and the API version, and that storing is switched on for the resource."
        return Finding("read", False, "The endpoint has no list of stored completions.", _said(error, hint))
    return Finding("read", None, "Whether stored completions can be listed is not known.", _said(error))


def _writing(upstream: Upstream) -> Finding:
    error = _failure(lambda: upstream.update_metadata(PROBE, {"source": "portal-check"}))
    return _probed(
        "write",
        error,
        upstream.right(hints.ACTION),
        "Stored completions can be changed (action).",
        "Stored completions may not be changed (action).",
    )


def _fine_tuning(upstream: Upstream) -> Finding:
    listing = _failure(lambda: next(iter(upstream.list_jobs()), None))
    if listing is not None and listing.kind in ("auth", "forbidden"):
        return Finding("fine_tune", False, "Fine-tuning is not permitted.", _said(listing))
    if listing is not None and listing.kind in ("not_found", "bad_request"):
        return Finding(
            "fine_tune",
            False,
            "The endpoint offers no fine-tuning.",
            "Datasets can still be built and downloaded.",
        )
    error = _failure(lambda: upstream.cancel_job(PROBE_JOB))
    return _probed(
        "fine_tune",
        error,
        upstream.right(hints.FINE_TUNE),
        "Fine-tuning jobs can be started.",
        "Fine-tuning is not permitted.",
    )


def _deploying(upstream: Upstream) -> Finding:
    if not upstream.connection.can_deploy:
        return Finding(
            "deploy",
            None,
            "Deploying is not set up.",
            "To deploy a fine-tuned model from here, enter subscription, resource group and account name.",
        )
    if upstream.connection.auth == Auth.KEY:
        hint = "To deploy, sign in with Microsoft Entra ID: a key does not reach Azure's management plane."
        return Finding("deploy", None, "Deploying is not possible with an API key.", hint)
    error = _failure(upstream.list_deployments)
    if error is None:
        return Finding(
            "deploy", True, "Deployments can be listed; the right to create one shows when one is created."
        )
    if error.kind in _NOT_REACHED:
        return Finding(
            "deploy", None, f"Azure's management plane cannot be reached: {error.message}", error.hint
        )
    return Finding("deploy", False, "Deployments may not be managed.", _said(error))


def evaluating(upstream: Upstream) -> Finding:
    """Whether the endpoint runs evaluations of its own."""
    error = upstream.has_evals()
    if error is None:
        return Finding("evals", True, "Evaluations can be run at the provider.")
    if error.kind in ("auth", "forbidden"):
        return Finding("evals", False, "Running evaluations at the provider is not permitted.", _said(error))
    if error.kind in ("not_found", "bad_request"):
        said = error.message if error.message.endswith((".", "!", "?")) else f"{error.message}."
        hint = f"It answers: {said} Evaluations run here instead, with the same graders."
        return Finding("evals", False, "The endpoint runs no evaluations of its own.", hint)
    return Finding("evals", None, "Whether it runs evaluations is not known.", _said(error))


def _probed(check: Check, error: UpstreamError | None, action: str, fine: str, refused: str) -> Finding:
    """What asking for the impossible says about the right to ask."""
    if error is None or error.kind in ("not_found", "bad_request", "conflict"):
        return Finding(check, True, fine)
    if error.kind in ("auth", "forbidden"):
        return Finding(check, False, refused, _said(error, hints.missing_right(action)))
    return Finding(check, None, f"{fine.removesuffix('.')}? That could not be tried.", _said(error))


def _said(error: UpstreamError, otherwise: str = "") -> str:
    """The answer in the service's own words, then what to do about it."""
    said = error.message if error.message.endswith((".", "!", "?")) else f"{error.message}."
    hint = error.hint or otherwise
    lacking, _, remedy = hint.partition(". ")
    if lacking.startswith("The identity lacks") and lacking.split()[-1] in said:
        hint = remedy  # the service has named the right itself
    return f"{said} {hint}".strip()


def _failure(call: Callable[[], Any]) -> UpstreamError | None:
    try:
        call()
    except UpstreamError as error:
        return error
    return None
