"""Metadata written to every kind of provider, read back, and never over what somebody else wrote."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from completions import ledger, write_back
from completions.ledger import Refused
from completions.models import StoredCompletion, UpstreamChange
from completions.write_back import Wish
from portal.models import Connection, Operation, User
from portal.sandbox import Sandbox
from tests.completions.changing import (
    answers,
    copies,
    free_leases,
    frozen,
    metadata_of,
    own_folder,
    receipt_of,
    work_off,
    worker,
)
from tests.completions.mirroring import check_whole, hurry, mirror, snapshot, swept
from tests.portal.sandbox_client import control, faults

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.engines]
Connect = Callable[..., Connection]
State = UpstreamChange.State


@pytest.fixture(autouse=True)
def _here(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_folder(settings, tmp_path / "files")
    settings.OPERATION_BACKOFF_SECONDS = 0.01
    hurry(monkeypatch)


@pytest.fixture
def source(sandbox: Sandbox, connect_to: Connect) -> Connection:
    return connect_to(sandbox, name="Source")


def here(row: StoredCompletion) -> dict[str, str]:
    row.refresh_from_db()
    held: dict[str, str] = row.metadata
    return held


def put(sandbox: Sandbox, row: StoredCompletion, metadata: dict[str, str]) -> None:
    """Somebody else's doing, behind our back."""
    change = {"resource": "azure-v1", "op": "change", "id": row.upstream_id, "metadata": metadata}
    control(sandbox, "POST", "/state", change | {"replace": True})


@pytest.mark.parametrize("personality", ["azure-v1", "azure-dated", "openai"])
@pytest.mark.parametrize("does", ["merge", "replace"])
def test_pairs_are_set_on_every_provider_and_the_others_stay(
    sandbox: Sandbox, connect_to: Connect, builder: User, personality: str, does: str
) -> None:
    control(sandbox, "POST", "/settings", {"metadata": {personality: does}})
    rows = copies(connect_to(sandbox, personality), sandbox, personality, 3)
    before = [here(row) for row in rows]
    assert any(before)
    made = write_back.order(builder, frozen(builder, rows), Wish({"reviewed": "yes", "by": "people"}))
    assert work_off(made).state == Operation.State.DONE
    for row, held in zip(rows, before, strict=True):
        wanted = held | {"reviewed": "yes", "by": "people"}
        assert here(row) == metadata_of(sandbox, row.upstream_id, personality) == wanted
    assert ledger.counts(made) == {State.DONE: 3}
    check_whole(rows[0].connection)


@pytest.mark.parametrize("does", ["merge", "replace"])
def test_what_a_provider_does_with_a_key_left_out_is_found_out_and_said(
    sandbox: Sandbox, source: Connection, builder: User, does: str
) -> None:
    control(sandbox, "POST", "/settings", {"metadata": {"azure-v1": does}})
    row = copies(source, sandbox, "azure-v1", 1)[0]
    held = here(row)
    key = sorted(held)[0]
    made = write_back.order(builder, frozen(builder, [row]), Wish({"new": "1"}, (key,)))
    work_off(made)
    change = made.changes.get()
    assert made.does == {str(source.pk): does}
    rest = {name: value for name, value in held.items() if name != key or does == "merge"} | {"new": "1"}
    assert here(row) == metadata_of(sandbox, row.upstream_id) == change.found == rest
    assert change.state == (State.FAILED if does == "merge" else State.DONE)
    assert ("merges metadata: it keeps " + key in change.error) == (does == "merge")


def test_what_somebody_else_wrote_is_shown_and_overwritten_only_when_told(
    sandbox: Sandbox, source: Connection, builder: User
) -> None:
    touched, other, agreed = copies(source, sandbox, "azure-v1", 3)
    put(sandbox, touched, {"quality": "theirs"})
    put(sandbox, other, {"unrelated": "theirs"})
    put(sandbox, agreed, {"quality": "ours"})
    made = write_back.order(builder, frozen(builder, [touched, other, agreed]), Wish({"quality": "ours"}))
    work_off(made)
    assert metadata_of(sandbox, touched.upstream_id) == here(touched) == {"quality": "theirs"}
    assert here(other) == {"unrelated": "theirs", "quality": "ours"}
    assert here(agreed) == {"quality": "ours"}
    conflict = made.changes.get(state=State.CONFLICT)
    assert (conflict.upstream_id, conflict.found) == (touched.upstream_id, {"quality": "theirs"})
    posted = answers(sandbox, "POST")
    assert set(posted) == {(other.upstream_id, 200)}
    assert write_back.try_again(made, builder) == 0
    assert write_back.try_again(made, builder, overwrite=True) == 1
    work_off(made)
    assert metadata_of(sandbox, touched.upstream_id) == here(touched) == {"quality": "ours"}
    assert set(answers(sandbox, "POST")) == {(other.upstream_id, 200), (touched.upstream_id, 200)}
    assert ledger.counts(made) == {State.DONE: 3}


def test_the_seventeenth_pair_is_refused_before_it_is_sent(
    sandbox: Sandbox, source: Connection, builder: User
) -> None:
    full, roomy = copies(source, sandbox, "azure-v1", 2)
    sixteen = {f"key{number}": "x" for number in range(16)}
    put(sandbox, full, sixteen)
    made = write_back.order(builder, frozen(builder, [full, roomy]), Wish({"one more": "x"}))
    work_off(made)
    failed = made.changes.get(state=State.FAILED)
    assert (failed.upstream_id, failed.error) == (
        full.upstream_id,
        "There would be 17 pairs; the provider takes 16.",
    )
    assert here(full) == sixteen
    assert set(answers(sandbox, "POST")) == {(roomy.upstream_id, 200)}


