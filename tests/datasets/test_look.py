"""Looking inside a version: every row is reached, filters and searches are true, and pages stay cheap."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from datasets import look
from datasets.build import files
from datasets.look import Look, Place
from datasets.models import Dataset, DatasetVersion, Example, Part, Purpose
from portal.models import Connection, User
from tests import factories

SignIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db
SPLITS = ("train", "validation", "test")


@pytest.fixture
def source() -> Connection:
    return factories.connection("Library")


def text_of(n: int) -> str:
    return "Wörter über das Meer" if n % 97 == 5 else f"Say something about {n}"


def made(source: Connection, user: User, rows: int, splits: tuple[str, ...] = SPLITS) -> DatasetVersion:
    """A version that is ready, its parts one after the other in the file, its rows mixed by position."""
    dataset = Dataset.objects.create(name="Made", purpose=Purpose.SUPERVISED, owner=user)
    version: DatasetVersion = DatasetVersion.objects.create(
        dataset=dataset, number=1, state="ready", recipe={"purpose": "supervised"}, created_by=user
    )
    version.connections.set([source])
    version.file_name = f"look-{version.pk}.jsonl"
    version.path = f"datasets/{version.file_name}"
    held: dict[str, list[tuple[Example, bytes]]] = {name: [] for name in splits}
    for n in range(rows):
        messages = [
            {"role": "user", "content": text_of(n)},
            {"role": "assistant", "content": f"So it is {n}"},
        ]
        data = files.as_line({"messages": messages})
        split = splits[n % len(splits)] if n % 10 else splits[0]
        example = Example(
            version=version,
            position=n,
            source_key=f"library/row-{n:06d}",
            split=split,
            tokens=10 + n * 7 % 50,
            edited=n % 11 == 0,
            flags=" truncated " if n % 13 == 0 else "",
            doubts=3 if n % 13 == 0 else 0,
        )
        held[split].append((example, data))
    body, line, parts = bytearray(), 0, []
    for name in splits:
        begin, offset = line + 1, len(body)
        for example, data in held[name]:
            line += 1
            example.line, example.offset, example.length = line, len(body), len(data)
            body += data
        size = len(body) - offset
        parts.append(Part(name, begin, len(held[name]), offset, size, "0" * 64, f"{name}.jsonl"))
    Example.objects.bulk_create([example for name in splits for example, _ in held[name]], batch_size=2000)
    path = files.growing(version)
    path.write_bytes(body)
    version.sha256, _ = files.seal(path, len(body), [len(body)])
    files.publish(path, version.path)
    version.rows, version.size, version.splits = rows, len(body), [asdict(part) for part in parts]
    version.counts = {"selected": rows, "tokens": 1, "problems": {"truncated": rows // 13}, "left_out": {}}
    version.save()
    return version


def walked(version: DatasetVersion, seen: Look, **more: Any) -> Iterator[Example]:
    """Every row, page by page."""
    for _ in range(10_000):
        page = look.page(version, seen, **more)
        yield from page.examples
        if page.following is None:
            return
        seen = Look.of({**address(seen), "after": str(page.following)})
    raise AssertionError("it has no end")


def address(seen: Look) -> dict[str, str]:
    return dict(parse_qsl(seen.query().removeprefix("?")))


@pytest.mark.parametrize("splits", [SPLITS, ("train",)], ids=["three parts", "one part"])
def test_pages_go_through_the_file_line_by_line(source: Connection, builder: User, splits: Any) -> None:
    version = made(source, builder, 103, splits)
    assert [example.line for example in walked(version, Look())] == list(range(1, 104))


@pytest.mark.engines
@pytest.mark.parametrize("order", ["worst", "longest"])
def test_other_orders_reach_every_row_once(source: Connection, builder: User, order: str) -> None:
    version = made(source, builder, 103)
    found = list(walked(version, Look(order=order)))
    assert len({example.pk for example in found}) == 103
    ranks = [example.doubts if order == "worst" else example.tokens or 0 for example in found]
    assert ranks == sorted(ranks, reverse=True)


FILTERS: dict[str, tuple[dict[str, str], Callable[[Example], bool]]] = {
    "part": ({"split": "validation"}, lambda row: row.split == "validation"),
    "what was found": ({"flag": "truncated"}, lambda row: row.position % 13 == 0),
    "edited": ({"edited": "1"}, lambda row: row.position % 11 == 0),
    "tokens": ({"least": "20", "most": "30"}, lambda row: 20 <= (row.tokens or 0) <= 30),
    "several": ({"split": "train", "edited": "1"}, lambda row: row.split == "train" and row.edited),
    "half a code": ({"flag": "trunc"}, lambda row: False),
}


@pytest.mark.parametrize(("asked", "holds"), FILTERS.values(), ids=FILTERS)
def test_a_filter_shows_exactly_its_rows(
    source: Connection, builder: User, asked: dict[str, str], holds: Callable[[Example], bool]
) -> None:
    version = made(source, builder, 150)
    expected = {example.pk for example in version.examples.all() if holds(example)}
    seen = Look.of(asked)
    assert {example.pk for example in walked(version, seen)} == expected
    assert look.count(version, seen) == len(expected)


@pytest.mark.parametrize("words", ["Meer", "WÖRTER ÜBER", "über das"])
@pytest.mark.parametrize("seconds", [60.0, 0.0], ids=["in time", "out of time at once"])
def test_a_search_finds_every_row_however_often_it_stops(
    source: Connection, builder: User, words: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "SCANNED", 30)
    version = made(source, builder, 400)
    found = [example.position for example in walked(version, Look(words=words), seconds=seconds)]
    assert sorted(found) == [n for n in range(400) if n % 97 == 5]


def test_a_search_that_runs_out_of_time_says_where_to_go_on(
    source: Connection, builder: User, client_of: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "SCANNED", 30)
    version = made(source, builder, 100)
    page = look.page(version, Look(words="nowhere"), seconds=0)
    assert (page.examples, page.unfinished, page.looked) == ([], True, 30)


@pytest.mark.parametrize("words", ["messages", "role", "assistant"])
def test_words_of_the_format_are_no_text(source: Connection, builder: User, words: str) -> None:
    version = made(source, builder, 30)
    assert not list(walked(version, Look(words=words)))


def test_characters_written_as_escapes_are_found() -> None:
    line = json.dumps({"messages": [{"role": "user", "content": 'Größe "x"'}]}).encode()
    assert look.Matcher("größe")(line)
    assert look.Matcher('"X"')(line)
    assert not look.Matcher("u00f6")(line)


def test_a_state_survives_its_address() -> None:
    seen = Look("raw", "a&b=c ü", "test", "truncated", "", True, 3, 9, "worst", 7, 5, 2, Place(3, 8))
    client = Client()
    asked = client.get(f"/x{seen.query(after=seen.after, line=5, open=2)}").wsgi_request.GET
    assert Look.of(asked) == seen
    assert Look.of(client.get(f"/x{seen.query()}").wsgi_request.GET) == replace(
        seen, after=None, line=0, open=0
    )


def test_a_completion_leads_to_its_rows(source: Connection, builder: User) -> None:
    version = made(source, builder, 30)
    row = factories.make_completion(source)
    version.examples.filter(position=17).update(completion=row)
    assert [example.position for example in walked(version, Look(completion=row.pk))] == [17]


def test_a_version_of_20_000_rows_costs_as_few_queries_at_its_end_as_at_its_beginning(
    source: Connection, builder: User, client_of: SignIn
) -> None:
    version = made(source, builder, 20_000)
    client = client_of(builder)
    where = reverse("datasets:version", args=[version.dataset_id, 1])
    client.get(where)
    asked = {
        "first": "", "last": "?line=19985", "worst": "?order=worst", "filtered": "?flag=truncated&split=test",
        "searched": "?q=something+about+19999",
    }  # fmt: skip
    counts = {}
    for name, query in asked.items():
        with CaptureQueriesContext(database) as queries:
            answer = client.get(where + query)
        assert answer.context["rows"]
        counts[name] = len(queries)
    assert counts["last"] <= counts["first"] + 3  # where the line is; its part and the next ones
    assert max(counts.values()) <= counts["first"] + 2 + 20_000 // look.SCANNED + 3
    assert {name: count for name, count in counts.items() if name != "searched" and count > 40} == {}
    lines = [row.example.line for row in client.get(f"{where}?line=19985").context["rows"]]
    assert lines == list(range(19_985, 20_001))
