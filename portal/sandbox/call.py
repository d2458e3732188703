"""One API call on its way through the sandbox, and the reply to it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from portal.sandbox.exchange import Request
from portal.sandbox.personality import ApiError, Json, Personality

if TYPE_CHECKING:
    from portal.sandbox.faults import Faults
    from portal.sandbox.state import ResourceState

# json.dumps would make an encoder each time
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(slots=True)
class Reply:
    """``payload`` is JSON, or bytes with a ``content_type``; ``effect`` goes into the journal."""

    payload: Any = None  # whatever JSON holds, or bytes
    status: int = 200
    effect: str | None = None
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)
    stream: Iterator[tuple[float, bytes]] | None = None
    planted: dict[str, str] = field(default_factory=dict)

    def plant(self, raw: str) -> str:
        """A string to put into the payload, in whose place the raw JSON text will be sent."""
        mark = f"<planted {len(self.planted)}>"
        self.planted[mark] = raw
        return mark

    def encode(self) -> bytes:
        if isinstance(self.payload, bytes):
            return self.payload
        if self.payload is None:
            return b""
        text = _to_json(self.payload)
        for mark, raw in self.planted.items():
            text = text.replace(json.dumps(mark), raw)
        return text.encode("utf-8", "backslashreplace")  # a lone surrogate can only travel escaped


@dataclass(slots=True)
class Slow:
    """A reply worked out off the server's thread; ``finish`` gets the result, or the exception."""

    work: Callable[[], object]
    finish: Callable[[object], Reply]


@dataclass(slots=True)
class Call:
    """A request to one resource's API, after its key was checked."""

    request: Request
    method: str
    path: str  # below the resource's prefix
    parts: list[str]  # of the path
    query: dict[str, str]
    state: "ResourceState"
    personality: Personality
    rights: frozenset[str]
    now: float
    faults: "Faults"
    commit: Callable[[Json], None]  # journal a change of state and make it
    job_seconds: float
    deployment: str | None = None  # from the path, on the dated surface

    def need(self, right: str) -> None:
        if right not in self.rights:
            raise self.personality.forbidden(right, self.method, self.request.path)

    def json(self) -> Json:
        """The request's body; an ApiError if it is not a JSON object."""
        try:
            body = json.loads(self.request.open_body())
        except (ValueError, RecursionError) as error:
            raise ApiError(
                400, "invalidPayload", f"We could not parse the JSON body of your request. ({error})"
            ) from error
        if not isinstance(body, dict):
            raise ApiError(400, "invalidPayload", "The body must be a JSON object.")
        return body

    def limit(self, default: int = 20, most: int = 100) -> int:
        text = self.query.get("limit")
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= most:
            raise ApiError(
                400,
                "invalid_value",
                f"Invalid 'limit': expected a value between 1 and {most}, got '{text}'.",
                param="limit",
            )
        return int(text)

    def ascending(self, default: str) -> bool:
        order = self.query.get("order", default)
        if order not in ("asc", "desc"):
            raise ApiError(
                400, "invalid_value", f"Invalid 'order': expected asc or desc, got '{order}'.", param="order"
            )
        return order == "asc"

    def metadata_filter(self) -> dict[str, str]:
        return {k[9:-1]: v for k, v in self.query.items() if k.startswith("metadata[") and k.endswith("]")}


@lru_cache(maxsize=1024)
def parse_query(text: str) -> dict[str, str]:
    """The last value of each key; the same map each time, so it must not be changed."""
    return dict(parse_qsl(text, keep_blank_values=True)) if text else {}


def check_metadata(metadata: object) -> dict[str, str]:
    """At most 16 pairs, keys up to 64 characters, values strings up to 512."""
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise ApiError(
            400, "invalid_type", "Invalid type for 'metadata': expected an object.", param="metadata"
        )
    if len(metadata) > 16:
        raise ApiError(
            400,
            "object_above_max_properties",
            f"Invalid 'metadata': too many properties. Expected at most 16, but got {len(metadata)}.",
            param="metadata",
        )
    for key, value in metadata.items():
        if not key or len(key) > 64:
            raise ApiError(
                400, "invalid_value", "Invalid 'metadata': keys have 1 to 64 characters.", param="metadata"
            )
        if not isinstance(value, str):
            raise ApiError(
                400,
                "invalid_type",
                f"Invalid type for 'metadata.{key}': expected a string.",
                param=f"metadata.{key}",
            )
        if len(value) > 512:
            raise ApiError(
                400,
                "string_above_max_length",
                f"Invalid 'metadata.{key}': string too long. Expected at most 512, got {len(value)}.",
                param=f"metadata.{key}",
            )
    return metadata
