"""The forms of metadata: what they take, what they refuse, and who may use them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from completions import write_back
from completions.models import ChangeOrder, StoredCompletion
from completions.write_back import Wish
from portal.models import Connection, Kind, User
from portal.sandbox import Sandbox
from tests import factories
from tests.completions.changing import answers, copies, frozen, metadata_of, own_folder, work_off
from tests.completions.mirroring import hurry
from tests.portal.sandbox_client import control

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[User], Client]


@pytest.fixture(autouse=True)
def _here(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_folder(settings, tmp_path / "files")
    hurry(monkeypatch)


@pytest.fixture
def source(sandbox: Sandbox, connect_to: Callable[..., Connection]) -> Connection:
    control(sandbox, "POST", "/settings", {"metadata": {"azure-v1": "replace"}})
    return connect_to(sandbox, name="Source")


def form(pairs: dict[str, str], remove: tuple[int, ...] = (), **more: str) -> dict[str, Any]:
    """What a browser sends."""
    return {"key": list(pairs), "value": list(pairs.values()), "remove": [str(at) for at in remove], **more}


def test_pairs_of_a_selection_are_set_and_removed(
    sandbox: Sandbox, source: Connection, builder: User, client_of: SignIn
) -> None:
    rows = copies(source, sandbox, "azure-v1", 3)
    key = sorted(rows[0].metadata)[0]
    address = reverse("completions:metadata", args=[frozen(builder, rows).pk])
    client = client_of(builder)
    dialog = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "Edit the metadata of 3 completions" in dialog
    assert f'<option value="{key}">' in dialog
    more = client.post(address, form({"reviewed": "yes"}, more="1")).content.decode()
    assert 'value="reviewed"' in more
    assert more.count('name="key"') == dialog.count('name="key"') + 3
    assert not ChangeOrder.objects.exists()
    sent = client.post(address, form({"reviewed": "yes", key: "", "": ""}, remove=(1,)))
    made = ChangeOrder.objects.get()
    assert sent["Location"] == made.get_absolute_url()
    work_off(made)
    for row in rows:
        held = metadata_of(sandbox, row.upstream_id)
        assert (held["reviewed"], key in held) == ("yes", False)
    page = client.get(made.get_absolute_url()).content.decode()
    assert "replaces: a pair that is left out goes" in page


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (form({}), "Nothing would change"),
        (form({"k" * 65: "x"}), "the provider takes 64"),
        (form({"a": "x" * 513}), "the provider takes 512"),
        (form({str(number): "x" for number in range(17)}), "the provider takes 16"),
        ({"key": ["", "b"], "value": ["orphan", "c"]}, "has no key"),
        ({"key": ["a", "a"], "value": ["1", "2"]}, "stands there twice"),
    ],
)
def test_what_cannot_be_written_is_refused_and_stays_in_the_form(
    sandbox: Sandbox, source: Connection, builder: User, client_of: SignIn, sent: dict[str, Any], says: str
) -> None:
    rows = copies(source, sandbox, "azure-v1", 1)
    address = reverse("completions:metadata", args=[frozen(builder, rows).pk])
    refused = client_of(builder).post(address, sent)
    assert refused.status_code == 422
    text = refused.content.decode()
    assert says in text
    for key in [key for key in sent["key"] if key][:3]:
        assert f'value="{key}"' in text
    assert not ChangeOrder.objects.exists()


def test_one_completion_is_edited_from_what_its_form_showed(
    sandbox: Sandbox, source: Connection, builder: User, client_of: SignIn
) -> None:
    row = copies(source, sandbox, "azure-v1", 1)[0]
    client = client_of(builder)
    details = client.get(f"{row.get_absolute_url()}?tab=details").content.decode()
    address = reverse("completions:metadata_of_row", args=[row.pk])
    assert f'href="{address}"' in details
    opened = client.get(address).content.decode()
    for key, value in row.metadata.items():
        assert f'value="{key}"' in opened
        assert f'value="{value}"' in opened
    seen = json.dumps(row.metadata)
    key = sorted(row.metadata)[0]
    change = {"resource": "azure-v1", "op": "change", "id": row.upstream_id, "metadata": {key: "theirs"}}
    control(sandbox, "POST", "/state", change)
    StoredCompletion.objects.filter(pk=row.pk).update(metadata=row.metadata | {key: "theirs"})
    client.post(address, form(row.metadata | {key: "ours", "more": "1"}, seen=seen))
    made = ChangeOrder.objects.get()
    work_off(made)
    page = client.get(made.get_absolute_url()).content.decode()
    assert "Changed by somebody else" in page
    assert "theirs" in page
    assert "ours" in page
    assert not answers(sandbox, "POST")
    client.post(reverse("completions:change_again", args=[made.pk]), {"overwrite": "1"})
    work_off(made)
    assert metadata_of(sandbox, row.upstream_id) == row.metadata | {key: "ours", "more": "1"}


def test_one_that_is_gone_upstream_cannot_be_written_to(builder: User, client_of: SignIn) -> None:
    row = factories.make_completion(metadata={"a": "b"}, gone_at="2026-01-01T00:00:00Z")
    address = reverse("completions:metadata_of_row", args=[row.pk])
    client = client_of(builder)
    assert "It is gone upstream" in client.get(address).content.decode()
    assert "It is gone upstream" in client.post(address, form({"a": "c"})).content.decode()
    assert address not in client.get(f"{row.get_absolute_url()}?tab=details").content.decode()
    assert not ChangeOrder.objects.exists()


def test_imported_rows_have_nobody_to_write_to(builder: User, client_of: SignIn) -> None:
    files = factories.connection("Files", kind=Kind.FILES, base_url="", secret="")
    row = factories.make_completion(files, metadata={"a": "b"})
    client = client_of(builder)
    address = reverse("completions:metadata_of_row", args=[row.pk])
    assert address not in client.get(f"{row.get_absolute_url()}?tab=details").content.decode()
    many = reverse("completions:metadata", args=[frozen(builder, [row]).pk])
    for each in (address, many):
        refused = client.post(each, form({"a": "c"}))
        assert refused.status_code == 422
        assert "there is no provider to ask" in refused.content.decode()
    assert not ChangeOrder.objects.exists()


def test_only_builders_write_metadata(
    builder: User, reviewer: User, outsider: User, client_of: SignIn
) -> None:
    row = factories.make_completion(metadata={"a": "b"})
    address = reverse("completions:metadata_of_row", args=[row.pk])
    for person, status in ((reviewer, 403), (outsider, 404)):
        assert client_of(person).get(address).status_code == status
        assert client_of(person).post(address, form({"a": "c"})).status_code == status
    details = f"{row.get_absolute_url()}?tab=details"
    assert address not in client_of(reviewer).get(details).content.decode()
    mine = reverse("completions:metadata", args=[frozen(reviewer, [row]).pk])
    assert "takes the role builder" in client_of(reviewer).get(mine).content.decode()
    assert client_of(reviewer).post(mine, form({"a": "c"})).status_code == 403
    assert not ChangeOrder.objects.exists()
    made = write_back.order(builder, frozen(builder, [row]), Wish({"a": "c"}))
    for person, status in ((reviewer, 403), (outsider, 404)):
        again = reverse("completions:change_again", args=[made.pk])
        assert client_of(person).post(again, {"overwrite": "1"}).status_code == status


def test_what_strangers_wrote_into_metadata_is_only_text(
    sandbox: Sandbox, source: Connection, builder: User, client_of: SignIn
) -> None:
    row = copies(source, sandbox, "azure-v1", 1)[0]
    evil = {'"><script>x</script>': "<img src=x>", "a": "{{ 7 }}"}
    change = {"resource": "azure-v1", "op": "change", "id": row.upstream_id, "metadata": evil}
    control(sandbox, "POST", "/state", change | {"replace": True})
    StoredCompletion.objects.filter(pk=row.pk).update(metadata={"a": "1"})
    client = client_of(builder)
    row.refresh_from_db()
    made = write_back.order_for_row(builder, row, {"a": "1"}, {"a": "<b>2</b>"})
    work_off(made)
    for address in (made.get_absolute_url(), reverse("completions:metadata_of_row", args=[row.pk])):
        text = client.get(address).content.decode()
        assert "<script>x" not in text
        assert "<img src=x" not in text
        assert "<b>2" not in text
