"""Values that break careless readers, put into one item of an answer."""

from portal.sandbox.call import Reply
from portal.sandbox.kinds import Json

DEPTH = 10_000
TEXTS = {
    "nul": "before\x00after",
    "surrogate": "before\ud800after",
    "bidi": "before\u202e\u2066txet desrever\u2069\u202cafter\u200f",
}
NUMBERS = {"nan": "NaN", "overflow": "1e400", "bigint": str(2**63), "infinity": "-Infinity"}
KINDS = (*TEXTS, *NUMBERS, "deep", "role", "part", "field")


def spoil(item: Json, what: str, reply: Reply) -> Json:
    """A copy of a completion or message with something bad in it."""
    item = dict(item)
    if item.get("object") == "eval.run.output_item":
        return _spoil_result(item, what, reply)
    if what in TEXTS:
        _put_text(item, TEXTS[what])
    elif what in NUMBERS:
        item["temperature" if what != "bigint" else "seed"] = reply.plant(NUMBERS[what])
    elif what == "deep":
        item["extra"] = reply.plant("[" * DEPTH + "]" * DEPTH)
    elif what == "role":
        _message(item)["role"] = "oracle"
    elif what == "part":
        parts = [{"type": "hologram", "hologram": {"url": "holo:1"}}, {"type": "text", "text": "and text"}]
        _message(item)["content_parts" if "content_parts" in item else "content"] = parts
    elif what == "field":
        item["x_future"] = {"schema": 99, "nested": [1, {"two": None}]}
        item["__proto__"] = {"polluted": True}
    return item


def _message(item: Json) -> Json:
    """The answer's message of a completion, copied to keep the stored one whole; or the message itself."""
    choices = item.get("choices")
    if not choices:
        return item
    message = dict(choices[0].get("message") or {})
    item["choices"] = [{**choices[0], "message": message}, *choices[1:]]
    return message


def _put_text(item: Json, text: str) -> None:
    message = _message(item)
    message["content"] = f"{message.get('content') or ''} {text}"
    if "metadata" in item:
        item["metadata"] = {**(item["metadata"] or {}), "poison": text}


def _spoil_result(item: Json, what: str, reply: Reply) -> Json:
    """An output item of an evaluation: bad text in what was said, bad numbers for scores, unknown names."""
    results = [dict(result) for result in item["results"]]
    if what in TEXTS:
        item["sample"] = {
            "output": [{"role": "assistant", "content": TEXTS[what]}],
            "finish_reason": TEXTS[what],
        }
        for result in results:
            result["sample"] = {"output": [{"content": TEXTS[what]}]}
    elif what in NUMBERS:
        for result in results:
            result["score"] = reply.plant(NUMBERS[what])
    elif what == "deep":
        item["extra"] = reply.plant("[" * DEPTH + "]" * DEPTH)
    elif what == "role":
        results = [{**result, "name": "nobody knows"} for result in results]
    elif what == "part":
        item["sample"], item["datasource_item"] = ["no sample"], None
    elif what == "field":
        item["x_future"] = {"schema": 99}
        results = [*results, {"name": None}, "no result"]  # type: ignore[list-item]  # what it is about
    item["results"] = results
    return item
