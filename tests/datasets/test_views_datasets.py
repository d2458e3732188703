"""Pages of datasets and jobs: what they show, and to whom."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import connection as database
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from completions.conversation import read_message
from datasets.build import files
from datasets.models import Dataset, DatasetVersion, Deployment, FineTune
from portal.models import AuditEntry, Connection, User
from tests import factories
from tests.datasets import material

SignIn = Callable[[User], Client]

pytestmark = pytest.mark.django_db(transaction=True)
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def source() -> Connection:
    return factories.connection("Library")


@pytest.fixture
def version(builder: User, source: Connection) -> DatasetVersion:
    """Thirty rows, and one that was left out."""
    return material.built(builder, [*material.many(source, 30), material.stored(source, answer="")])


def url(version: DatasetVersion, name: str = "version") -> str:
    return reverse(f"datasets:{name}", args=[version.dataset_id, version.number])


def test_the_list_shows_each_dataset_with_its_numbers(
    version: DatasetVersion, reader: User, client_of: SignIn
) -> None:
    page = client_of(reader).get(reverse("datasets:list")).content.decode()
    assert "Summaries" in page
    assert "Ready" in page
    assert ">30<" in page


def test_an_empty_list_says_how_to_begin(reader: User, client_of: SignIn) -> None:
    assert b"No datasets yet" in client_of(reader).get(reverse("datasets:list")).content


def test_rows_are_shown_in_pages_that_reach_every_row(
    version: DatasetVersion, reader: User, client_of: SignIn
) -> None:
    client, where, seen = client_of(reader), url(version), []
    for _ in range(3):
        answer = client.get(where)
        seen += [row.example.line for row in answer.context["rows"]]
        if not answer.context["next"]:
            break
        where = url(version) + answer.context["next"]
    assert seen == list(range(1, 31))


def test_a_line_number_leads_to_its_row(version: DatasetVersion, reader: User, client_of: SignIn) -> None:
    answer = client_of(reader).get(f"{url(version)}?line=17")
    assert answer.context["rows"][0].example.line == 17


@pytest.mark.parametrize(
    "query", ["?after=x", "?after=99999999", "?line=0", "?line=99999999999999999999", "?after=-1"]
)
def test_nonsense_in_the_address_is_survived(
    version: DatasetVersion, reader: User, client_of: SignIn, query: str
) -> None:
    assert client_of(reader).get(url(version) + query).status_code == 200


def test_raw_lines_are_the_bytes_of_the_file(
    version: DatasetVersion, reader: User, client_of: SignIn
) -> None:
    answer = client_of(reader).get(f"{url(version)}?show=raw")
    assert answer.context["rows"][0].raw.startswith('{"messages":[{"role":"system"')


def test_what_was_left_out_is_listed_with_its_reason(
    version: DatasetVersion, reader: User, client_of: SignIn
) -> None:
    page = client_of(reader).get(f"{url(version)}?show=left-out").content.decode()
    assert "Its answer is empty" in page
    left_out = version.examples.get(line=None)
    assert left_out.source_key in page


def test_an_unknown_part_is_not_found(version: DatasetVersion, reader: User, client_of: SignIn) -> None:
    assert client_of(reader).get(f"{url(version)}?show=secrets").status_code == 404


@pytest.mark.engines
def test_the_download_is_the_exact_file_and_is_recorded(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    answer = client_of(builder).get(url(version, "download"))
    body = b"".join(answer.streaming_content)  # type: ignore[attr-defined]  # a file response streams
    answer.close()
    assert hashlib.sha256(body).hexdigest() == version.sha256
    assert answer["Content-Disposition"] == 'attachment; filename="summaries-v1.jsonl"'
    entry = AuditEntry.objects.get(verb="dataset_version.downloaded")
    assert (entry.actor, entry.details["sha256"]) == (builder, version.sha256)


def test_text_of_users_and_models_is_shown_and_never_run(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    rows = [
        material.stored(source, question=f"{EVIL} {n}", answer=f"<img src=x onerror=alert({n})>")
        for n in range(10)
    ]
    version = material.built(builder, rows)
    Dataset.objects.update(name=EVIL)
    client = client_of(builder)
    for where in (url(version), f"{url(version)}?show=raw", reverse("datasets:list")):
        page = client.get(where).content.decode()
        assert EVIL not in page
        assert "<img src=x" not in page


def test_pages_cost_the_same_number_of_queries_as_rows_double(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    few, many = (
        material.built(builder, material.many(source, 10)),
        material.built(builder, material.many(source, 20)),
    )
    client = client_of(builder)
    client.get(url(few))
    counts = []
    for version in (few, many):
        with CaptureQueriesContext(
            database,
        ) as queries:
            client.get(url(version))
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_version_that_nothing_uses_can_be_deleted_with_its_file(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    assert files.artifacts().exists(version.path)
    assert client_of(builder).post(url(version, "version_delete")).status_code == 302
    assert not files.artifacts().exists(version.path)
    assert not Dataset.objects.exists()


def test_a_version_that_was_trained_on_stays(
    version: DatasetVersion, source: Connection, builder: User, client_of: SignIn
) -> None:
    FineTune.objects.create(
        connection=source, version=version, base_model="m", seed=1, state=FineTune.State.RUNNING
    )
    assert client_of(builder).post(url(version, "version_delete")).status_code == 409
    assert DatasetVersion.objects.filter(pk=version.pk).exists()


# Who may


def pages(version: DatasetVersion, tune: FineTune, deployment: Deployment) -> dict[str, tuple[str, str]]:
    """(method, address) of everything that shows or changes something here, by its URL name."""
    job, frozen = [tune.pk], version.frozen_selection_id
    return {
        "dataset": ("get", reverse("datasets:dataset", args=[version.dataset_id])),
        "version": ("get", url(version)),
        "download": ("get", url(version, "download")),
        "finetune": ("get", reverse("datasets:finetune", args=job)),
        "deployment": ("get", reverse("datasets:deployment", args=[deployment.pk])),
        "finetune_refresh": ("post", reverse("datasets:finetune_refresh", args=job)),
        "version_delete": ("post", url(version, "version_delete")),
        "distill": ("get", reverse("datasets:distill", args=[version.pk, "model"])),
        "finetune_cancel": ("post", reverse("datasets:finetune_cancel", args=job)),
        "finetune_decide": ("post", reverse("datasets:finetune_decide", args=job)),
        "finetune_again": ("post", reverse("datasets:finetune_again", args=job)),
        "deploy": ("get", reverse("datasets:deploy", args=job)),
        "deployment_decide": ("post", reverse("datasets:deployment_decide", args=[deployment.pk])),
        "distill_start": ("get", reverse("datasets:distill_start", args=[frozen])),
    }


READ = {"dataset", "version", "finetune", "deployment", "finetune_refresh"}
OWN = {"distill_start"}  # a selection belongs to whoever made it


@pytest.fixture
def everything(version: DatasetVersion, source: Connection) -> dict[str, tuple[str, str]]:
    tune = FineTune.objects.create(
        connection=source,
        version=version,
        base_model="gpt-4.1-mini-2025-04-14",
        seed=1,
        state=FineTune.State.SUCCEEDED,
        fine_tuned_model="m.ft-1",
        remote_id="ftjob-1",
    )
    deployment = Deployment.objects.create(
        connection=source, fine_tune=tune, name="d", model="m.ft-1", state=Deployment.State.READY
    )
    return pages(version, tune, deployment)


def statuses(client: "Client", everything: dict[str, tuple[str, str]]) -> dict[str, int]:
    found = {}
    for name, (method, where) in everything.items():
        answer = getattr(client, method)(where)
        found[name] = answer.status_code
        answer.close()
    return found


@pytest.mark.engines
def test_an_outsider_finds_nothing(
    everything: dict[str, tuple[str, str]], outsider: User, client_of: SignIn
) -> None:
    assert statuses(client_of(outsider), everything) == dict.fromkeys(everything, 404)


@pytest.mark.parametrize("role", ["reader", "reviewer"])
def test_readers_and_reviewers_look_and_change_nothing(
    everything: dict[str, tuple[str, str]], client_of: SignIn, role: str
) -> None:
    found = statuses(client_of(factories.user("somebody", role)), everything)
    for name, status in found.items():
        assert status == (404 if name in OWN else 403) or (name in READ and status in (200, 302)), name


@pytest.mark.parametrize("role", ["builder", "manager", "operator"])
def test_builders_and_above_may_act(
    everything: dict[str, tuple[str, str]], client_of: SignIn, role: str
) -> None:
    found = statuses(client_of(factories.user("somebody", role)), everything)
    assert {name for name, status in found.items() if status in (403, 404)} == OWN


def test_nobody_signed_out_sees_a_page(everything: dict[str, tuple[str, str]]) -> None:
    client = Client()
    for method, where in everything.values():
        answer = getattr(client, method)(where)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/login/")


def test_lists_hide_what_comes_from_a_connection_one_may_not_read(
    everything: dict[str, tuple[str, str]], version: DatasetVersion, outsider: User, client_of: SignIn
) -> None:
    client = client_of(outsider)
    assert b"Summaries" not in client.get(reverse("datasets:list")).content
    assert b"gpt-4.1-mini" not in client.get(reverse("datasets:finetunes")).content


def test_a_dataset_of_two_sources_needs_both(builder: User, source: Connection, client_of: SignIn) -> None:
    other = factories.connection("Archive")
    version = material.built(builder, [*material.many(source, 5), *material.many(other, 5)])
    half = factories.user("half", "reader", source)
    client = client_of(half)
    assert client.get(url(version)).status_code == 404
    factories.grant(half, "reader", other)
    assert client.get(url(version)).status_code == 200


def test_a_selection_of_somebody_else_cannot_be_distilled(
    manager: User, builder: User, source: Connection, client_of: SignIn
) -> None:
    frozen = material.frozen(manager, material.many(source, 10))
    where = reverse("datasets:distill_start", args=[frozen.pk])
    assert client_of(builder).post(where, {"name": "Mine", "train_on": "all"}).status_code == 404
    assert not Dataset.objects.exists()


@pytest.mark.usefixtures("everything")
def test_the_raw_tables_can_be_looked_at_by_staff_alone(reader: User, client_of: SignIn) -> None:
    looking = client_of(factories.user("staff", is_staff=True, is_superuser=True))
    for model in apps.get_app_config("datasets").get_models():
        if model._meta.auto_created:
            continue
        where = reverse(f"admin:datasets_{model._meta.model_name}_changelist")
        assert looking.get(where).status_code == 200, where
        assert client_of(reader).get(where).status_code in (302, 403), where


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_a_message_is_shown_under_the_role_that_wrote_it(role: str) -> None:
    shown = render_to_string(
        "datasets/messages.html", {"messages": [read_message({"role": role, "content": "Be brief."}, 0)]}
    )
    assert f"<b>{role.capitalize()}</b>" in shown


@pytest.mark.engines
@pytest.mark.parametrize(
    "asked",
    [
        "list?q=\x00", "list?before=²", "list?purpose=\x00", "upload?into=²",
        "version?flag=\x00", "version?split=\x00", "version?q=\x00", "version?show=left-out&reason=\x00",
        "changes?from=²", "changes?from=1&after=\x00", "contamination?part=\x00", "contamination?with=²",
    ],
)  # fmt: skip
def test_an_address_of_odd_characters_finds_nothing_and_breaks_nothing(
    version: DatasetVersion, builder: User, client_of: SignIn, asked: str
) -> None:
    name, _, query = asked.partition("?")
    where = [] if name in ("list", "upload") else [version.dataset_id, version.number]
    parameters = dict(each.split("=", 1) for each in query.split("&"))
    answer = client_of(builder).get(reverse(f"datasets:{name}", args=where), parameters)
    assert answer.status_code in (200, 404)


@pytest.mark.engines
@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("version_exclude", {"row": ["1", "2"], "why": "a\x00b"}),
        ("distill_mend", {"code": "\x00", "mending": "these"}),
        ("personal", {"kind": "email", "name": "a\x00", "expression": "x\x00y", "save": "1"}),
        ("personal", {"kind": "email", "name": "ticket", "expression": "x\x00y", "save": "1"}),
    ],
)
def test_no_null_character_of_a_form_reaches_the_database(
    version: DatasetVersion, builder: User, client_of: SignIn, name: str, sent: dict[str, Any]
) -> None:
    where = [version.dataset_id, version.number] if name == "version_exclude" else [version.pk]
    answer = client_of(builder).post(reverse(f"datasets:{name}", args=where), sent)
    assert answer.status_code in (302, 422)
    assert not DatasetVersion.objects.filter(recipe__icontains="u0000").exists()
