"""The sandbox as one function from request to answer: routes, keys, faults, the journal."""

import time
from collections.abc import Callable
from pathlib import Path

from portal.sandbox import (
    access,
    catalog,
    chat,
    control,
    damage,
    evals,
    files,
    identity,
    management,
    stored,
    tuning,
)
from portal.sandbox.call import Call, Reply, Slow, parse_query
from portal.sandbox.draw import digest
from portal.sandbox.exchange import Answer, Later, Request
from portal.sandbox.faults import Faults, Switchboard
from portal.sandbox.journal import Journal, Line
from portal.sandbox.kinds import Json
from portal.sandbox.personality import PERSONALITIES, ApiError, Personality
from portal.sandbox.state import ResourceState
from portal.sandbox.story import Story

Handler = Callable[[Call], Reply | Slow]

# (method, parts of the path; None stands for an id) -> handler
_ROUTES: dict[tuple[str, ...], Handler] = {
    ("POST", "chat", "completions"): chat.create,
    ("GET", "chat", "completions"): stored.listing,
    ("GET", "chat", "completions", "*"): stored.get,
    ("POST", "chat", "completions", "*"): stored.update,
    ("DELETE", "chat", "completions", "*"): stored.delete,
    ("GET", "chat", "completions", "*", "messages"): stored.messages,
    ("POST", "files"): files.upload,
    ("GET", "files"): files.listing,
    ("GET", "files", "*"): files.get,
    ("DELETE", "files", "*"): files.delete,
    ("GET", "files", "*", "content"): files.content,
    ("POST", "fine_tuning", "jobs"): tuning.create,
    ("GET", "fine_tuning", "jobs"): tuning.listing,
    ("GET", "fine_tuning", "jobs", "*"): tuning.get,
    ("GET", "fine_tuning", "jobs", "*", "events"): tuning.events,
    ("GET", "fine_tuning", "jobs", "*", "checkpoints"): tuning.checkpoints,
    ("POST", "fine_tuning", "jobs", "*", "pause"): tuning.control,
    ("POST", "fine_tuning", "jobs", "*", "resume"): tuning.control,
    ("POST", "fine_tuning", "jobs", "*", "cancel"): tuning.control,
    ("GET", "models"): catalog.models,
    ("POST", "embeddings"): catalog.embeddings,
}
_IDS = {"chat": 2, "files": 1, "fine_tuning": 2}  # where in the path an id stands


