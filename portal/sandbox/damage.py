"""What each fault does: to a request before it is worked on, to a reply's content, and to its bytes."""

import gzip
import json
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from portal.sandbox import poison
from portal.sandbox.access import bearer, credential
from portal.sandbox.call import Reply, parse_query
from portal.sandbox.exchange import Answer, Request
from portal.sandbox.faults import Faults, Rule
from portal.sandbox.kinds import Json
from portal.sandbox.personality import ApiError, Personality

if TYPE_CHECKING:
    from portal.sandbox.app import App
    from portal.sandbox.state import ResourceState

_PAGE = b"""<!doctype html><html><head><title>Sign in</title></head><body><h1>Sign in to continue</h1>
<p>This network asks you to sign in.</p></body></html>"""


def before(app: "App", request: Request, faults: Faults, state: "ResourceState | None") -> Reply | None:
    """Answer without doing anything, if a fault says so; revoke keys and tokens."""
    for rule in faults.struck:
        if rule.kind == "revoke_key" and state is not None:
            key = credential(request.headers)
            if key is not None:
                app.commit(state.personality.name, {"change": "key.revoke", "key": key})
        elif rule.kind == "expire_tokens" and state is not None and bearer(request.headers):
            app.commit(state.personality.name, {"change": "tokens.expire", "at": app.now()})
        elif rule.kind == "throttle":
            return throttle(rule, state.personality if state else None, app.now())
        elif rule.kind == "status" and rule.options.get("effect", "before") == "before":
            return _status(rule, state.personality if state else None)
        elif rule.kind == "drop" and rule.options.get("effect", "before") == "before":
            return Reply(None, 0)
        elif rule.kind == "html200":
            return Reply(_PAGE, 200, content_type="text/html; charset=utf-8")
        elif rule.kind == "redirect":
            target = str(rule.options.get("to", "http://redirected.invalid")) + request.path
            return Reply(None, int(rule.options.get("status", 307)), headers=[("Location", target)])
        elif rule.kind == "vanished_cursor" and "after" in parse_query(request.query):
            status = int(rule.options.get("status", 400 if state and state.personality.azure else 404))
            error = ApiError(
                status,
                "invalidPayload" if status == 400 else "notFound",
                "The cursor is gone.",
                param="after",
            )
            return Reply(state.personality.error(error) if state else None, status)
    return None


def throttle(rule: Rule, personality: Personality | None, now: float) -> Reply:
    """429, with each form of advice that has been seen."""
    advice = rule.options.get("retry_after", 1)
    headers: list[tuple[str, str]] = []
    if rule.options.get("retry_after_ms") is not None:
        headers.append(("retry-after-ms", str(rule.options["retry_after_ms"])))
    if advice == "date":
        headers.append(("Retry-After", formatdate(now + float(rule.options.get("seconds", 1)), usegmt=True)))
    elif advice is not None:
        headers.append(("Retry-After", str(advice)))  # seconds, also negative or nonsense
    if rule.options.get("code") == "insufficient_quota":
        error = ApiError(
            429,
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
            kind="insufficient_quota",
        )
    elif personality is not None and personality.azure:
        error = ApiError(
            429, "429", f"Requests have exceeded the call rate limit. Please retry after {advice} seconds."
        )
    else:
        error = ApiError(429, "rate_limit_exceeded", "Rate limit reached for requests.", kind="requests")
    body: Json = (
        personality.error(error) if personality else {"error": {"code": error.code, "message": error.message}}
    )
    return Reply(body, 429, headers=headers)


def _status(rule: Rule, personality: Personality | None) -> Reply:
    status = int(rule.options.get("status", 500))
    if "body" in rule.options:
        body = rule.options["body"]
        if isinstance(body, str):
            return Reply(
                body.encode(), status, content_type=str(rule.options.get("content_type", "text/html"))
            )
        return Reply(body, status)
    if not rule.options.get("json", True):
        return Reply(
            f"<html><body><h1>{status}</h1></body></html>".encode(), status, content_type="text/html"
        )
    message = str(
        rule.options.get(
            "message", "The server had an error while processing your request. Sorry about that!"
        )
    )
    error = ApiError(status, str(rule.options.get("code", "internalFailure")), message, kind="server_error")
    return Reply(personality.error(error) if personality else {"error": {"message": message}}, status)


