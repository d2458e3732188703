"""What the pages of jobs say: state, way, numbers, money, the provider's words, and what can be done."""

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from datasets.finetune import comparison, metrics, picture, timeline
from datasets.models import Checkpoint, Dataset, DatasetVersion, FineTune, FineTuneEvent, Sweep
from portal.models import Connection, Price, Spending, User
from portal.sandbox import Sandbox
from tests import factories
from tests.datasets import provider

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
EVIL = '<img src=x onerror=alert(1)>"\u202e'
State = FineTune.State


def version(connection: Connection, **fields: Any) -> DatasetVersion:
    """A version that looks as if it was built."""
    dataset = Dataset.objects.create(name="Support", purpose="supervised")
    splits = [
        {
            "name": "train",
            "first_line": 1,
            "rows": 900,
            "offset": 0,
            "size": 90,
            "sha256": "a",
            "file_name": "t",
            "tokens": 9000,
        },
        {
            "name": "validation",
            "first_line": 901,
            "rows": 100,
            "offset": 90,
            "size": 10,
            "sha256": "b",
            "file_name": "v",
        },
    ]
    made: DatasetVersion = DatasetVersion.objects.create(
        dataset=dataset, number=1, state="ready", rows=1000, sha256="c", size=100, splits=splits, **fields
    )
    made.connections.set([connection])
    return made


def job(connection: Connection, **fields: Any) -> FineTune:
    values: dict[str, Any] = {
        "connection": connection,
        "base_model": "gpt-4.1-mini-2025-04-14",
        "seed": 7,
        "state": State.RUNNING,
        "status": "running",
        "remote_id": "ftjob-1",
    } | fields
    if "version" not in values:
        values["version"] = version(connection)
    made: FineTune = FineTune.objects.create(**values)
    return made


def step(tune: FineTune, number: int, loss: float, **data: Any) -> FineTuneEvent:
    made: FineTuneEvent = FineTuneEvent.objects.create(
        fine_tune=tune,
        upstream_id=f"step-{number}",
        created=1_790_000_000 + number,
        level="info",
        message=f"Step {number}",
        kind="metrics",
        data={"step": number, "train_loss": loss} | data,
    )
    return made


def told(tune: FineTune, message: str, at: int, level: str = "info") -> FineTuneEvent:
    made: FineTuneEvent = FineTuneEvent.objects.create(
        fine_tune=tune, upstream_id=message[:100], created=at, level=level, message=message, kind="message"
    )
    return made


