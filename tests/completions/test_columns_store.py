"""Columns in memory: whatever is written, packed and read in whatever order, they are what the rows say."""

import json
import random
from collections.abc import Callable
from threading import Thread
from time import sleep
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.db import transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from completions import absorbing, columns, rederive, removal, schedule
from completions.columns import packing, store
from completions.models import Body, ColumnSegment, Mirror, Removed, StoredCompletion, Term
from completions.readings import Reading, read
from completions.terms import Dictionary
from portal.models import Connection, Operation
from portal.sandbox import Sandbox
from tests import factories
from tests.completions.mirroring import check_columns, check_whole, drain, hurry, mirror, snapshot

pytestmark = [pytest.mark.engines, pytest.mark.django_db(transaction=True)]
Connect = Callable[..., Connection]
MODULES = ("segment", "changes", "store", "packing")


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MODULES:
        monkeypatch.setattr(f"completions.columns.{name}.MOST_ROWS", 40)
    monkeypatch.setattr(removal, "BATCH", 3)


def reading(number: int, chance: random.Random) -> Reading:
    """A row as upstream might send it; chance says what it holds, and whether its messages came."""
    pending = chance.random() < 0.1
    item = {
        "id": f"chatcmpl-{number}",
        "created": 1_790_000_000 + chance.randrange(20),
        "model": chance.choice(("", "gpt-4o", "gpt-4o-mini")),
        "metadata": {key: chance.choice("abc") for key in chance.sample(("env", "2024", "a__b"), 2)},
        "temperature": chance.choice((None, 0, 0.7)),
        "choices": [{"index": 0, "message": {"content": chance.choice(("{}", "hello", "no"))}}],
        "usage": {"total_tokens": chance.choice((None, 7, 2**40))},
    }
    found = read(
        json.dumps(item).encode(),
        item,
        pages=None if pending else [b'{"data": []}'],
        messages=None if pending else [],
        state="pending" if pending else "ok",
    )
    assert isinstance(found, Reading)
    return found


class Killed(Exception):
    """Where a process might have been killed."""