@pytest.mark.parametrize(
    ("wished", "says"),
    [
        (({}, ()), "Nothing would change"),
        (({"": "x"}, ()), "must not be empty"),
        (({"k" * 65: "x"}, ()), "has 65 characters; the provider takes 64"),
        (({"k": "x" * 513}, ()), "has 513 characters; the provider takes 512"),
        (({str(number): "x" for number in range(17)}, ()), "17 pairs; the provider takes 16"),
        (({"a": "b"}, ("a",)), "to be set and to be removed"),
        (({"a": "b\0"}, ()), "NUL"),
    ],
)
def test_a_wish_beyond_the_limits_is_refused(
    wished: tuple[dict[str, str], tuple[str, ...]], says: str
) -> None:
    with pytest.raises(Refused, match=says):
        Wish(*wished)
    Wish({"k" * 64: "x" * 512})


def test_one_row_is_changed_as_its_form_was_seen(sandbox: Sandbox, source: Connection, builder: User) -> None:
    control(sandbox, "POST", "/settings", {"metadata": {"azure-v1": "replace"}})
    row = copies(source, sandbox, "azure-v1", 1)[0]
    put(sandbox, row, {"a": "1", "b": "2", "c": "3"})
    StoredCompletion.objects.filter(pk=row.pk).update(metadata={"a": "stale"})
    made = write_back.order_for_row(builder, row, {"a": "1", "b": "2"}, {"a": "1", "b": "two", "d": "4"})
    assert made.wanted == {"set": {"b": "two", "d": "4"}, "remove": []}
    work_off(made)
    assert here(row) == {"a": "1", "b": "two", "c": "3", "d": "4"}
    removed = write_back.order_for_row(builder, row, here(row), {"a": "1"})
    work_off(removed)
    assert metadata_of(sandbox, row.upstream_id) == here(row) == {"a": "1"}
    with pytest.raises(Refused, match="Nothing would change"):
        write_back.order_for_row(builder, row, {"a": "1"}, {"a": "1"})


def test_failures_are_listed_and_tried_again_alone_and_what_is_gone_is_marked(
    sandbox: Sandbox, source: Connection, builder: User
) -> None:
    fine, bad, gone = copies(source, sandbox, "azure-v1", 3)
    control(sandbox, "POST", "/state", {"resource": "azure-v1", "op": "delete", "id": gone.upstream_id})
    faults(sandbox, {"kind": "status", "status": 503, "method": "POST", "path": f"*{bad.upstream_id}"})
    made = write_back.order(builder, frozen(builder, [fine, bad, gone]), Wish({"a": "b"}))
    work_off(made)
    ended = {row.upstream_id: (row.state, row.status) for row in made.changes.all()}
    assert ended == {
        fine.upstream_id: (State.DONE, 200),
        bad.upstream_id: (State.UNKNOWN, 503),
        gone.upstream_id: (State.FAILED, 404),
    }
    gone.refresh_from_db()
    assert gone.gone_at is not None
    faults(sandbox)
    assert write_back.try_again(made, builder) == 2
    work_off(made)
    assert ledger.counts(made) == {State.DONE: 2, State.FAILED: 1}
    assert here(bad)["a"] == "b"
    assert answers(sandbox, "POST")[fine.upstream_id, 200] == 1
    head, lines = receipt_of(made)
    assert head["wanted"] == {"set": {"a": "b"}, "remove": []}
    assert sorted(line["id"] for line in lines) == sorted(ended)


def test_a_write_whose_answer_was_lost_is_found_and_not_taken_for_somebody_elses(
    sandbox: Sandbox, source: Connection, builder: User
) -> None:
    rows = copies(source, sandbox, "azure-v1", 40)
    made = write_back.order(builder, frozen(builder, rows), Wish({"a": "b"}))
    assert made.operation_id is not None
    for point in ("change.answered", "change.before_commit:2"):
        assert worker(made.operation_id, point).wait(30) == 137
        free_leases()
    assert UpstreamChange.objects.filter(order=made, state=State.SENT).exists()
    assert work_off(made).state == Operation.State.DONE
    assert ledger.counts(made) == {State.DONE: 40}
    assert {here(row)["a"] for row in rows} == {"b"}
    assert set(answers(sandbox, "POST").values()) == {1}
    notes = [row.note for row in made.changes.all()]
    assert notes.count(ledger.LOST) >= 32
    check_whole(source)


@pytest.mark.sandbox(rows=12, rows_elsewhere=1)
def test_a_sweep_after_it_finds_the_mirror_as_it_should_be(
    sandbox: Sandbox, source: Connection, builder: User
) -> None:
    mirror(source)
    rows = list(StoredCompletion.objects.filter(connection=source))
    work_off(write_back.order(builder, frozen(builder, rows[:5]), Wish({"a": "b"})))
    texts = {name: row[3:5] for name, row in snapshot(source).items()}
    swept(source)
    assert {name: row[3:5] for name, row in snapshot(source).items()} == texts
    assert sum("a" in here(row) for row in rows) == 5
    check_whole(source)