def page_of(client: "Client", tune: FineTune) -> str:
    answer = client.get(reverse("datasets:finetune", args=[tune.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


# Its state in words


def test_training_is_told_with_its_step_and_loss() -> None:
    connection = factories.connection()
    tune = job(connection)
    assert picture.in_words(tune) == "Training"
    step(tune, 120, 0.4219)
    assert picture.in_words(tune) == "Training: step 120, loss 0.42"
    tune.raw = {"hyperparameters": {"n_epochs": 3, "batch_size": 9}}
    assert picture.in_words(tune) == "Training: step 120 of about 300, loss 0.42"
    step(tune, 121, 0.4, total_steps=310)
    assert picture.in_words(tune) == "Training: step 121 of 310, loss 0.40"


@pytest.mark.parametrize(
    "data", [{}, {"step": "x"}, {"step": 3, "train_loss": "nan"}, {"step": 5, "total_steps": -1}]
)
def test_numbers_that_make_no_sense_are_left_out_of_the_state(data: dict[str, Any]) -> None:
    tune = job(factories.connection())
    FineTuneEvent.objects.create(
        fine_tune=tune, upstream_id="e", created=1, level="info", message="Step", kind="metrics", data=data
    )
    assert picture.in_words(tune).startswith("Training")
    assert "nan" not in picture.in_words(tune)
    assert "-1" not in picture.in_words(tune)


def test_the_way_carries_the_times_that_somebody_told() -> None:
    tune = job(factories.connection(), raw={"created_at": 1_790_000_000, "estimated_finish": 1_790_009_000})
    events = [
        told(tune, "Files validated, moving job to queued state", 1_790_000_060),
        told(tune, "Fine-tuning job started", 1_790_000_120),
    ]
    stages = {stage.title: stage for stage in timeline.stages(tune, events)}
    assert [stage.state for stage in stages.values()] == ["done"] * 5 + ["current", "todo"]
    moments = {title: int(stage.at.timestamp()) for title, stage in stages.items() if stage.at}
    assert moments["Create"] == 1_790_000_000
    assert moments["Validate"] == 1_790_000_060
    assert moments["Queue"] == moments["Train"] == 1_790_000_120
    assert stages["Model"].about
    assert moments["Model"] == 1_790_009_000


def test_a_job_from_elsewhere_was_never_uploaded_here() -> None:
    tune = job(factories.connection(), version=None, elsewhere=True, status="queued")
    stages = timeline.stages(tune)
    assert [stage.title for stage in stages] == ["Create", "Validate", "Queue", "Train", "Model"]
    assert [stage.state for stage in stages] == ["done", "done", "current", "todo", "todo"]


def test_a_job_that_fails_before_its_first_step_failed_when_its_file_was_checked() -> None:
    tune = job(factories.connection(), state=State.FAILED, status="failed")
    assert [stage.state for stage in timeline.stages(tune)][3] == "bad"
    step(tune, 1, 2.0)
    assert [stage.state for stage in timeline.stages(tune)][5] == "bad"


# The page


def test_the_page_of_a_job_from_elsewhere_shows_what_the_provider_tells(
    reader: User, client_of: "Callable[[User], Client]"
) -> None:
    raw = {"training_file": "file-theirs", "hyperparameters": {"n_epochs": 4}}
    tune = job(factories.connection(), version=None, elsewhere=True, raw=raw)
    page = page_of(client_of(reader), tune)
    assert "started elsewhere" in page
    assert "file-theirs" in page
    assert "learns from" not in page


def test_estimate_and_settlement_stand_beside_each_other(
    reader: User, client_of: "Callable[[User], Client]"
) -> None:
    estimate = {"trained_tokens": 27_000, "amount": "0.135", "as_of": "2026-11-01"}
    tune = job(factories.connection(), estimate=estimate, trained_tokens=30_000)
    page = page_of(client_of(reader), tune)
    assert "27,000" in page
    assert "0.14" in page
    assert "price of 2026-11-01" in page
    Price.objects.create(
        model="gpt-4.1-mini", kind="training", amount=Decimal(5), as_of=timezone.now().date()
    )
    assert "about 0.15" in page_of(client_of(reader), tune)
    Spending.objects.create(
        connection=tune.connection,
        month=timezone.now().date().replace(day=1),
        subject_type="datasets.finetune",
        subject_id=str(tune.pk),
        what="Fine-tune",
        state="settled",
        settled=Decimal("0.17"),
    )
    page = page_of(client_of(reader), tune)
    assert "0.17" in page
    assert "about 0.15" not in page


def test_the_providers_words_stand_verbatim_beside_what_to_do(
    reader: User, client_of: "Callable[[User], Client]"
) -> None:
    said = "Your organization is not eligible to create fine-tuning jobs."
    tune = job(
        factories.connection(kind="openai"),
        state=State.FAILED,
        remote_id="",
        error={"kind": "forbidden", "code": "closed", "message": said},
    )
    page = page_of(client_of(reader), tune)
    assert said in page
    assert "takes no new fine-tuning jobs" in page


def test_whatever_is_hostile_is_shown_as_text(builder: User, client_of: "Callable[[User], Client]") -> None:
    connection = factories.connection()
    sweep = Sweep.objects.create(name=EVIL[:120], connection=connection, version=version(connection))
    tune = job(
        connection,
        version=sweep.version,
        sweep=sweep,
        base_model=EVIL,
        status=EVIL[:40],
        fine_tuned_model=EVIL,
        remote_id=EVIL,
        suffix=EVIL[:31],
        training_type=EVIL,
        result_files=[EVIL, None, 3],
        hyperparameters={"n_epochs": EVIL},
        error={"kind": "job", "code": EVIL, "message": EVIL},
        raw={"training_file": EVIL, "hyperparameters": {"n_epochs": EVIL}, "created_at": "x"},
        estimate={"trained_tokens": EVIL, "amount": EVIL, "as_of": EVIL},
    )
    told(tune, EVIL, 1, "error")
    step(tune, 1, 2.0, train_loss=EVIL, note=EVIL)
    Checkpoint.objects.create(
        fine_tune=tune, upstream_id="c", step=1, model=EVIL, metrics={"train_loss": EVIL}, created=1
    )
    client = client_of(builder)
    for url in (
        reverse("datasets:finetune", args=[tune.pk]),
        reverse("datasets:finetunes"),
        reverse("datasets:sweep", args=[sweep.pk]),
    ):
        page = client.get(url).content.decode()
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page


def test_every_event_can_be_seen(reader: User, client_of: "Callable[[User], Client]") -> None:
    tune = job(factories.connection())
    for number in range(130):
        told(tune, f"Told number {number}.", 1_790_000_000 + number)
    client, url = client_of(reader), reverse("datasets:finetune", args=[tune.pk])
    page = client.get(url).content.decode()
    assert "Told number 129." in page
    assert "Told number 3." not in page
    assert "All 130" in page
    assert "Told number 3." in client.get(url, {"events": "all"}).content.decode()


def test_a_curve_that_did_not_change_is_kept_on_the_page() -> None:
    tune = job(factories.connection())
    step(tune, 1, 2.0)
    (before,) = (picture.unchanged(chart) for chart in picture.charts(tune, []))
    (same,) = (picture.unchanged(chart) for chart in picture.charts(tune, []))
    step(tune, 2, 1.8)
    (after,) = (picture.unchanged(chart) for chart in picture.charts(tune, []))
    assert before == same != after


def test_rewards_of_reinforcement_have_a_picture() -> None:
    tune = job(factories.connection(), method="reinforcement")
    step(tune, 1, 2.0, train_reward_mean=0.5, valid_reward_mean=0.4)
    assert [chart.name for chart in picture.charts(tune, [])] == ["loss", "reward"]


# The result file


def test_a_result_file_that_comes_as_base64_is_given_as_what_it_stands_for() -> None:
    content = b"step,train_loss\n1,0.5\n"
    assert metrics.as_csv(content) == content
    assert metrics.as_csv(base64.encodebytes(content)) == content
    assert metrics.as_csv(b"no csv at all!") == b"no csv at all!"


@pytest.mark.sandbox(rows=0, rows_elsewhere=0)
def test_a_result_file_that_the_provider_refuses_is_said_in_words(
    sandbox: Sandbox, reader: User, client_of: "Callable[[User], Client]"
) -> None:
    tune = job(provider.openai(sandbox), state=State.SUCCEEDED, result_files=["file-none"])
    client, url = client_of(reader), reverse("datasets:finetune_results", args=[tune.pk, 1])
    page = client.get(url, follow=True).content.decode()
    assert "The provider did not give it" in page
    assert client.get(reverse("datasets:finetune_results", args=[tune.pk, 2])).status_code == 404


# Jobs side by side


def test_a_group_shows_what_differs_and_who_came_lowest(
    reader: User, client_of: "Callable[[User], Client]"
) -> None:
    connection = factories.connection()
    sweep = Sweep.objects.create(name="Epochs", connection=connection, version=version(connection))
    for epochs, loss in ((1, 0.5), (3, 0.4), (9, 0.45)):
        job(
            connection,
            version=sweep.version,
            sweep=sweep,
            remote_id=f"ftjob-{epochs}",
            hyperparameters={"n_epochs": epochs, "batch_size": 4},
            curve=[
                {"step": 1, "train_loss": 2.0, "valid_loss": 2.1},
                {"step": 2, "train_loss": 1.0, "valid_loss": loss},
            ],
        )
    tunes = list(sweep.fine_tunes.order_by("id"))
    assert comparison.differing(tunes) == ["Epochs"]
    variants = comparison.of(tunes)
    assert [variant.settings for variant in variants] == [(("Epochs", value),) for value in ("1", "3", "9")]
    assert [variant.best for variant in variants] == [False, True, False]
    (validation, _) = comparison.charts(tunes)
    assert len(validation.series) == 3
    page = client_of(reader).get(reverse("datasets:sweep", args=[sweep.pk])).content.decode()
    assert "lowest" in page