def content(reply: Reply, faults: Faults, request: Request) -> None:
    """Change what a listing says."""
    payload = reply.payload
    if reply.status != 200 or not isinstance(payload, dict):
        return
    for rule in faults.of("say"):
        _say(rule, payload)
    if not isinstance(payload.get("data"), list):
        return
    items: list[Any] = payload["data"]  # items may be planted text
    for rule in faults.struck:
        if rule.kind == "empty_page":
            items = []
            payload["has_more"] = True
        elif rule.kind == "duplicate_ids" and items and rule.options.get("where", "within") == "within":
            items = [items[0], *items]
        elif rule.kind == "strip":
            fields = rule.options.get("fields", ["id"])
            items = [
                {k: v for k, v in item.items() if k not in fields}
                if _chosen(rule, i) and isinstance(item, dict)
                else item
                for i, item in enumerate(items)
            ]
        elif rule.kind == "poison":
            items = [
                poison.spoil(item, str(rule.options.get("what", "nul")), reply)
                if _chosen(rule, i) and isinstance(item, dict)
                else item
                for i, item in enumerate(items)
            ]
    payload["data"] = items


def _say(rule: Rule, payload: Json) -> None:
    """A chat completion says something else than the model would have; `text` may be null."""
    for choice in payload.get("choices") or []:
        message = choice.get("message")
        if isinstance(message, dict):
            message["content"] = rule.options.get("text")
            message["refusal"] = rule.options.get("refusal")
            choice["finish_reason"] = rule.options.get("finish_reason", choice.get("finish_reason"))


def _chosen(rule: Rule, position: int) -> bool:
    """``index``: this one; ``every``: each so many, the first among them; neither: all."""
    if "index" in rule.options:
        return position == int(rule.options["index"])
    return position % max(1, int(rule.options.get("every", 1))) == 0


def after(answer: Answer, reply: Reply, faults: Faults, personality: Personality | None) -> None:
    """Change the bytes, or how they travel."""
    if reply.status == 0:
        answer.drop = True
        return
    for rule in faults.struck:
        late = rule.options.get("effect", "before") == "after"
        if rule.kind == "slow":
            answer.delay += float(rule.options.get("seconds", 1.0))
        elif rule.kind == "drop" and late:
            answer.drop = True
        elif rule.kind == "status" and late:
            worse = _status(rule, personality)
            answer.status, answer.body, answer.content_type = worse.status, worse.encode(), worse.content_type
        elif rule.kind == "cut":
            answer.cut = float(rule.options.get("fraction", 0.5))
        elif rule.kind == "gzip_bomb":
            answer.body = _bomb(int(rule.options.get("megabytes", 1024)))
            answer.headers.append(("Content-Encoding", "gzip"))
        elif rule.kind == "wrong_charset":
            answer.content_type = f"application/json; charset={rule.options.get('charset', 'utf-16')}"
            answer.body = answer.body.decode("utf-8", "replace").encode(
                str(rule.options.get("bytes", "latin-1")), "replace"
            )
        elif rule.kind == "invalid_json":
            answer.body = answer.body[: max(1, len(answer.body) - 7)] + b",,}"


_bombs: dict[int, bytes] = {}


def _bomb(megabytes: int) -> bytes:
    if megabytes not in _bombs:
        block = gzip.compress(b" " * (1 << 20), 9)
        _bombs[megabytes] = (
            gzip.compress(b'{"object":"list","data":["')
            + block * megabytes
            + gzip.compress(json.dumps('"]}').encode())
        )
    return _bombs[megabytes]
