"""Evaluations over HTTP as Azure has them: create, list, run, follow, output items, cancel, delete.

https://platform.openai.com/docs/api-reference/evals and Azure's preview of it. OpenAI's own have ended.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portal.sandbox import brains, evals_checks
from portal.sandbox.call import Call, Reply, check_metadata
from portal.sandbox.chat import resolve_model
from portal.sandbox.draw import digest
from portal.sandbox.evals_grading import NoValue, judge
from portal.sandbox.evals_state import Eval, EvalRun, adding
from portal.sandbox.kinds import Json, text_of
from portal.sandbox.personality import EVALS_READ, EVALS_WRITE, ApiError
from portal.sandbox.story import tokens

LONGEST_RUN = 10.0  # seconds


def respond(call: Call) -> Reply:
    """Every request below /evals."""
    if not call.personality.azure:
        raise ApiError(410, "endpoint_retired", "The Evals API has been retired and is no longer available.")
    if call.personality.dated and call.request.headers.get("aoai-evals") != "preview":
        raise ApiError(400, "missing_header", "The header 'aoai-evals: preview' is required for this API.")
    call.need(EVALS_READ if call.method == "GET" else EVALS_WRITE)
    match (call.method, call.parts[1:]):
        case ("POST", []):
            return _create(call)
        case ("GET", []):
            order_by = call.query.get("order_by", "created_at")
            if order_by not in ("created_at", "updated_at"):
                raise ApiError(400, "invalid_value", "Invalid 'order_by'.", param="order_by")
            return _listing(call, [_view_eval(call, found) for found in _visible(call)])
        case (method, [eval_id]):
            return _one_eval(call, method, _eval(call, eval_id))
        case ("POST", [eval_id, "runs"]):
            return _create_run(call, _eval(call, eval_id))
        case ("GET", [eval_id, "runs"]):
            held = _eval(call, eval_id)
            runs = [run for run in call.state.evals.runs_of(held.id) if run.created_at <= _seen_until(call)]
            wanted = call.query.get("status")
            shown = [_view_run(call, run) for run in runs if wanted in (None, run.status(call.now))]
            return _listing(call, shown)
        case ("POST", [eval_id, "runs", run_id, "cancel"]) if call.personality.dated:
            return _cancel(call, _run(call, eval_id, run_id))
        case ("POST", [eval_id, "runs", run_id]) if not call.personality.dated:
            return _cancel(call, _run(call, eval_id, run_id))
        case (method, [eval_id, "runs", run_id]):
            return _one_run(call, method, _run(call, eval_id, run_id))
        case ("GET", [eval_id, "runs", run_id, "output_items"]):
            run = _run(call, eval_id, run_id)
            items = _judged(call, run)[: run.done(call.now)]
            wanted = call.query.get("status")
            return _listing(call, [item for item in items if wanted in (None, item["status"])])
        case ("GET", [eval_id, "runs", run_id, "output_items", item_id]):
            run = _run(call, eval_id, run_id)
            for item in _judged(call, run)[: run.done(call.now)]:
                if item["id"] == item_id:
                    return Reply(item)
            raise call.personality.not_found("Output item", item_id)
    raise call.personality.no_route(call.method, call.request.path)


def _create(call: Call) -> Reply:
    body = call.json()
    config = evals_checks.config(body.get("data_source_config"))
    criteria = evals_checks.criteria(body.get("testing_criteria"), dated=call.personality.dated)
    for criterion in criteria:
        if "model" in criterion:
            resolve_model(call, criterion["model"])
    number = len(call.state.evals.evals)
    eval_id = f"eval_{digest('eval', call.personality.name, call.now, number):016x}"
    for criterion in criteria:
        criterion["id"] = f"{criterion['name']}-{_uuid(eval_id, criterion['name'])}"
    made = Eval(
        eval_id,
        str(body.get("name") or ""),
        call.now,
        check_metadata(body.get("metadata")) or None,
        config,
        criteria,
    )
    call.commit(adding("eval", made))
    return Reply(_view_eval(call, made), _created(call), effect=f"created:{eval_id}")


def _created(call: Call) -> int:
    """The two surfaces differ in what creating answers."""
    return 201 if call.personality.dated else 200


def _uuid(*parts: object) -> str:
    text = f"{digest(*parts):016x}{digest('more', *parts):016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def _seen_until(call: Call) -> float:
    return call.now - call.faults.seconds("lag")


def _visible(call: Call) -> list[Eval]:
    return [held for held in call.state.evals.evals.values() if held.created_at <= _seen_until(call)]


def _listing(call: Call, items: Sequence[Json]) -> Reply:
    """Lists are oldest first, if nothing is asked for."""
    data = list(items) if call.ascending("asc") else list(reversed(items))
    after = None if call.faults.active("ignore_after") else call.query.get("after")
    if after is not None:
        places = [i for i, item in enumerate(data) if item["id"] == after]
        if not places:
            raise ApiError(400, "invalidPayload", f"Could not find '{after}'.", param="after")
        data = data[places[0] + 1 :]
    limit = call.limit()
    page = data[:limit]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    more = len(data) > limit
    return Reply({"object": "list", "data": page, "first_id": first, "last_id": last, "has_more": more})


def _eval(call: Call, eval_id: str) -> Eval:
    held = call.state.evals.evals.get(eval_id)
    if held is None:
        raise call.personality.not_found("Eval", eval_id)
    return held


def _run(call: Call, eval_id: str, run_id: str) -> EvalRun:
    run = call.state.evals.runs.get(run_id)
    if run is None or run.eval_id != _eval(call, eval_id).id:
        raise call.personality.not_found("Eval run", run_id)
    return run


def _one_eval(call: Call, method: str, held: Eval) -> Reply:
    if method == "POST":
        body = call.json()
        metadata = check_metadata(body["metadata"]) if "metadata" in body else held.metadata
        name = str(body.get("name", held.name))
        call.commit({"change": "eval.update", "id": held.id, "name": name, "metadata": metadata})
        return Reply(_view_eval(call, held), effect=f"updated:{held.id}")
    if method == "DELETE":
        call.commit({"change": "eval.delete", "id": held.id})
        gone = {"object": "eval.deleted", "deleted": True, "eval_id": held.id}
        return Reply(gone, effect=f"deleted:{held.id}")
    if method == "GET":
        return Reply(_view_eval(call, held))
    raise call.personality.no_route(call.method, call.request.path)


def _view_eval(call: Call, held: Eval) -> Json:
    hidden = call.faults.active("drop_marks")
    return {
        "object": "eval",
        "id": held.id,
        "name": held.name,
        "created_at": int(held.created_at),
        "metadata": None if hidden else held.metadata,
        "data_source_config": held.data_source_config,
        "testing_criteria": held.testing_criteria,
    }


def _create_run(call: Call, held: Eval) -> Reply:
    body = call.json()
    source, rows = evals_checks.data_source(call, body.get("data_source"))
    if source["type"] == "completions":
        resolve_model(call, source["model"])
    number = len(call.state.evals.runs)
    run_id = f"evalrun_{digest('evalrun', held.id, call.now, number):016x}"
    _path(call, run_id).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = EvalRun(
        run_id,
        held.id,
        str(body.get("name") or ""),
        call.now,
        min(LONGEST_RUN, call.job_seconds / 6),
        check_metadata(body.get("metadata")) or None,
        source,
        len(rows),
    )
    call.commit(adding("eval.run", run))
    return Reply(_view_run(call, run), _created(call), effect=f"created:{run_id}")


def _path(call: Call, run_id: str) -> Path:
    return call.state.folder / run_id


def _cancel(call: Call, run: EvalRun) -> Reply:
    """The documents give the run's own address, the SDK one below it: each surface takes another."""
    if run.status(call.now) not in ("queued", "in_progress"):
        raise ApiError(
            400, "invalidPayload", f"The run {run.id} is {run.status(call.now)} and cannot be canceled."
        )
    call.commit({"change": "eval.run.cancel", "id": run.id, "at": call.now})
    return Reply(_view_run(call, run), effect=f"cancel:{run.id}")


