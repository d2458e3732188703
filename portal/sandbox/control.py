"""The control plane under /_sandbox: health, journal, faults, clock, and changes behind a client's back."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from portal.sandbox.call import Reply, parse_query
from portal.sandbox.draw import Draw, digest
from portal.sandbox.exchange import Request
from portal.sandbox.faults import BadRule
from portal.sandbox.kinds import Json
from portal.sandbox.personality import ROLES
from portal.sandbox.state import ResourceState
from portal.sandbox.story import Story

if TYPE_CHECKING:
    from portal.sandbox.app import App

MOST_ENTRIES = 10_000


class BadOrder(Exception):
    """A control request that cannot be carried out."""


def respond(app: "App", request: Request) -> Reply:
    query = parse_query(request.query)
    route = (request.method, request.path.removeprefix("/_sandbox").rstrip("/"))
    try:
        body = json.loads(request.open_body() or b"{}")
        match route:
            case ("GET", "/health"):
                return Reply({"status": "ok", "now": app.now(), "defects": app.defects})
            case ("GET", "/journal"):
                return Reply(_journal(app, query))
            case ("GET", "/journal/counts"):
                app_counts = sorted(app.journal.counts.items())
                counts = [
                    {"resource": r, "method": m, "route": t, "status": s, "count": n}
                    for (r, m, t, s), n in app_counts
                ]
                return Reply({"counts": counts, "total": app.journal.number})
            case ("GET", "/faults"):
                return Reply({"faults": [rule.to_json() for rule in app.faults.rules]})
            case ("POST", "/faults"):
                app.faults.replace(body["faults"])
                return Reply({"active": len(app.faults.rules)})
            case ("DELETE", "/faults"):
                app.faults.replace([])
                for name in app.states:
                    if app.states[name].revoked:
                        app.commit(name, {"change": "key.restore"})
                return Reply({"active": 0})
            case ("POST", "/clock"):
                app.advance(float(body["advance"]))
                return Reply({"now": app.now()})
            case ("POST", "/settings"):
                return Reply(_settings(app, body))
            case ("GET", "/state"):
                return Reply(_summary(app, query))
            case ("POST", "/state"):
                return Reply(_change(app, body))
    except (BadRule, BadOrder) as error:
        return Reply({"error": str(error)}, 400)
    except (ValueError, KeyError, TypeError) as error:
        return Reply({"error": f"{type(error).__name__}: {error}"}, 400)
    return Reply({"error": "no such control"}, 404)


def _journal(app: "App", query: dict[str, str]) -> Json:
    after = int(query.get("after", 0))
    entries = []
    last = after
    for entry in app.journal.entries(after):
        last = entry["n"]
        if all(
            (
                query.get("method") in (None, entry["method"]),
                query.get("resource") in (None, entry["resource"]),
                entry["path"].startswith(query.get("path_prefix", "")),
                "effects" not in query or "effect" in entry,
            )
        ):
            entries.append(entry)
        if len(entries) >= MOST_ENTRIES:
            break
    return {"entries": entries, "next": last}


def _settings(app: "App", body: Json) -> Json:
    """Change what can be changed while it runs."""
    if "token_seconds" in body:
        app.token_seconds = float(body["token_seconds"])
    if "job_seconds" in body:
        app.job_seconds = float(body["job_seconds"])
    if "latency_ms" in body:
        app.latency = float(body["latency_ms"]) / 1000
    for name, does in body.get("metadata", {}).items():
        if name not in app.states or does not in ("merge", "replace"):
            raise BadOrder("metadata takes merge or replace for each of " + ", ".join(app.states))
        app.commit(name, {"change": "metadata.merges", "merges": does == "merge"})
    return {
        "token_seconds": app.token_seconds,
        "job_seconds": app.job_seconds,
        "latency_ms": app.latency * 1000,
        "metadata": {name: "merge" if state.merges else "replace" for name, state in app.states.items()},
    }


def _state(app: "App", name: str | None) -> tuple[str, ResourceState]:
    if name is None or name not in app.states:
        raise BadOrder(f"resource must be one of {', '.join(app.states)}")
    return name, app.states[name]


def _summary(app: "App", query: dict[str, str]) -> Json:
    if "resource" not in query:
        return {name: _counts(state, app.now()) for name, state in app.states.items()}
    _, state = _state(app, query["resource"])
    if "id" in query:
        found = state.find(query["id"])
        if found is None:
            raise BadOrder("no such completion")
        return {**asdict(found[1]), "raw": found[2]}
    summary = _counts(state, app.now())
    if query.get("ids") == "1":
        summary["ids"] = _ids(state)
        summary["files"] = list(state.files)
        summary["jobs"] = list(state.jobs)
        summary["deployments"] = list(state.deployments)
    return summary


def _ids(state: ResourceState) -> list[str]:
    """All ids, oldest first, without working out the rows."""
    entries = [((state.story.created(i), 0, i), state.story.id(i)) for i in state.matches(None, {}).indexes]
    return [identity for _, identity in sorted([*entries, *state.order])]


def _counts(state: ResourceState, now: float) -> Json:
    return {
        "completions": len(state.matches(None, {}).indexes) + len(state.order),
        "added": len(state.order),
        "deleted": len(state.deleted),
        "files_count": len(state.files),
        "jobs_by_status": {
            job.id: job.status(now, azure=state.personality.azure) for job in state.jobs.values()
        },
        "deployments_by_state": {d.name: d.state(now) for d in state.deployments.values()},
    }


def _change(app: "App", body: Json) -> Json:
    name, state = _state(app, body.get("resource"))
    operation = body.get("op")
    if operation == "add" and "count" in body:
        return {"ids": _add_fresh(app, name, int(body["count"]))}
    if operation == "add":
        return {"ids": [_add_row(app, name, body)]}
    if operation == "key":
        if body.get("role", "all") not in ROLES:
            raise BadOrder(f"role must be one of {', '.join(ROLES)}")
        app.commit(name, {"change": "key.add", "key": str(body["key"]), "role": body.get("role", "all")})
        return {"keys": len(state.keys)}
    ids = body.get("ids") or ([body["id"]] if "id" in body else [])
    if not ids and "every" in body:
        ids = _ids(state)[:: int(body["every"])]
    if not ids:
        raise BadOrder("id, ids or every is required")
    for identity in ids:
        if state.find(identity) is None:
            raise BadOrder(f"no such completion: {identity}")
        if operation == "delete":
            app.commit(name, {"change": "completion.delete", "id": identity})
        elif operation == "change":
            _change_row(app, name, identity, body)
        else:
            raise BadOrder("op must be add, change, delete or key")
    return {"ids": ids}


def _add_fresh(app: "App", name: str, count: int) -> list[str]:
    """Rows of the story's kind, created now."""
    state = app.states[name]
    now = int(app.now())
    story = Story(name, digest("fresh", app.seed, name, state.number), count, now)
    added = []
    for index in range(count):
        row = asdict(story.row(index))
        row["created"] = row["completion"]["created"] = now
        app.commit(name, {"change": "completion.add", "row": row})
        added.append(row["id"])
    return added


