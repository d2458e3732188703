"""Versions from versions: without rows, with them again, of today's rows; and what changed between two."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from completions import selection
from completions.models import StoredCompletion
from datasets import changes, distill, received, successors
from datasets.build import build, files
from datasets.models import DatasetVersion
from datasets.recipe import Recipe
from portal.models import AuditEntry, Connection, Operation, User
from tests import factories
from tests.datasets import material

SignIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db(transaction=True)
ROWS = 12


@pytest.fixture
def source() -> Connection:
    return factories.connection("Library")


@pytest.fixture
def version(builder: User, source: Connection) -> DatasetVersion:
    return material.built(builder, material.many(source, ROWS))


def url(version: DatasetVersion, name: str = "version") -> str:
    return reverse(f"datasets:{name}", args=[version.dataset_id, version.number])


def newest(version: DatasetVersion) -> DatasetVersion:
    material.drain()
    found: DatasetVersion = version.dataset.versions.order_by("-number")[0]
    return found


def by_filter(user: User, q: str) -> DatasetVersion:
    frozen = selection.freeze(user, q=q, everything=True)
    material.drain()
    frozen.refresh_from_db()
    version = distill.start(frozen, user, "Filtered", Recipe())
    build.begin(version, user)
    material.drain()
    version.refresh_from_db()
    return version


@pytest.mark.engines
def test_chosen_rows_leave_the_next_version_with_their_reason(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    before, row = version.sha256, version.examples.get(line=3)
    where = url(version, "version_exclude")
    answer = client_of(builder).post(where, {"row": [row.position], "why": "  It is   wrong. "})
    after = newest(version)
    assert answer["Location"] == url(after)
    assert (after.number, after.rows, after.state, after.parent) == (2, ROWS - 1, "ready", version)
    assert after.recipe["excluded"] == [[row.source_key, "It is wrong."]]
    left_out = after.examples.get(source_key=row.source_key)
    assert (left_out.line, left_out.excluded_reason) == (None, "by_hand:It is wrong.")
    version.refresh_from_db()
    assert (version.sha256, version.rows) == (before, ROWS)
    told = successors.excluded_rows(after)
    assert [(each.key, each.why, each.who, each.number) for each in told] == [
        (row.source_key, "It is wrong.", builder, 2)
    ]


def test_the_same_click_twice_makes_one_version(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    client, row = client_of(builder), version.examples.get(line=3)
    sent = {"row": [row.position], "why": "wrong"}
    first, second = (client.post(url(version, "version_exclude"), sent) for _ in range(2))
    without = newest(version)
    later = client.post(url(version, "version_exclude"), sent)
    assert first["Location"] == second["Location"] == later["Location"] == url(without)
    back = [client.post(url(without, "version_take_back"), {"key": [row.source_key]}) for _ in range(2)]
    again = newest(version)
    assert {each["Location"] for each in back} == {url(again)}
    renewed = {client.post(url(again, "version_renew"))["Location"] for _ in range(2)}
    assert renewed == {url(newest(version))}
    assert version.dataset.versions.count() == 4
    client.post(url(again, "version_renew"))  # that one is built, so this is another day's
    assert newest(version).number == 5


def test_who_excluded_a_row_is_known_in_every_later_version(
    version: DatasetVersion, builder: User, source: Connection
) -> None:
    other = factories.user("other", "builder")
    keys = list(version.examples.order_by("line").values_list("source_key", flat=True))
    successors.exclude(version, builder, {keys[0]: "first"})
    second = newest(version)
    successors.exclude(second, other, {keys[1]: "second"})
    third = newest(version)
    told = {each.key: (each.who, each.number) for each in successors.excluded_rows(third)}
    assert told == {keys[0]: (builder, 2), keys[1]: (other, 3)}


def test_taking_back_gives_the_same_file_again(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    row = version.examples.get(line=3)
    successors.exclude(version, builder, {row.source_key: "wrong"})
    second = newest(version)
    page = client_of(builder).get(f"{url(second)}?show=about")
    assert row.source_key in page.content.decode()
    client_of(builder).post(url(second, "version_take_back"), {"key": [row.source_key]})
    third = newest(version)
    assert (third.number, third.sha256) == (3, version.sha256)
    assert not successors.excluded_rows(third)


@pytest.mark.parametrize("data", [{}, {"row": ["0"], "why": ""}, {"row": ["x", "-1", "9" * 30], "why": "so"}])
def test_nothing_is_made_of_nothing(
    version: DatasetVersion, builder: User, client_of: SignIn, data: dict[str, Any]
) -> None:
    assert client_of(builder).post(url(version, "version_exclude"), data).status_code == 302
    assert version.dataset.versions.count() == 1


@pytest.mark.engines
def test_a_filter_is_applied_again_as_of_today(builder: User, source: Connection, client_of: SignIn) -> None:
    rows = [factories.make_completion(source, prompt=f"What is {n}?") for n in range(ROWS)]
    version = by_filter(builder, "what")
    StoredCompletion.objects.filter(pk=rows[0].pk).delete()
    for n in range(3):
        factories.make_completion(source, prompt=f"What is {ROWS + n}?")
    client_of(builder).post(url(version, "version_renew"))
    after = newest(version)
    assert (after.rows, after.counts["selected"], after.state) == (ROWS + 2, ROWS + 2, "ready")
    assert after.recipe == version.recipe
    assert changes.counts(version, after) == {"added": 3, "dropped": 1, "edited": 0, "moved": 0, "same": 11}


def test_a_filter_that_reads_texts_is_applied_by_an_operation(builder: User, source: Connection) -> None:
    for n in range(ROWS):
        factories.make_completion(source, answer=f"The harbour opens at {n}.")
    version = by_filter(builder, "answer:/opens at/")
    factories.make_completion(source, answer="The harbour opens at noon.")
    after = successors.renew(version, builder)
    assert after.state == "draft"
    assert Operation.objects.filter(kind=received.RENEW).exists()
    after = newest(version)
    assert (after.state, after.rows) == ("ready", ROWS + 1)


def test_chosen_completions_are_taken_again_as_they_are_now(version: DatasetVersion, builder: User) -> None:
    gone = version.examples.get(line=1).completion
    assert gone is not None
    gone.delete()
    successors.renew(version, builder)
    assert newest(version).rows == ROWS - 1


def test_a_selection_that_is_gone_is_said(version: DatasetVersion, builder: User, client_of: SignIn) -> None:
    DatasetVersion.objects.filter(pk=version.pk).update(frozen_selection=None)
    answer = client_of(builder).post(url(version, "version_renew"), follow=True)
    assert "is gone" in answer.content.decode()
    assert version.dataset.versions.count() == 1


def test_rows_of_a_connection_that_one_only_reads_are_refused(source: Connection) -> None:
    person = factories.user("somebody", "builder", connection=source)
    for n in range(ROWS):
        factories.make_completion(source, prompt=f"What is {n}?")
    version = by_filter(person, "what")
    other = factories.connection("Elsewhere")
    factories.grant(person, "reader", other)
    factories.make_completion(other, prompt="What is new?")
    with pytest.raises(successors.Refused, match="Elsewhere"):
        successors.renew(version, person)
    assert version.dataset.versions.count() == 1
    assert version.frozen_selection is not None
    assert version.frozen_selection.connections.count() == 1


@pytest.mark.parametrize("name", ["version_exclude", "version_take_back", "version_renew"])
@pytest.mark.parametrize(("role", "status"), [("reader", 403), ("reviewer", 403), ("", 404)])
def test_making_a_version_takes_a_builder(
    version: DatasetVersion, client_of: SignIn, name: str, role: str, status: int
) -> None:
    client = client_of(factories.user("somebody", role))
    assert client.post(url(version, name), {"row": ["0"], "why": "so"}).status_code == status
    assert version.dataset.versions.count() == 1


def test_making_a_version_is_recorded(version: DatasetVersion, builder: User) -> None:
    successors.exclude(version, builder, {version.examples.get(line=1).source_key: "wrong"})
    entry = AuditEntry.objects.get(verb="dataset_version.created")
    assert (entry.actor, entry.details["parent"]) == (builder, 1)


# What changed


@pytest.fixture
def edited(version: DatasetVersion, builder: User) -> DatasetVersion:
    """The next version: a row less, and one that says something else."""
    successors.exclude(version, builder, {version.examples.get(line=2).source_key: "off topic"})
    after = newest(version)
    example = after.examples.get(line=5)
    with files.open_file(after) as file:
        body = file.read()
    path = files.growing(after)
    path.write_bytes(body.replace(b"number", b"NUMBER"))
    files.publish(path, after.path)
    after.examples.filter(pk=example.pk).update(content_hash="f" * 64)
    return after


@pytest.mark.engines
def test_changes_are_counted_and_shown(
    version: DatasetVersion, edited: DatasetVersion, reader: User, client_of: SignIn
) -> None:
    assert changes.counts(version, edited) == {
        "added": 0, "dropped": 1, "edited": 1, "moved": 0, "same": ROWS - 2,
    }  # fmt: skip
    client = client_of(reader)
    dropped = client.get(f"{url(edited, 'changes')}?from=1").content.decode()
    assert "Excluded by hand: off topic" in dropped
    assert "One row excluded by hand." in dropped
    page = client.get(f"{url(edited, 'changes')}?from=1&kind=edited").content.decode()
    shown = page.split('<article class="change">')[1]
    assert "number" in shown.split("<del>")[1].split("</del>")[0]
    assert "NUMBER" in shown.split("<ins>")[1].split("</ins>")[0]


def test_the_other_way_round_dropped_is_added(version: DatasetVersion, edited: DatasetVersion) -> None:
    found = changes.counts(edited, version)
    assert (found["added"], found["dropped"], found["edited"]) == (1, 0, 1)


def test_changes_come_in_pages_that_reach_each_of_them(
    version: DatasetVersion, builder: User, reader: User, client_of: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "PAGE", 4)
    keys = sorted(version.examples.values_list("source_key", flat=True))
    successors.exclude(version, builder, dict.fromkeys(keys[:2], "so"))
    after = newest(version)
    gone, where = [], f"{url(version, 'changes')}?from={after.number}&kind=added"
    client = client_of(reader)
    while where:
        answer = client.get(where)
        gone += [each.change.key for each in answer.context["shown"]]
        where = url(version, "changes") + answer.context["next"] if answer.context["next"] else ""
    assert gone == keys[:2]
    whole = list(changes._compared(version, after, keys[5]))
    assert [new.key for _, _, new in whole if new] == keys[6:]


@pytest.mark.parametrize("query", ["?from=x", "?from=99", "?from=1&kind=secrets", f"?from={'9' * 30}"])
def test_nonsense_is_not_found(edited: DatasetVersion, reader: User, client_of: SignIn, query: str) -> None:
    assert client_of(reader).get(url(edited, "changes") + query).status_code == 404


def test_a_version_alone_says_that_there_is_nothing_to_compare(
    version: DatasetVersion, reader: User, client_of: SignIn
) -> None:
    assert b"There is no other version" in client_of(reader).get(url(version, "changes")).content


def test_a_page_of_changes_costs_the_same_however_many_rows_are_the_same(
    version: DatasetVersion, edited: DatasetVersion, reader: User, client_of: SignIn
) -> None:
    client = client_of(reader)
    where = f"{url(edited, 'changes')}?from=1"
    client.get(where)
    with CaptureQueriesContext(database) as queries:
        client.get(where)
    assert len(queries) < 40