def _one_run(call: Call, method: str, run: EvalRun) -> Reply:
    if method == "DELETE":
        call.commit({"change": "eval.run.delete", "id": run.id})
        _path(call, run.id).unlink(missing_ok=True)
        gone = {"object": "eval.run.deleted", "deleted": True, "run_id": run.id}
        return Reply(gone, effect=f"deleted:{run.id}")
    if method == "GET":
        return Reply(_view_run(call, run))
    raise call.personality.no_route(call.method, call.request.path)


def _view_run(call: Call, run: EvalRun) -> Json:
    status = run.status(call.now)
    items = _judged(call, run)[: run.done(call.now)] if status != "queued" else []
    by_status = Counter(item["status"] for item in items)
    counts = {
        "total": run.rows,
        "errored": by_status["error"],
        "failed": by_status["fail"],
        "passed": by_status["pass"],
    }
    waiting = status == "queued"
    hidden = call.faults.active("drop_marks")
    return {
        "object": "eval.run",
        "id": run.id,
        "eval_id": run.eval_id,
        "status": status,
        "model": run.data_source.get("model"),
        "name": run.name,
        "created_at": int(run.created_at),
        "report_url": f"https://ai.azure.com/resource/evaluation/{run.eval_id}/{run.id}",
        "result_counts": counts,
        "per_model_usage": None if waiting else _usage(items),
        "per_testing_criteria_results": None if waiting else _by_criterion(items),
        "data_source": run.data_source,
        "metadata": None if hidden else run.metadata,
        "error": None if waiting else {"code": "", "message": ""},
    }


