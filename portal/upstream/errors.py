"""Every way in which an upstream can fail, in one form that a person can read."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Literal

from portal.upstream.hints import hint_for

Kind = Literal[
    "auth",
    "forbidden",
    "not_found",
    "throttled",
    "quota",
    "server",
    "timeout",
    "network",
    "tls",
    "dns",
    "redirect",
    "unreadable",
    "bad_request",
    "conflict",
    "stalled",
    "loop",
    "blocked",
    "credentials",
    "closed",
    "unavailable",
]
# Asking again without a change by a person gives the same answer.
PERMANENT: frozenset[str] = frozenset(
    (
        "auth", "forbidden", "not_found", "quota", "tls", "redirect",
        "bad_request", "conflict", "blocked", "credentials", "closed", "unavailable",
    )
)  # fmt: skip
# The service may have done what it was asked to although it did not say so.
UNCERTAIN: frozenset[str] = frozenset(("server", "timeout", "network", "unreadable", "redirect"))

LONGEST_WAIT = 900.0
EXCERPT = 200


class UpstreamError(Exception):
    """What went wrong upstream: `message` is theirs or plain words, `hint` says what to do about it.

    `permanent`: asking again is no use until somebody changes something. `outcome_unknown`: a write may have
    happened. No field ever holds a secret.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        http_status: int | None = None,
        code: str = "",
        param: str = "",
        retry_after: float | None = None,
        request_id: str = "",
        excerpt: str = "",
        hint: str = "",
        permanent: bool | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.http_status = http_status
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.request_id = request_id
        self.excerpt = excerpt
        self.hint = hint
        self.permanent = kind in PERMANENT if permanent is None else permanent
        self.outcome_unknown = outcome_unknown

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON column or a page."""
        return {
            "kind": self.kind,
            "http_status": self.http_status,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "retry_after": self.retry_after,
            "request_id": self.request_id,
            "excerpt": self.excerpt,
            "hint": self.hint,
            "permanent": self.permanent,
            "outcome_unknown": self.outcome_unknown,
        }


_BY_STATUS: dict[int, Kind] = {
    401: "auth",
    402: "quota",
    403: "forbidden",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    410: "not_found",
    429: "throttled",
}
# Azure's dated API says in the code what its status sometimes does not.
_BY_CODE: dict[str, Kind] = {
    "conflict": "conflict",
    "forbidden": "forbidden",
    "insufficient_quota": "quota",
    "billing_hard_limit_reached": "quota",
    "itemdoesalreadyexist": "conflict",
    "notfound": "not_found",
    "quotaexceeded": "quota",
    "serviceunavailable": "server",
    "internalfailure": "server",
    "toomanyrequests": "throttled",
    "unauthorized": "auth",
}
# Fine-tuning that is no longer offered to the account, or not for this model, region or kind of training.
# There is no list of the codes, so the words decide.
_CLOSED = re.compile(
    r"fine[- ]?tuning[^.]{0,80}(?:no longer|closed|discontinued|been retired|wound down|winding down)"
    r"|no longer[^.]{0,60}fine[- ]?tun|not (?:eligible|permitted|allowed)[^.]{0,60}fine[- ]?tun",
    re.I,
)
_UNAVAILABLE = re.compile(
    r"(?:not|n't)(?: currently)? (?:available|support(?:ed)?|offered)[^.]{0,40}fine[- ]?tun"
    r"|fine[- ]?tun[^.]{0,60}(?:not|n't) (?:available|support(?:ed)?|offered)",
    re.I,
)
_TOO_MANY_JOBS = re.compile(
    r"(?:limit|maximum|quota)[^.]*fine[- ]?tun\w* jobs?|fine[- ]?tun\w* jobs?[^.]*(?:limit|maximum|quota)",
    re.I,
)
_SECRET = re.compile(
    r"\b(sk-[A-Za-z0-9_\-]{8,}|eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-.]+|(?i:bearer)\s+[A-Za-z0-9._\-]{12,}"
    r"|(?i:sig|api-key|client_secret)=[^&\s\"']{6,})"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_WAIT_IN_WORDS = re.compile(
    r"(?:retry|try again) (?:after|in) (\d+(?:\.\d+)?)\s*(ms|milliseconds|s\b|seconds?)", re.I
)


def clean(text: str, secrets: Iterable[str] = (), limit: int = 1000) -> str:
    """`text` fit for a log, a page and a database: no secret, no control character, not long."""
    for secret in secrets:
        if len(secret) >= 6:
            text = text.replace(secret, "•••")
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _SECRET.sub("•••", text[: limit * 4]))[:limit]


def error_from_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    action: str = "",
    write: bool = False,
    secrets: Iterable[str] = (),
) -> UpstreamError:
    """The error that an answer with a 4xx or 5xx status stands for, whatever the form of its body.

    `headers` has lower-case names. `action` names the right that was needed (see `portal.upstream.hints`).
    """
    secrets = tuple(secrets)
    text = body[:20_000].decode("utf-8", "replace").lstrip("\ufeff").strip()
    fields = _fields(text)
    code, message = fields["code"], fields["message"]
    kind = _BY_STATUS.get(status) or ("server" if status >= 500 else "bad_request")
    by_code = _BY_CODE.get(code.lower())
    if fields["type"] == "insufficient_quota" or "exceeded your current quota" in message:
        by_code = "quota"
    if by_code and (kind == "bad_request" or by_code == "quota"):
        kind = by_code
    if kind in ("bad_request", "forbidden", "not_found"):
        kind = _refusal_of_tuning(kind, message)
    if not message:
        message = "It answered with a web page." if text[:1] == "<" else text[:300] or f"HTTP status {status}"
    message = clean(message, secrets)
    return UpstreamError(
        kind,
        message,
        http_status=status,
        code=clean(code, secrets, 100),
        param=clean(fields["param"], secrets, 100),
        retry_after=wait_told(headers, message) if status in (408, 409, 429) or status >= 500 else None,
        request_id=clean(request_id(headers), secrets),
        excerpt=clean(text, secrets, EXCERPT),
        hint=hint_for(kind, status=status, code=code, message=message, action=action),
        outcome_unknown=write and kind in UNCERTAIN,
    )


def _refusal_of_tuning(kind: Kind, message: str) -> Kind:
    """The kind of a refused fine-tuning job, where its words are clearer than its status."""
    if kind in ("bad_request", "forbidden") and _CLOSED.search(message):
        return "closed"
    if kind in ("bad_request", "not_found") and _UNAVAILABLE.search(message):
        return "unavailable"
    if kind == "bad_request" and _TOO_MANY_JOBS.search(message):
        return "quota"
    return kind


def _fields(text: str) -> dict[str, str]:
    """code, message, param and type out of every known form of error body."""
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    inner: Any = body
    message = ""
    if isinstance(body, dict):
        error = body.get("error")
        if isinstance(error, dict):
            inner = error
            message = _text(error.get("message"))
        elif isinstance(error, str):
            message = _text(body.get("message")) or error
        else:
            message = _text(body.get("message")) or _text(body.get("detail"))
    elif isinstance(body, str):
        message = body
    if not isinstance(inner, dict):
        inner = {}
    deeper = inner.get("innererror") or inner.get("inner_error")
    code = _text(inner.get("code")) or (_text(deeper.get("code")) if isinstance(deeper, dict) else "")
    return {
        "code": code or _text(inner.get("type")),
        "message": message,
        "param": _text(inner.get("param") or inner.get("target")),
        "type": _text(inner.get("type")),
    }


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return ""
    return (
        value
        if isinstance(value, str)
        else json.dumps(value)[:500]
        if isinstance(value, dict | list)
        else str(value)
    )


def request_id(headers: Mapping[str, str]) -> str:
    """The id by which the service's support finds the request."""
    for name in ("x-request-id", "apim-request-id", "x-ms-request-id"):
        if value := headers.get(name):
            return clean(value, limit=100)
    return ""


def wait_told(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds that the service asks to wait: `retry-after-ms`, `Retry-After` (number or date), or words."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if not value:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time()
            except (ValueError, TypeError, OverflowError):
                continue
        if math.isfinite(seconds):
            return min(max(seconds, 0.0), LONGEST_WAIT)
    if found := _WAIT_IN_WORDS.search(message):
        seconds = float(found[1]) * (0.001 if found[2].lower().startswith("m") else 1.0)
        return min(seconds, LONGEST_WAIT)
    return None
