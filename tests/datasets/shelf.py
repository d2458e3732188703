"""Graders in a library, and evaluations that take them, for the tests of both."""

from typing import Any

from django.test import Client

from datasets import library
from datasets.models import Dataset, DatasetVersion, Evaluation, LibraryGraderVersion
from portal.models import Connection, User
from tests.pages import text_of

TEXTS = {"input": "{{ sample.output_text }}", "reference": "{{ item.reference }}"}
LIKE = TEXTS | {"operation": "like"}
CLOSE = TEXTS | {"evaluation_metric": "rouge_l", "pass_threshold": 0.5}
JUDGES = """
defaultTest:
  assert:
    - {type: llm-rubric, value: Is kind, metric: Kind}
    - {type: similar, value: "{{ reference }}", metric: Near}
    - {type: llm-rubric, value: Is short, metric: Short, provider: "openai:chat:gpt-4o"}
"""


def evaluation(connection: Connection, owner: User, *, reference: str = "answer") -> Evaluation:
    dataset = Dataset.objects.create(name="Items", purpose="evaluation", owner=owner)
    version = DatasetVersion.objects.create(dataset=dataset, number=1)
    version.connections.set([connection])
    made: Evaluation = Evaluation.objects.create(
        name="Tone of answers", version=version, reference=reference, owner=owner
    )
    made.connections.set([connection])
    return made


def kept(connection: Connection, name: str = "Contains", **fields: Any) -> LibraryGraderVersion:
    return library.add(connection, name, fields.pop("kind", "string_check"), {**LIKE, **fields}, None)


def toast_of(client: Client, response: Any) -> str:
    return text_of(client.get(response["Location"]))
