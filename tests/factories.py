"""Builders that state only what a test is about; everything else is plausible."""

import hashlib
import json
from itertools import count
from typing import Any

from django.db.models import F
from django.utils import timezone

from completions import search
from completions.conversation import parse
from completions.models import Body, Posting, StoredCompletion, Term
from completions.raw import pack
from portal.models import Auth, Connection, Grant, Kind, Role, User

PASSWORD = "correct horse battery staple"
_numbers = count(1)


def user(name: str = "", role: str = "", connection: Connection | None = None, **fields: Any) -> User:
    """A person without a password; with `role` also the grant, on every connection unless one is named."""
    name = name or f"person-{next(_numbers)}"
    person = User.objects.create_user(name, f"{name}@example.org", **fields)
    if role:
        grant(person, role, connection)
    return person


def grant(person: User, role: str, connection: Connection | None = None) -> Grant:
    return Grant.objects.create(user=person, role=Role(role), connection=connection)


def connection(name: str = "", **fields: Any) -> Connection:
    """A connection row; point `base_url` at a sandbox to use it."""
    number = next(_numbers)
    name = name or f"Connection {number}"
    values: dict[str, Any] = {
        "slug": f"connection-{number}",
        "kind": Kind.AZURE_V1,
        "base_url": "https://example.openai.azure.com/openai/v1/",
        "auth": Auth.KEY,
        "secret": "key-of-a-test",
        "secret_last4": "test",
        "secret_set_at": timezone.now(),
        "sync_enabled": False,
    } | fields
    made: Connection = Connection.objects.create(name=name, **values)
    return made


# Stored completions, with everything that the mirror keeps beside the row.


def make_completion(
    connection: Connection | None = None,
    *,
    prompt: str = "What does this function do?",
    answer: str = "It returns the sum.",
    system: str = "",
    metadata: dict[str, str] | None = None,
    messages: list[dict[str, Any]] | None = None,
    item: dict[str, Any] | None = None,
    **fields: Any,
) -> StoredCompletion:
    """A completion with body, terms, postings and words; `messages` and `item` replace what is made up."""
    number = next(_numbers)
    connection = connection or Connection.objects.first() or globals()["connection"]()
    if messages is None:
        asked = [{"role": "system", "content": system}] if system else []
        messages = [*asked, {"role": "user", "content": prompt}]
    tokens = fields.get("total_tokens", 30)
    raw_item = {
        "id": fields.get("upstream_id", f"chatcmpl-{number:06}"),
        "object": "chat.completion",
        "created": fields.get("created", 1_790_000_000 + number),
        "model": fields.get("model", "gpt-4o-2024-08-06"),
        "metadata": metadata or {},
        "choices": [
            {
                "index": 0,
                "finish_reason": fields.get("finish_reason", "stop"),
                "message": {"role": "assistant", "content": answer},
            }
        ],
        "usage": {
            "prompt_tokens": (tokens or 0) // 2,
            "completion_tokens": (tokens or 0) // 2,
            "total_tokens": tokens,
        },
    } | (item or {})
    page = json.dumps({"object": "list", "data": messages, "has_more": False})
    talk = parse(raw_item, messages)
    texts = talk.texts()
    asked_preview, answer_preview = talk.previews()
    packed = pack(json.dumps(raw_item).encode(), [page.encode()])
    made: StoredCompletion = StoredCompletion.objects.create(
        **{
            "connection": connection,
            "upstream_id": raw_item["id"],
            "created": raw_item["created"],
            "model": raw_item["model"],
            "metadata": metadata or {},
            "prompt_preview": asked_preview,
            "answer_preview": answer_preview,
            "prompt_tokens": raw_item["usage"].get("prompt_tokens"),
            "completion_tokens": raw_item["usage"].get("completion_tokens"),
            "total_tokens": tokens,
            "finish_reason": talk.finish_reason,
            "turns": talk.turns,
            "tool_calls": talk.tool_calls,
            "has_image": talk.has_image,
            "refused": talk.refused,
            "answer_length": len(talk.answer.text) if talk.answer else 0,
            "messages_state": "ok",
            "digest": hashlib.sha256(packed).hexdigest(),
        }
        | fields
    )
    Body.objects.create(
        completion=made,
        system_text=texts.system,
        prompt_text=texts.prompt,
        answer_text=texts.answer,
        raw=packed,
    )
    held = [(Term.Kind.METADATA, key, value) for key, value in made.metadata.items()]
    held += [(Term.Kind.FLAG, "", flag) for flag in made.flags]
    held += [(Term.Kind.MODEL, "", made.model)] if made.model else []
    for kind, key, value in held:
        term, _ = Term.objects.get_or_create(connection=connection, kind=kind, key=key, value=value)
        Term.objects.filter(pk=term.pk).update(n=F("n") + 1)
        Posting.objects.create(term=term, created=made.created, completion=made)
    search.put([(made.pk, None, texts)])
    return made