def _add_row(app: "App", name: str, body: Json) -> str:
    """A completion as given; ``raw`` is JSON text to be sent as it is."""
    completion = dict(body.get("completion") or {})
    draw = Draw("planted", app.seed, name, app.states[name].number)
    identity = str(completion.get("id") or body.get("id") or f"chatcmpl-planted{draw.number():016x}")
    created = completion.get("created", body.get("created"))
    created = int(created) if isinstance(created, int | float) and abs(created) < 2**53 else int(app.now())
    if body.get("complete", True):
        completion = {
            "object": "chat.completion",
            "id": identity,
            "created": created,
            "metadata": {},
            **completion,
        }
    row = {
        "id": identity,
        "created": created,
        "deployment": str(body.get("deployment") or completion.get("model") or ""),
        "completion": completion,
        "messages": body.get("messages") or [],
    }
    app.commit(name, {"change": "completion.add", "row": row, "raw": body.get("raw")})
    return identity


def _change_row(app: "App", name: str, identity: str, body: Json) -> None:
    """Metadata of any row (merged unless ``replace``), or new content for it."""
    found = app.states[name].find(identity)
    assert found is not None
    _, row, raw = found
    if "metadata" in body:
        old = {} if body.get("replace") else row.completion.get("metadata") or {}
        app.commit(
            name, {"change": "completion.metadata", "id": identity, "metadata": {**old, **body["metadata"]}}
        )
    if "completion" in body or "messages" in body:
        new = asdict(row)
        new["completion"] = {**new["completion"], **(body.get("completion") or {})}
        new["messages"] = body.get("messages", new["messages"])
        app.commit(name, {"change": "completion.add", "row": new, "raw": body.get("raw", raw)})
