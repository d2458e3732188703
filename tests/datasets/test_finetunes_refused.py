"""A refused job says what is the matter and what to do; nothing was made, and the dataset is still there."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from datasets.build import files
from datasets.finetune import launch
from datasets.finetune.advice import advise
from datasets.models import FineTune, UploadedFile
from portal.models import RemoteAction, User
from portal.sandbox import Sandbox
from tests.datasets import jobs, material, provider
from tests.datasets.provider import JOBS, created, faults, posts

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60),
]


@pytest.fixture(autouse=True)
def _short_times(settings: Any) -> None:
    settings.RECONCILE_EVERY_SECONDS, settings.RECONCILE_SECONDS, settings.FILE_POLL_SECONDS = 0.05, 0.3, 0.2


@pytest.mark.parametrize("surface", ["azure", "openai"])
@pytest.mark.parametrize(
    ("why", "kind", "words"),
    [
        ("closed", "closed", "takes no new fine-tuning jobs"),
        ("region", "unavailable", "another region"),
        ("training_type", "unavailable", "another training type"),
        ("jobs", "quota", "until a running job has ended"),
        ("right", "forbidden", ""),
    ],
)
def test_a_refusal_has_its_kind_and_says_what_to_do(
    builder: User, sandbox: Sandbox, surface: str, why: str, kind: str, words: str
) -> None:
    connection = provider.azure(sandbox) if surface == "azure" else provider.openai(sandbox)
    tune = material.prepared(builder, connection)
    faults(sandbox, {"kind": "refuse", "why": why, "method": "POST", "path": JOBS})
    launch.begin(tune, builder)
    jobs.settle(tune, sandbox)
    assert (tune.state, tune.error["kind"]) == (FineTune.State.FAILED, kind)
    assert words in tune.error["hint"]
    assert tune.error["hint"]
    assert tune.error["permanent"]
    assert advise(tune.error, azure=connection.is_azure) is not None
    action = tune.action
    assert action is not None
    assert (action.state, posts(sandbox), created(sandbox)) == (RemoteAction.State.REFUSED, 1, [])
    assert sum(1 for _ in files.checked_bytes(tune.trained_on)) > 0
    faults(sandbox)
    assert launch.try_again(tune, builder)
    jobs.settle(tune, sandbox)
    assert (tune.state, posts(sandbox, "/files")) == (FineTune.State.RUNNING, 1)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid 'suffix': up to 64 letters.",
        "The fine-tuning file is larger than the maximum of 512 MB.",
        "invalid training_file: file-1 was not found.",
        "Invalid 'n_epochs': expected 1 to 50.",
    ],
)
def test_a_mistake_in_the_request_is_no_closed_service(message: str) -> None:
    import json

    from portal.upstream.errors import error_from_answer

    body = json.dumps({"error": {"message": message, "code": "invalidPayload"}}).encode()
    assert error_from_answer(400, {}, body, action="fine_tune", write=True).kind == "bad_request"


def test_a_file_that_an_upload_left_behind_is_on_the_page_and_whoever_may_act_deletes_it(
    builder: User, reader: User, sandbox: Sandbox, client_of: "Callable[[User], Client]"
) -> None:
    tune = material.prepared(builder, provider.azure(sandbox))
    faults(sandbox, {"kind": "file_error", "path": "/files", "times": 1})
    launch.begin(tune, builder)
    jobs.settle(tune, sandbox)
    page = reverse("datasets:finetune", args=[tune.pk])
    remove = reverse("datasets:finetune_remove_file", args=[tune.pk])
    (broken,) = UploadedFile.objects.get().leftovers
    shown = client_of(builder).get(page).content.decode()
    assert broken in shown
    assert remove in shown
    seen_only = client_of(reader).get(page).content.decode()
    assert broken in seen_only
    assert remove not in seen_only
    client = client_of(builder)
    client.post(remove, {"file": "file-somebody-else-s"})
    assert posts(sandbox, f"/files/{broken}", "DELETE") == 0
    client.post(remove, {"file": broken})
    assert posts(sandbox, f"/files/{broken}", "DELETE") == 1
    assert UploadedFile.objects.get().leftovers == []
    assert broken not in client.get(page).content.decode()