class Walk:
    """Random writes to one mirror, as syncs, sweeps, deletions and packing do them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.connection = factories.connection()
        self.dictionary = Dictionary(self.connection.pk)

    def absorb(self) -> None:
        numbers = [self.chance.randrange(250) for _ in range(self.chance.randrange(1, 20))]
        with transaction.atomic():
            absorbing.lock(self.connection.pk)
            absorbing.absorb(
                self.connection.pk, [reading(number, self.chance) for number in numbers], self.dictionary
            )
        self.dictionary.keep()

    def lose(self) -> None:
        """A transaction that looks at what it wrote and is then rolled back."""
        try:
            with transaction.atomic():
                absorbing.absorb(self.connection.pk, [reading(1, self.chance)], self.dictionary)
                check_columns(self.connection, columns.Store())
                columns.current([self.connection.pk])
                raise Killed
        except Killed:
            self.dictionary.forget()

    def some(self) -> list[int]:
        rows = list(StoredCompletion.objects.filter(connection=self.connection).values_list("pk", flat=True))
        return self.chance.sample(rows, min(5, len(rows)))

    def go(self) -> None:
        with transaction.atomic():
            absorbing.mark(self.connection.pk, self.some(), gone_at=timezone.now())

    def come_back(self) -> None:
        with transaction.atomic():
            absorbing.touch(self.connection.pk, self.some(), generation=1)

    def remove(self) -> None:
        with transaction.atomic():
            removal._take_completions(self.connection)
        self.dictionary = Dictionary(self.connection.pk)

    def pack(self) -> None:
        columns.pack(self.connection.pk)

    def break_off(self) -> None:
        """Packing that is killed somewhere."""
        place = self.chance.choice(("pack.taken_out", "pack.before_commit"))

        def die(name: str) -> None:
            if name == place:
                raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(packing, "crashpoint", die)
            try:
                columns.pack(self.connection.pk)
            except Killed:
                pass

    def step(self) -> None:
        writes = [self.absorb, self.absorb, self.absorb, self.lose, self.go, self.come_back, self.remove]
        self.chance.choice([*writes, self.pack, self.break_off])()


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("seed", range(8))
def test_columns_are_what_the_rows_say_whatever_happens(seed: int) -> None:
    walk = Walk(seed)
    stores = [columns.Store(), columns.Store()]
    for _ in range(40):
        walk.step()
        check_columns(walk.connection, walk.chance.choice(stores))
    columns.pack(walk.connection.pk)
    for each in (*stores, columns.Store(), store._process):  # the last has looked into lost transactions
        check_columns(walk.connection, each)


@pytest.mark.usefixtures("small_segments")
def test_writers_packers_and_readers_do_not_disturb_each_other() -> None:
    walk = Walk(1)
    walk.absorb()
    process = columns.Store()
    trouble: list[BaseException] = []
    over = False

    def do(work: Callable[[], Any]) -> None:
        try:
            work()
        except BaseException as error:
            trouble.append(error)
        finally:
            database.close()

    def write() -> None:
        for _ in range(40):
            walk.absorb()
            walk.go()

    def pack() -> None:
        while not over:
            columns.pack(walk.connection.pk)
            sleep(0.005)  # whoever waits for SQLite has no place in a queue, and would starve

    def look() -> None:
        while not over:
            held = process.current([walk.connection.pk])[walk.connection.pk]
            ids = [
                pk
                for part in held.parts
                for place, pk in enumerate(part.segment.ids.tolist())
                if part.alive is None or part.alive[place]
            ]
            assert len(ids) == len(set(ids)) == len(held)

    writer, *others = [Thread(target=do, args=[work]) for work in (write, pack, pack, look, look)]
    for thread in (writer, *others):
        thread.start()
    writer.join()
    over = True
    for thread in others:
        thread.join()
    assert trouble == []
    columns.pack(walk.connection.pk)
    for each in (process, columns.Store()):
        check_columns(walk.connection, each)
    packed = ColumnSegment.objects.filter(connection=walk.connection)
    assert sum(packed.values_list("rows", flat=True)) == StoredCompletion.objects.count()


def test_a_look_at_what_is_known_costs_one_query(django_assert_num_queries: Any) -> None:
    walk, process = Walk(3), columns.Store()
    walk.absorb()
    other = factories.make_completion(factories.connection()).connection
    wanted = [walk.connection.pk, other.pk]
    process.current(wanted)
    with django_assert_num_queries(1):
        process.current(wanted)
    walk.absorb()
    with django_assert_num_queries(3):  # the state, rows, removals
        process.current(wanted)
    Mirror.objects.filter(pk=other.pk).delete()
    assert len(process.current([other.pk])[other.pk]) == 0


def test_terms_of_a_lost_transaction_are_not_remembered() -> None:
    walk = Walk(4)
    walk.lose()
    for _ in range(3):
        walk.absorb()
    check_whole(walk.connection)


def test_what_is_not_looked_at_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (factories.make_completion(factories.connection()).connection for _ in range(2))
    process = columns.Store()
    first = process.current([one.pk])[one.pk]
    assert process.current([one.pk])[one.pk] is first
    monkeypatch.setattr(store, "MOST_BYTES", 1)
    process.current([two.pk])
    assert process.current([one.pk])[one.pk] is not first


@pytest.mark.usefixtures("small_segments")
def test_packing_keeps_few_segments_and_forgets_what_is_superseded() -> None:
    walk = Walk(5)
    for _ in range(12):
        walk.absorb()
        walk.pack()
    sizes = list(ColumnSegment.objects.values_list("rows", flat=True))
    rows = StoredCompletion.objects.count()
    assert sum(sizes) == rows
    assert len(sizes) <= 2 * (rows // 40 + 1)
    state = Mirror.objects.get()
    assert (state.packed, state.unpacked) == (state.change, 0)


def test_the_beat_packs_what_writers_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "SMALL", 10)
    walk = Walk(2)
    for _ in range(3):
        walk.absorb()
    schedule.keep_columns()
    state = Mirror.objects.get()
    assert (state.packed, state.unpacked) == (state.change, 0)
    check_columns(walk.connection, columns.Store())


def test_removed_rows_are_told_to_every_process() -> None:
    row = factories.make_completion()
    process = columns.Store()
    assert len(process.current([row.connection_id])[row.connection_id]) == 1
    with transaction.atomic():
        removal._take_completions(row.connection)
    assert Removed.objects.count() == 1
    assert len(process.current([row.connection_id])[row.connection_id]) == 0


def test_gone_rows_are_counted_from_columns() -> None:
    rows = [factories.make_completion() for _ in range(3)]
    connection = rows[0].connection
    with transaction.atomic():
        absorbing.mark(connection.pk, [rows[1].pk], gone_at=timezone.now())
    assert columns.current([connection.pk])[connection.pk].marked("gone") == 1


# Rows that an older version wrote.


def migrate(*targets: tuple[str, str]) -> None:
    executor = MigrationExecutor(database)
    executor.migrate(list(targets) or executor.loader.graph.leaf_nodes())


@pytest.mark.sandbox(rows=60)
def test_rows_of_an_older_version_are_read_again_and_are_then_like_new_ones(
    sandbox: Sandbox, connect_to: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    connection = connect_to(sandbox)
    mirror(connection)
    fresh = snapshot(connection)
    counts = set(Term.objects.values_list("kind", "key", "value", "n"))
    try:
        migrate(("completions", "0002_text_index"))
        with database.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM completions_posting")
            of_old_kinds = sum(n for kind, _, _, n in counts if kind in ("metadata", "model", "flag"))
            assert cursor.fetchone() == (of_old_kinds,)
    finally:
        migrate()
    state = Mirror.objects.get()
    assert (state.change, state.derived) == (0, 0)
    held = columns.Store()
    check_columns(connection, held)  # as far as the old columns go
    monkeypatch.setattr(rederive, "AT_ONCE", 25)
    schedule.keep_columns()
    (operation,) = Operation.objects.filter(kind=rederive.KIND)
    drain(connection)
    operation.refresh_from_db()
    assert (operation.state, operation.result) == ("done", {"rows": 60})
    check_columns(connection, held)
    check_whole(connection)
    assert snapshot(connection) == fresh
    assert set(Term.objects.values_list("kind", "key", "value", "n")) == counts
    assert Mirror.objects.get().derived == columns.DERIVED
    schedule.keep_columns()
    assert Operation.objects.filter(kind=rederive.KIND).count() == 1


def test_reindex_reads_rows_again_at_a_persons_word(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    connection = factories.connection(slug="main")
    row = factories.make_completion(connection, metadata={"env": "prod"})
    broken = factories.make_completion(connection)
    Body.objects.filter(pk=broken.pk).update(raw=b"nothing that can be read")
    StoredCompletion.objects.filter(pk=row.pk).update(language=None)
    call_command("reindex", connection="main")
    row.refresh_from_db()
    assert row.language is not None
    check_whole(connection)
    assert Mirror.objects.get().derived == columns.DERIVED
    call_command("reindex", connection="main", begin=True)
    assert Operation.objects.live().get().kind == rederive.KIND
    with pytest.raises(CommandError, match="no connection"):
        call_command("reindex", connection="other")
