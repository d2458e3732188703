"""Stored completions: list, get, messages, update, delete, with every rule of paging."""

from portal.sandbox.call import Call, Reply, check_metadata
from portal.sandbox.draw import digest
from portal.sandbox.kinds import Json, text_of
from portal.sandbox.personality import ACTION, READ, ApiError
from portal.sandbox.story import Row

_CAMEL = {
    "request_id": "requestId",
    "tool_choice": "toolChoice",
    "top_p": "topP",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "input_user": "inputUser",
    "system_fingerprint": "systemFingerprint",
    "service_tier": "serviceTier",
}


def listing(call: Call) -> Reply:
    """https://platform.openai.com/docs/api-reference/chat/list"""
    call.need(READ)
    limit = call.limit()
    ascending = call.ascending(call.personality.order)
    after = None if call.faults.active("ignore_after") else call.query.get("after")
    lag = call.faults.seconds("lag")
    try:
        rows, more, total = call.state.page(
            call.query.get("model"),
            call.metadata_filter(),
            after,
            limit,
            ascending=ascending,
            before=call.now - lag if lag else None,
        )
    except KeyError:
        raise vanished(call, after or "") from None
    if after is not None and call.faults.option("duplicate_ids", "where", "within") == "between":
        found = call.state.find(after)
        if found is not None:
            rows.insert(0, (found[1], found[2]))
    reply = Reply()
    data = [reply.plant(raw) if raw is not None else present(call, row, in_list=True) for row, raw in rows]
    page: Json = {
        "object": "list",
        "data": data,
        "first_id": rows[0][0].id if rows else None,
        "last_id": rows[-1][0].id if rows else None,
        "has_more": more,
    }
    if call.personality.azure:
        page["total"] = total
    if call.personality.dated and call.query.get("api-version") == "2025-02-01-preview":
        for snake, camel in (("first_id", "firstId"), ("last_id", "lastId"), ("has_more", "hasMore")):
            page[camel] = page.pop(snake)
    reply.payload = page
    return reply


def vanished(call: Call, cursor: str) -> ApiError:
    if call.personality.azure:
        return ApiError(400, "invalidPayload", f"The cursor '{cursor}' is not valid any more.", param="after")
    return ApiError(404, "not_found", f"No chat completion found with id '{cursor}'.", param="after")


def get(call: Call) -> Reply:
    call.need(READ)
    row, raw = _find(call)
    reply = Reply()
    reply.payload = reply.plant(raw) if raw is not None else present(call, row)
    return reply


def messages(call: Call) -> Reply:
    call.need(READ)
    row, _ = _find(call)
    limit, ascending = call.limit(), call.ascending("asc")
    items = [_message(call, row.id, index, message) for index, message in enumerate(row.messages)]
    total = len(items)
    if not ascending:
        items.reverse()
    after = None if call.faults.active("ignore_after") else call.query.get("after")
    if after is not None:
        prefix, _, index = after.rpartition("-")
        if prefix != row.id or not index.isdigit() or int(index) >= total:
            raise vanished(call, after)
        items = items[int(index) + 1 :] if ascending else items[total - int(index) :]
    more = len(items) > limit
    items = items[:limit]
    dated = call.personality.dated
    page: Json = {
        "object": "list",
        "data": items,
        "first_id": row.id if dated else items[0]["id"] if items else None,
        "last_id": row.id if dated else items[-1]["id"] if items else None,
        "has_more": more,
    }
    if call.personality.azure:
        page["total"] = total
    return Reply(page)


def _message(call: Call, completion_id: str, index: int, message: Json) -> Json:
    content = message.get("content")
    if call.personality.dated:  # its schema knows no parts and no tool calls
        text = text_of(content) if isinstance(content, list) else content
        return {"id": None, "role": message.get("role"), "content": text, "name": message.get("name")}
    item: Json = {"id": f"{completion_id}-{index}", "role": message.get("role")}
    item["content"] = None if isinstance(content, list) else content
    item["content_parts"] = content if isinstance(content, list) else None
    item["name"] = message.get("name")
    item.update({k: v for k, v in message.items() if k not in item})
    return item


def update(call: Call) -> Reply:
    call.need(ACTION)
    body = call.json()
    if "metadata" not in body:
        raise ApiError(
            400, "missing_required_parameter", "Missing required parameter: 'metadata'.", param="metadata"
        )
    if set(body) - {"metadata"}:
        name = sorted(set(body) - {"metadata"})[0]
        raise ApiError(400, "unknown_parameter", f"Unknown parameter: '{name}'.", param=name)
    row, _ = _find(call)
    metadata = check_metadata(body["metadata"])
    if call.state.merges and body["metadata"] is not None:
        metadata = check_metadata({**(row.completion.get("metadata") or {}), **metadata})
    call.commit({"change": "completion.metadata", "id": row.id, "metadata": metadata})
    return Reply(present(call, _find(call)[0]), effect=f"updated:{row.id}")


def delete(call: Call) -> Reply:
    call.need(ACTION)
    row, _ = _find(call)
    call.commit({"change": "completion.delete", "id": row.id})
    return Reply(
        {"object": "chat.completion.deleted", "id": row.id, "deleted": True}, effect=f"deleted:{row.id}"
    )


def _find(call: Call) -> tuple[Row, str | None]:
    completion_id = call.parts[2]
    found = call.state.find(completion_id)
    lag = call.faults.seconds("lag")
    if found is None or (lag and found[1].created > call.now - lag):
        raise call.personality.not_found("chat completion", completion_id)
    return found[1], found[2]


def present(call: Call, row: Row, *, in_list: bool = False) -> Json:
    """The stored object as this surface spells it."""
    shown = dict(row.completion)
    if not call.personality.azure:
        shown["request_id"] = "req_" + str(shown.get("request_id") or "")
        return shown
    shown.pop("response_format", None)
    for name in ("tools", "tool_choice"):
        if shown.get(name) is None:
            shown.pop(name, None)
    if in_list:
        shown.pop("object", None)
        shown.pop("input_user", None)
    identity = str(shown.get("request_id") or "")
    if len(identity) == 32:
        shown["request_id"] = "-".join(
            (identity[:8], identity[8:12], identity[12:16], identity[16:20], identity[20:])
        )
    # Microsoft's samples show null; the oldest tenth of the story's rows does, so that a reader meets both.
    if isinstance(shown.get("choices"), list) and row.created < call.state.nulls_before:
        shown["choices"] = [{**c, "finish_reason": None} for c in shown["choices"]]
    if call.personality.dated and digest("camel", row.id) % 3 == 0:
        for snake, camel in _CAMEL.items():
            if snake in shown:
                shown[camel] = shown.pop(snake)
        for position, choice in enumerate(shown.get("choices") or []):
            choice = dict(choice)
            if "finish_reason" in choice:
                choice["finishReason"] = choice.pop("finish_reason")
            shown["choices"] = [*shown["choices"][:position], choice, *shown["choices"][position + 1 :]]
    return shown
