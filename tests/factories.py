"""Builders that state only what a test is about; everything else is plausible."""

import json
from itertools import count
from typing import Any

from django.db import transaction
from django.utils import timezone

from completions import columns, search
from completions.models import Body, StoredCompletion
from completions.readings import Reading, read
from completions.terms import NAMED, Change, Dictionary, names_of
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
    """A completion with body, terms and words; `messages` and `item` replace what is made up."""
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
    page = json.dumps({"object": "list", "data": messages, "has_more": False}).encode()
    reading = read(json.dumps(raw_item).encode(), raw_item, pages=[page], messages=messages, state="ok")
    assert isinstance(reading, Reading)
    values: dict[str, Any] = {
        **reading.columns,
        "connection": connection,
        "upstream_id": reading.upstream_id,
        "metadata": metadata or {},
        **fields,
    }
    with transaction.atomic():  # whoever sees the change must see its row
        change, _ = columns.next_change(connection.pk, 1)
        (terms,) = Dictionary(connection.pk).apply([Change(names_of({name: values[name] for name in NAMED}))])
        made: StoredCompletion = StoredCompletion.objects.create(**values, change=change, terms=terms)
        texts = reading.texts
        Body.objects.create(
            completion=made,
            system_text=texts.system,
            prompt_text=texts.prompt,
            answer_text=texts.answer,
            raw=reading.raw,
        )
        search.put([(made.pk, None, texts)])
    return made
