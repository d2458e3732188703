"""The Distill wizard: from a frozen selection to a job, in steps that are addresses."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from datasets import base_models, distill, wizard
from datasets.build import build
from datasets.finetune import launch
from datasets.models import Dataset, DatasetVersion, FineTune
from portal.models import Connection, Operation, User
from portal.sandbox import Sandbox
from tests import factories
from tests.datasets import material, provider

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=900),
]
MODEL = "gpt-4.1-mini-2025-04-14"
NUMBERS = {
    "n_epochs": "auto",
    "batch_size": "4",
    "learning_rate_multiplier": "0.5",
    "seed": "11",
    "suffix": "docs",
}


@pytest.fixture
def connection(sandbox: Sandbox) -> Connection:
    return provider.azure(sandbox, name="Workshop")


def page_of(version: DatasetVersion, step: str) -> str:
    return reverse("datasets:distill", args=[version.pk, step])


@pytest.mark.engines
def test_the_whole_wizard_ends_in_a_job_upstream(
    builder: User, connection: Connection, sandbox: Sandbox, client_of: "Callable[[User], Client]"
) -> None:
    client = client_of(builder)
    frozen = material.frozen(builder, material.many(connection, 12))
    start = reverse("datasets:distill_start", args=[frozen.pk])
    assert b"12" in client.get(start).content
    answer = client.post(start, {"name": "Summaries", "purpose": "supervised", "train_on": "last"})
    version = DatasetVersion.objects.get()
    frozen.refresh_from_db()
    assert frozen.confirmed_at is not None
    assert answer["Location"] == page_of(version, "check")
    assert b"being built" in client.get(page_of(version, "check")).content
    material.drain(kinds=[build.KIND])
    page = client.get(page_of(version, "check"))
    assert b"12 rows are ready" in page.content
    page = client.get(
        f"{page_of(version, 'model')}?connection={connection.pk}",
        headers={"HX-Request": "true", "HX-Target": "models"},
    )
    assert b"gpt-4.1-mini" in page.content
    assert b"<html" not in page.content
    answer = client.post(
        page_of(version, "model"),
        {"connection": connection.pk, "model": "gpt-4.1-mini", "version": MODEL, "other": ""},
    )
    assert answer["Location"] == page_of(version, "launch")
    form = {**NUMBERS, "training_type": "Developer", "fine_tune": FineTune.objects.get().pk}
    answer = client.post(page_of(version, "launch"), form)
    tune = FineTune.objects.get()
    assert answer["Location"] == reverse("datasets:finetune", args=[tune.pk])
    material.step(launch.KIND)
    provider.advance(sandbox, 30)
    material.drain(kinds=[launch.KIND])
    job = provider.jobs(connection)[0]
    assert job.hyperparameters["batch_size"] == 4
    assert job.raw["trainingType"] == "Developer"
    assert job.suffix.startswith("docs-")
    assert (job.seed, job.model) == (11, MODEL)
    version.refresh_from_db()
    assert distill.recipe_of(version).train_on == "last"


def test_a_second_dataset_of_the_same_rows_is_numbered(
    builder: User, reader: User, connection: Connection, client_of: "Callable[[User], Client]"
) -> None:
    rows = material.many(connection, 3)
    Dataset.objects.create(name="Workshop 2", owner=reader, purpose="supervised")
    for expected in ("Workshop", "Workshop 2", "Workshop 3"):
        start = reverse("datasets:distill_start", args=[material.frozen(builder, rows).pk])
        assert f'value="{expected}"' in client_of(builder).get(start).content.decode()
        client_of(builder).post(start, {"name": expected, "purpose": "supervised"})


def test_a_numbered_name_stays_within_its_length() -> None:
    long = "x" * 120
    assert wizard.free_name(long, {long}) == "x" * 118 + " 2"
    assert wizard.free_name(long, {long, "x" * 118 + " 2"}) == "x" * 118 + " 3"


def test_a_selection_that_was_begun_goes_on_where_it_stopped(
    builder: User, connection: Connection, client_of: "Callable[[User], Client]"
) -> None:
    version = material.draft(builder, material.many(connection, 10))
    assert version.frozen_selection is not None
    start = reverse("datasets:distill_start", args=[version.frozen_selection.pk])
    client = client_of(builder)
    assert client.get(start)["Location"] == page_of(version, "check")
    assert client.get(page_of(version, "launch"))["Location"] == page_of(version, "check")
    distill.build_now(version, builder)
    material.drain(kinds=[build.KIND])
    assert client.get(start)["Location"] == page_of(version, "model")
    version.refresh_from_db()
    distill.choose_model(version, builder, connection, MODEL)
    assert client.get(start)["Location"] == page_of(version, "launch")


def test_confirming_twice_makes_one_dataset(
    builder: User, connection: Connection, client_of: "Callable[[User], Client]"
) -> None:
    frozen = material.frozen(builder, material.many(connection, 10))
    client, start = client_of(builder), reverse("datasets:distill_start", args=[frozen.pk])
    first = client.post(start, {"name": "One", "purpose": "supervised"})
    second = client.post(start, {"name": "Two", "purpose": "supervised"})
    assert first["Location"] == second["Location"]
    assert Dataset.objects.count() == 1


def test_too_few_rows_are_refused_on_the_page_with_the_reason(
    builder: User, connection: Connection, client_of: "Callable[[User], Client]"
) -> None:
    version = material.draft(builder, [*material.many(connection, 8), material.stored(connection, answer="")])
    distill.choose_model(version, builder, connection, MODEL)
    build.begin(version, builder)
    material.drain()
    client = client_of(builder)
    page = client.get(page_of(version, "check")).content.decode()
    assert "8 examples; a fine-tuning job needs at least 10" in page
    assert "Its answer is empty" in page
    assert client.get(page_of(version, "launch"))["Location"] == page_of(version, "check")
    form = {**NUMBERS, "training_type": "Standard", "fine_tune": FineTune.objects.get().pk}
    answer = client.post(page_of(version, "launch"), form)
    assert answer["Location"] == page_of(version, "check")
    assert not Operation.objects.filter(kind=launch.KIND).exists()


def test_a_free_text_model_is_taken_and_nonsense_is_not(
    builder: User, connection: Connection, client_of: "Callable[[User], Client]"
) -> None:
    version = material.built(builder, material.many(connection, 10))
    client = client_of(builder)
    url = page_of(version, "model")
    for wrong in ("", "drop table;", "a" * 200):
        assert client.post(url, {"connection": connection.pk, "other": wrong}).status_code == 422
    assert not FineTune.objects.exists()
    client.post(url, {"connection": connection.pk, "other": "gpt-4.1-mini-2025-04-14.ft-0123-docs"})
    assert FineTune.objects.get().base_model == "gpt-4.1-mini-2025-04-14.ft-0123-docs"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("suffix", "has space"),
        ("suffix", "x" * 32),
        ("suffix", "dot.ted"),
        ("seed", "-1"),
        ("seed", "2147483648"),
        ("n_epochs", "0"),
        ("n_epochs", "51"),
        ("n_epochs", "many"),
        ("batch_size", "257"),
        ("learning_rate_multiplier", "nan"),
        ("training_type", ""),
    ],
)
def test_numbers_out_of_range_come_back_to_be_mended(
    builder: User, connection: Connection, client_of: "Callable[[User], Client]", field: str, value: str
) -> None:
    tune = material.prepared(builder, connection)
    assert tune.version is not None
    form = {**NUMBERS, "training_type": "Standard", "fine_tune": tune.pk, field: value}
    answer = client_of(builder).post(page_of(tune.version, "launch"), form)
    assert answer.status_code == 422
    tune.refresh_from_db()
    assert tune.state == FineTune.State.DRAFT


def test_a_built_version_never_changes_when_the_model_does(builder: User, connection: Connection) -> None:
    tune = material.prepared(builder, connection)
    version = tune.version
    assert version is not None
    version.examples.filter(line=1).update(tokens=40_000)
    sealed = DatasetVersion.objects.values().get(pk=version.pk)
    same, _ = distill.choose_model(version, builder, connection, "gpt-4o-mini-2024-07-18")
    assert same == version
    other, draft = distill.choose_model(version, builder, connection, "gpt-4.1-nano-2025-04-14")
    assert (other.number, other.parent, draft.version) == (2, version, other)
    assert distill.recipe_of(other).token_limit == 32_768
    assert DatasetVersion.objects.values().get(pk=version.pk) == sealed


def test_a_model_that_takes_every_row_needs_no_other_version(builder: User, connection: Connection) -> None:
    tune = material.prepared(builder, connection)
    assert tune.version is not None
    same, _ = distill.choose_model(tune.version, builder, connection, "gpt-4.1-nano-2025-04-14")
    assert same == tune.version


def test_a_connection_that_cannot_be_asked_still_offers_the_documented_models(
    builder: User, connection: Connection, sandbox: Sandbox, client_of: "Callable[[User], Client]"
) -> None:
    version = material.built(builder, material.many(connection, 10))
    provider.faults(sandbox, {"kind": "status", "status": 401, "path": "/models"})
    page = client_of(builder).get(
        page_of(version, "model"), headers={"HX-Request": "true", "HX-Target": "models"}
    )
    assert b"could not be asked for its models" in page.content
    assert b"gpt-4.1-nano" in page.content


@pytest.mark.parametrize(
    ("personality", "told"), [("azure-dated", True), ("azure-v1", False), ("openai", False)]
)
def test_the_offer_is_what_the_service_tells_or_what_is_documented(
    sandbox: Sandbox, personality: str, told: bool, connect_to: Callable[..., Connection]
) -> None:
    offer = base_models.ask(connect_to(sandbox, personality, key=f"sandbox-{personality}-key"))
    assert offer.told is told
    assert not offer.problem
    names = [family.name for family in offer.families]
    assert names[0] == "gpt-4.1-mini"
    assert "text-embedding-3-small" not in names


def test_training_elsewhere_needs_the_right_there_and_on_every_source(
    builder: User, connection: Connection, sandbox: Sandbox, client_of: "Callable[[User], Client]"
) -> None:
    other = provider.openai(sandbox)
    version = material.built(builder, material.many(connection, 10))
    person = factories.user("half", "builder", connection)
    client = client_of(person)
    url = page_of(version, "model")
    assert client.post(url, {"connection": other.pk, "other": MODEL}).status_code == 422
    assert client.post(url, {"connection": connection.pk, "other": MODEL}).status_code == 302
    mixed = material.draft(builder, [*material.many(connection, 5), *material.many(other, 5)])
    assert client.get(page_of(mixed, "model")).status_code == 404
    factories.grant(person, "reader", other)
    assert client.get(page_of(mixed, "model")).status_code == 403


def test_a_right_lost_after_the_launch_stops_it_before_anything_is_sent(
    builder: User, connection: Connection, sandbox: Sandbox
) -> None:
    tune = material.prepared(builder, connection)
    launch.begin(tune, builder)
    builder.grants.update(role="reader")
    material.drain(kinds=[launch.KIND])
    tune.refresh_from_db()
    assert (tune.state, tune.error["kind"]) == (FineTune.State.FAILED, "forbidden")
    assert provider.posts(sandbox) == provider.posts(sandbox, "/files") == 0