def _by_criterion(items: Sequence[Json]) -> list[Json]:
    passed: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for item in items:
        for result in item["results"]:
            (passed if result["passed"] else failed)[result["name"]] += 1
    return [
        {"testing_criteria": name, "passed": passed[name], "failed": failed[name]}
        for name in sorted({*passed, *failed})
    ]


def _usage(items: Sequence[Json]) -> list[Json]:
    used: dict[str, Counter[str]] = {}
    for item in items:
        for sample in (item["sample"], *(result["sample"] for result in item["results"])):
            if sample and sample.get("usage"):
                counted = used.setdefault(sample["model"], Counter())
                counted.update(sample["usage"])
                counted["invocation_count"] += 1
    return [{"model_name": name, **counted} for name, counted in sorted(used.items())]


# What a run finds out.


def _judged(call: Call, run: EvalRun) -> list[Json]:
    known = call.state.evals.judged.get(run.id)
    if known is None:
        held = _eval(call, run.eval_id)
        lines = _path(call, run.id).read_text(encoding="utf-8").split("\n")
        known = [
            _output_item(call, held, run, number, json.loads(line))
            for number, line in enumerate(lines)
            if line
        ]
        call.state.evals.judged[run.id] = known
    return known


def _output_item(call: Call, held: Eval, run: EvalRun, number: int, row: Json) -> Json:
    item = row.get("item") or {}
    shown: Json | None = None
    given = row.get("sample")
    problem = ""
    if run.data_source["type"] == "completions":
        try:
            shown = _answer(call, run.data_source, item)
            given = {"output_text": text_of(shown["output"][0].get("content"))}
        except NoValue as missing:
            problem = str(missing)
    results = []
    if not problem:
        for criterion in held.testing_criteria:
            try:
                results.append(judge(criterion, item, given or {}, lambda name: _skill(call, name)))
            except NoValue as missing:
                problem = str(missing)
    passed = all(result["passed"] for result in results)
    return {
        "object": "eval.run.output_item",
        "id": f"outputitem_{digest(run.id, number):016x}",
        "run_id": run.id,
        "eval_id": held.id,
        "created_at": int(run.created_at + run.seconds),
        "status": "error" if problem else "pass" if passed else "fail",
        "datasource_item_id": number,
        "datasource_item": item,
        "results": results,
        "sample": shown
        or (
            {"input": [], "output": [], "error": {"code": "no_value", "message": problem}}
            if problem
            else None
        ),
    }


def _skill(call: Call, deployment: str) -> brains.Skill:
    return call.state.skill_of(resolve_model(call, deployment), call.now)


def _answer(call: Call, source: Json, item: Json) -> Json:
    name = source["input_messages"]["item_reference"].removeprefix("item.")
    messages: Any = item.get(name)
    if not isinstance(messages, list) or not messages:
        raise NoValue(f"item.{name} holds no messages")
    said = brains.say(_skill(call, source["model"]), messages)
    text = said.content or said.refusal or ""
    asked = sum(tokens(text_of(message.get("content"))) + 4 for message in messages)
    sampling = source.get("sampling_params") or {}
    return {
        "input": messages,
        "output": [{"role": "assistant", "content": text}],
        "finish_reason": "stop",
        "model": source["model"],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": tokens(text),
            "total_tokens": asked + tokens(text),
            "cached_tokens": 0,
        },
        "error": None,
        "temperature": sampling.get("temperature", 1.0),
        "top_p": sampling.get("top_p", 1.0),
        "max_completion_tokens": sampling.get("max_completion_tokens"),
        "seed": sampling.get("seed", 42),
    }