class App:
    """Everything behind the server; all of it runs on the server's one thread."""

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        *,
        rows: int,
        rows_elsewhere: int,
        job_seconds: float,
        latency: float,
        seed: int,
        now: float | None,
    ) -> None:
        self.folder = folder
        self.journal = journal
        self.job_seconds = job_seconds
        self.latency = latency  # added to every answer but the control plane's
        self.token_seconds: float = access.TOKEN_SECONDS
        self.faults = Switchboard()
        self.defects: list[str] = []
        self._clock = (now or time.time(), time.monotonic()) if now is not None else None
        self._advanced = 0.0
        self.states: dict[str, ResourceState] = {}
        start: Line | None = None
        for change in journal.replay():
            if change["change"] == "start":
                start = change
                self._make_states(start)
            elif change["change"] == "clock":
                self._advanced += change["advance"]
            else:
                self.states[change["resource"]].apply(change)
        if self._clock is not None and self._clock[0] + self._advanced < journal.latest:
            self._clock = (journal.latest - self._advanced, self._clock[1])  # time does not run backwards
        journal.open()
        if start is None:
            start = {
                "change": "start",
                "at": self.now(),
                "seed": seed,
                "rows": rows,
                "rows_elsewhere": rows_elsewhere,
            }
            journal.change(start)
            self._make_states(start)
        self.seed = int(start["seed"])
        self.tokens = access.Tokens(self.seed)

    def _make_states(self, start: Line) -> None:
        for name, personality in PERSONALITIES.items():
            rows = start["rows"] if name == "azure-v1" else start["rows_elsewhere"]
            story = Story(name, start["seed"], rows, start["at"])
            folder = self.folder / "files" / name
            folder.mkdir(parents=True, exist_ok=True)
            self.states[name] = ResourceState(personality, story, folder, start["at"])

    # clock

    def now(self) -> float:
        if self._clock is None:
            return time.time() + self._advanced
        return self._clock[0] + time.monotonic() - self._clock[1] + self._advanced

    def advance(self, seconds: float) -> None:
        self._advanced += seconds
        self.journal.change({"change": "clock", "at": self.now(), "advance": seconds})

    def commit(self, resource: str, change: Json) -> None:
        """Put a change into the journal, on disk, and make it."""
        self.journal.change({"resource": resource, "at": self.now(), **change})
        self.states[resource].apply(change)

    # requests

    def respond(self, request: Request) -> Answer | Later:
        path = request.path
        first = path[1:].partition("/")[0]
        if first == "_sandbox":
            return _answer(control.respond(self, request))
        personality = PERSONALITIES.get(first)
        if personality is not None:
            if path.startswith(personality.prefix + "/"):
                return self._resource(request, personality, path[len(personality.prefix) :])
            error = personality.no_route(request.method, path)
            return self._finish(request, first, path, Reply(personality.error(error), 404), Faults())
        faults = self.faults.strike(first, request.method, path)
        if first not in ("identity", "management"):
            return self._finish(
                request, "", path, Reply(b"<h1>Not Found</h1>", 404, content_type="text/html"), faults
            )
        refused = damage.before(self, request, faults, None)
        if refused is not None:
            return self._finish(request, first, path, refused, faults)
        if first == "identity":
            reply = identity.respond(request, self.tokens, self.now(), self.token_seconds)
        else:
            reply = management.respond(
                request, self.states, self.tokens, self.now(), self.job_seconds, self.commit
            )
        return self._finish(request, first, path, reply, faults)

    def cuts(self, request: Request) -> float | None:
        """After which part of its body the request is cut off, if a fault says so."""
        first = request.path[1:].partition("/")[0]
        personality = PERSONALITIES.get(first)
        if personality is None:
            return None
        path = request.path[len(personality.prefix) :]
        fraction = self.faults.cut(first, request.method, path)
        if fraction is not None:
            self._finish(request, first, path, Reply(None, 0), Faults())
        return fraction

    def _resource(self, request: Request, personality: Personality, path: str) -> Answer | Later:
        faults = self.faults.strike(personality.name, request.method, path)
        state = self.states[personality.name]
        query = parse_query(request.query)
        try:
            refused = damage.before(self, request, faults, state)
            if refused is not None:
                return self._finish(request, personality.name, path, refused, faults)
            if personality.dated and "api-version" not in query:
                raise personality.no_route(request.method, path)
            held = access.rights(state, self.tokens, request.headers, self.now())
            call = Call(
                request=request,
                method=request.method,
                path=path,
                parts=path.strip("/").split("/"),
                query=query,
                state=state,
                personality=personality,
                rights=held,
                now=self.now(),
                faults=faults,
                commit=lambda change: self.commit(personality.name, change),
                job_seconds=self.job_seconds,
            )
            reply = _route(call)(call)
        except ApiError as error:
            reply = _refusal(personality, error)
        if isinstance(reply, Reply):
            return self._finish(request, personality.name, path, reply, faults)
        slow = reply

        def finish(result: object) -> Answer:
            try:
                done = slow.finish(result)
            except ApiError as error:
                done = _refusal(personality, error)
            return self._finish(request, personality.name, path, done, faults)

        return Later(slow.work, finish)

    def _finish(self, request: Request, resource: str, path: str, reply: Reply, faults: Faults) -> Answer:
        """Damage the reply as asked, add the service's headers, write the journal, and only then answer."""
        if faults.struck:
            damage.content(reply, faults, request)
        personality = PERSONALITIES.get(resource)
        if personality is not None:
            reply.headers += self._headers(personality, reply)
        answer = _answer(reply)
        answer.delay = self.latency
        if faults.struck:
            damage.after(answer, reply, faults, personality)
        entry: Line = {
            "at": round(self.now(), 4),
            "resource": resource,
            "method": request.method,
            "path": path,
            "query": request.query,
            "status": 0 if answer.drop else answer.status,
            "key_hint": access.hint(request.headers),
            "body_digest": request.digest,
        }
        if reply.effect:
            entry["effect"] = reply.effect
        if faults.struck:
            entry["fault"] = faults.names()
        self.journal.request(entry, at_once=reply.effect is not None)
        return answer

    def _headers(self, personality: Personality, reply: Reply) -> list[tuple[str, str]]:
        number = digest(self.seed, self.journal.number)
        identity = f"{number:016x}"
        if personality.azure:
            guid = f"{identity[:8]}-{identity[8:12]}-{identity[12:]}-8000-{identity[:12]}"
            headers = [("apim-request-id", guid), ("x-ms-region", "Sandbox"), ("x-request-id", guid)]
            if reply.status == 200:
                headers += [
                    ("x-ratelimit-remaining-requests", "999"),
                    ("x-ratelimit-remaining-tokens", "99999"),
                ]
            return headers
        headers = [
            ("x-request-id", f"req_{identity * 2}"),
            ("openai-processing-ms", "5"),
            ("openai-version", "2020-10-01"),
        ]
        if reply.status == 200:
            headers += [
                ("x-ratelimit-limit-requests", "10000"),
                ("x-ratelimit-remaining-requests", "9999"),
                ("x-ratelimit-reset-requests", "6ms"),
                ("x-ratelimit-limit-tokens", "2000000"),
                ("x-ratelimit-remaining-tokens", "1999999"),
                ("x-ratelimit-reset-tokens", "0s"),
            ]
        return headers


def _route(call: Call) -> Handler:
    parts = call.parts
    if call.personality.dated and parts[0] == "deployments" and len(parts) >= 3:
        call.deployment = parts[1]
        rest = tuple(parts[2:])
        if call.method == "POST" and rest == ("chat", "completions"):
            return chat.create
        if call.method == "POST" and rest == ("embeddings",):
            return catalog.embeddings
        raise call.personality.no_route(call.method, call.request.path)
    if (
        call.personality.dated
        and call.method == "POST"
        and parts in (["chat", "completions"], ["embeddings"])
    ):
        raise call.personality.no_route(call.method, call.request.path)
    if parts[0] == "models" and len(parts) > 1:
        handlers: dict[str, Handler] = {"GET": catalog.model, "DELETE": catalog.delete}
        if call.method in handlers:
            return handlers[call.method]
    if parts[0] == "evals":
        return evals.respond
    place = _IDS.get(parts[0], 99)
    key = (call.method, *("*" if i == place else part for i, part in enumerate(parts)))
    if key == ("DELETE", "fine_tuning", "jobs", "*") and call.personality.dated:
        return tuning.delete
    handler = _ROUTES.get(key)
    if handler is None:
        raise call.personality.no_route(call.method, call.request.path)
    return handler


def _refusal(personality: Personality, error: ApiError) -> Reply:
    return Reply(personality.error(error), error.status, headers=list(error.headers))


def _answer(reply: Reply) -> Answer:
    return Answer(reply.status, reply.encode(), reply.content_type, reply.headers, reply.stream)
