"""Store one harmless completion upstream, so that a new connection has something to show."""

from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from portal import audit
from portal.models import Connection
from portal.upstream import ChatAnswer, UpstreamError, connect

METADATA = {"source": "completions-portal-test"}
MESSAGES = (
    {"role": "system", "content": "Answer in one short sentence."},
    {"role": "user", "content": "Say that this completion was stored to test the Completions Portal."},
)
SMALL = ("gpt-4.1-nano", "gpt-4.1-mini", "gpt-4o-mini", "gpt-4.1", "gpt-4o")


def likely_model(connection: Connection) -> str:
    """A model that would answer: a deployment if they can be listed, a small known one at OpenAI, or none."""
    with connect(connection) as upstream:
        if connection.is_azure:
            if not connection.can_deploy:
                return ""
            try:
                names = [
                    (found.model, found.name)
                    for found in upstream.list_deployments()
                    if "embedding" not in found.model
                ]
            except UpstreamError:
                return ""
            return next((name for wanted in SMALL for model, name in names if model.startswith(wanted)), "")
        offered = {model.id for model in upstream.models()}
    return next((name for name in SMALL if name in offered), "")


def store_one(connection: Connection, user: Any, model: str) -> ChatAnswer:
    """Ask `model` one question with store=True; raises UpstreamError."""
    with connect(connection) as upstream:
        answer = upstream.chat(model, list(MESSAGES), store=True, metadata=METADATA, timeout=30)
    audit.record(user, "completion.test_stored", connection, connection=connection, upstream_id=answer.id)
    return answer


def moment_of(text: Any) -> datetime | None:
    """A moment that was kept as text in a JSON column."""
    return parse_datetime(text) if isinstance(text, str) else None
