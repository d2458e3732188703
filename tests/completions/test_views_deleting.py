"""The dialog of a deletion and the page of what came of it: what they say, and to whom."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from completions import deleting, reviewing
from completions.models import ChangeOrder, StoredCompletion
from completions.reviewing import Said
from portal.models import Connection, Kind, User
from portal.sandbox import Sandbox
from tests import factories
from tests.completions.changing import answers, copies, frozen, own_folder, work_off
from tests.completions.mirroring import hurry
from tests.datasets import material
from tests.portal.sandbox_client import faults

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def _here(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_folder(settings, tmp_path / "files")
    settings.OPERATION_BACKOFF_SECONDS = 0.01
    hurry(monkeypatch)


@pytest.fixture
def source(sandbox: Sandbox, connect_to: Callable[..., Connection]) -> Connection:
    return connect_to(sandbox, name="Source")


def asked(person: User, rows: list[StoredCompletion]) -> str:
    return reverse("completions:delete", args=[frozen(person, rows).pk])


def test_the_dialog_counts_rows_reviews_and_what_hangs_on_them(
    sandbox: Sandbox, source: Connection, builder: User, client_of: SignIn
) -> None:
    elsewhere = factories.connection("Elsewhere")
    rows = [*copies(source, sandbox, "azure-v1", 12), factories.make_completion(elsewhere)]
    StoredCompletion.objects.filter(pk=rows[0].pk).update(gone_at="2026-01-01T00:00:00Z")
    reviewing.record(rows[1], [Said("state", "approved")], builder)
    material.built(builder, rows[:12])
    address = asked(builder, rows)
    rows.pop().delete()
    page = client_of(builder).get(address, headers={"HX-Request": "true"})
    text = " ".join(page.content.decode().split())
    assert "<!doctype" not in text
    assert "Delete 13 completions?" in text
    assert '<dt>Source</dt><dd class="num">12 <span class="muted">· 1 gone upstream already</span>' in text
    assert '<dt>No longer here</dt><dd class="num">1</dd>' in text
    assert '<dt>With reviews</dt><dd class="num">1</dd>' in text
    assert '<b class="num">1</b> dataset version with <span class="num">12</span> of these.' in text
    assert "keeps its file" in text
    assert not ChangeOrder.objects.exists()


def test_datasets_forbid_a_deletion_where_the_operator_set_so(
    sandbox: Sandbox, source: Connection, builder: User, client_of: SignIn, settings: Any
) -> None:
    settings.DELETION_WITH_DATASETS = "block"
    rows = copies(source, sandbox, "azure-v1", 12)
    material.built(builder, rows[:11])
    client = client_of(builder)
    refused = client.post(asked(builder, rows), {"mode": "upstream"})
    assert refused.status_code == 422
    assert "Datasets forbid it" in refused.content.decode()
    assert not ChangeOrder.objects.exists()
    assert client.post(asked(builder, rows[11:]), {"mode": "upstream"}).status_code == 303


def test_datasets_keep_their_file_when_what_they_hold_is_deleted(
    sandbox: Sandbox, source: Connection, builder: User, client_of: SignIn
) -> None:
    rows = copies(source, sandbox, "azure-v1", 12)
    version = material.built(builder, rows)
    client = client_of(builder)
    download = reverse("datasets:download", args=[version.dataset_id, version.number])
    before = b"".join(client.get(download))
    assert client.post(asked(builder, rows), {"mode": "both"}).status_code == 303
    work_off(ChangeOrder.objects.get())
    assert not StoredCompletion.objects.exists()
    assert b"".join(client.get(download)) == before
    page = client.get(reverse("datasets:version", args=[version.dataset_id, version.number]))
    assert page.status_code == 200


def test_a_deletion_begins_goes_on_and_shows_its_receipt(
    sandbox: Sandbox, source: Connection, builder: User, client_of: SignIn
) -> None:
    rows = copies(source, sandbox, "azure-v1", 3)
    client = client_of(builder)
    sent = client.post(asked(builder, rows), {"mode": "both"}, headers={"HX-Request": "true"})
    made = ChangeOrder.objects.get()
    assert sent["HX-Redirect"] == made.get_absolute_url()
    running = client.get(made.get_absolute_url()).content.decode()
    assert 'hx-trigger="every 2s"' in running
    assert client.get(reverse("completions:receipt", args=[made.pk])).status_code == 404
    work_off(made)
    done = client.get(made.get_absolute_url(), headers={"HX-Request": "true", "HX-Target": "change"})
    text = done.content.decode()
    assert "every 2s" not in text
    assert "<!doctype" not in text
    assert made.receipt_sha256 in text
    file = client.get(reverse("completions:receipt", args=[made.pk]))
    assert len(b"".join(file).splitlines()) == 4
    file.close()
    assert file["Content-Disposition"] == f'attachment; filename="receipt-deletion-{made.pk}.jsonl"'
    told = client.get(reverse("completions:receipt_checksum", args=[made.pk])).content.decode()
    assert told == f"{made.receipt_sha256}  receipt-deletion-{made.pk}.jsonl\n"


def test_failures_are_listed_escaped_and_tried_again(
    sandbox: Sandbox, source: Connection, builder: User, client_of: SignIn
) -> None:
    rows = copies(source, sandbox, "azure-v1", 3)
    path = f"*{rows[0].upstream_id}"
    refusal = {"status": 400, "message": "<img src=x>", "method": "DELETE", "path": path}
    faults(sandbox, {"kind": "status", **refusal})
    client = client_of(builder)
    client.post(asked(builder, rows), {"mode": "upstream"})
    made = ChangeOrder.objects.get()
    work_off(made)
    text = client.get(made.get_absolute_url()).content.decode()
    assert "Try 1 again" in text
    assert "&lt;img src=x&gt;" in text
    assert "<img" not in text
    faults(sandbox)
    assert client.post(reverse("completions:change_again", args=[made.pk])).status_code == 303
    work_off(made)
    assert "Try 1 again" not in client.get(made.get_absolute_url()).content.decode()
    assert {n for (_, status), n in answers(sandbox, "DELETE").items() if status == 200} == {1}


def test_only_a_builder_of_every_source_deletes(
    sandbox: Sandbox,
    source: Connection,
    connect_to: Callable[..., Connection],
    builder: User,
    reviewer: User,
    outsider: User,
    client_of: SignIn,
) -> None:
    other = connect_to(sandbox, "openai", name="Other")
    half = factories.user("half", "builder", source)
    factories.grant(half, "reader", other)
    rows = [*copies(source, sandbox, "azure-v1", 2), *copies(other, sandbox, "openai", 2)]
    for person, missing in ((half, "Other"), (reviewer, "Other, Source")):
        address = asked(person, rows)
        assert f"role builder on {missing}" in client_of(person).get(address).content.decode()
        assert client_of(person).post(address, {"mode": "both"}).status_code == 403
    assert client_of(outsider).get(asked(builder, rows)).status_code == 404
    assert client_of(reviewer).get(asked(builder, rows)).status_code == 404
    assert not ChangeOrder.objects.exists()

    made = deleting.order(builder, frozen(builder, rows), ChangeOrder.Mode.BOTH)
    work_off(made)
    names = ("change", "receipt", "receipt_checksum")
    for person, status in ((outsider, 404), (reviewer, 403), (half, 403), (builder, 200)):
        for name in names:
            found = client_of(person).get(reverse(f"completions:{name}", args=[made.pk]))
            assert found.status_code == status, (person, name)
            found.close()
        again = client_of(person).post(reverse("completions:change_again", args=[made.pk]))
        assert again.status_code == (303 if status == 200 else status)


def test_imported_rows_are_deleted_here_as_there_is_nobody_to_ask(
    sandbox: Sandbox, source: Connection, builder: User, client_of: SignIn
) -> None:
    files = factories.connection("Files", kind=Kind.FILES, base_url="", secret="")
    imported = [factories.make_completion(files) for _ in range(2)]
    client = client_of(builder)
    text = client.get(asked(builder, imported)).content.decode()
    assert "imported, no provider" in text
    assert 'value="here" checked' in text
    assert text.count(" disabled>") == 2
    for mode in ("upstream", "both"):
        refused = client.post(asked(builder, imported), {"mode": mode})
        assert refused.status_code == 422
        assert "there is no provider to ask" in refused.content.decode()
    assert not ChangeOrder.objects.exists()
    mixed = [imported[0], *copies(source, sandbox, "azure-v1", 1)]
    client.post(asked(builder, mixed), {"mode": "both"})
    made = ChangeOrder.objects.get()
    work_off(made)
    assert {row.error.split(" was")[0] for row in made.changes.filter(state="failed")} == {"Files"}
    client.post(asked(builder, imported), {"mode": "here"})
    work_off(ChangeOrder.objects.latest("id"))
    assert not StoredCompletion.objects.exists()


def test_earlier_ones_are_listed_to_those_who_may_act_on_all_their_sources(
    sandbox: Sandbox,
    source: Connection,
    connect_to: Callable[..., Connection],
    builder: User,
    reviewer: User,
    client_of: SignIn,
) -> None:
    other = connect_to(sandbox, "openai", name="Other")
    half = factories.user("half", "builder", source)
    one, two = copies(source, sandbox, "azure-v1", 1), copies(other, sandbox, "openai", 1)
    address = reverse("completions:changes")
    assert "Nothing was deleted" in client_of(builder).get(address).content.decode()
    for rows in (one, two, one + two):
        work_off(deleting.order(builder, frozen(builder, rows), ChangeOrder.Mode.UPSTREAM))
    first, second, third = ChangeOrder.objects.order_by("id")

    def listed(person: User) -> list[ChangeOrder]:
        text = client_of(person).get(address).content.decode()
        return [made for made in (first, second, third) if made.get_absolute_url() in text]

    assert listed(builder) == [first, second, third]
    assert listed(half) == [first]
    assert listed(reviewer) == []
    assert "takes the role builder" in client_of(reviewer).get(address).content.decode()
