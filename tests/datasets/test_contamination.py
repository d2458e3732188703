"""Which rows of one file are known from another, told apart by how they are known."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from datasets import contamination, contamination_run
from datasets.comparing_files import Comparison, compare
from datasets.contamination import Side, said
from datasets.models import DatasetVersion
from datasets.recipe import Recipe, Split
from portal.models import Connection, Grant, Operation, User
from tests import factories
from tests.datasets import material

SignIn = Callable[[User], Client]

pytestmark = pytest.mark.django_db(transaction=True)
LONG = " ".join(f"word{n}" for n in range(60))
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def source() -> Connection:
    return factories.connection("Library")


def asked(source: Connection, *texts: str, answer: str | None = None) -> list[Any]:
    return [material.stored(source, question=text, answer=answer) for text in texts]


@pytest.fixture
def two(builder: User, source: Connection) -> tuple[DatasetVersion, DatasetVersion]:
    """A version of fourteen rows, and one of twelve of which four are known, each in another way."""
    same, prompt, near = "What is a fjord?", "What is a loom?", f"{LONG} one more"
    fresh = [f"What is thing {n} of the second kind?" for n in range(8)]
    first = material.built(
        builder,
        [
            *asked(source, same, answer="A long inlet."),
            *asked(source, prompt, near),
            *begun(source, "And then?"),
            *material.many(source, 10),
        ],
    )
    second = material.built(
        builder,
        [
            *asked(source, same, answer="A long inlet."),
            *asked(source, prompt, answer="It weaves."),
            *begun(source, "And before?"),
            *asked(source, f"{LONG} two more", answer=None),
            *asked(source, *fresh),
        ],
    )
    return first, second


def begun(source: Connection, last: str) -> list[Any]:
    messages = [
        {"role": "user", "content": "Tell me of the sea."},
        {"role": "assistant", "content": "It is wide."},
        {"role": "user", "content": last},
    ]
    return [material.stored(source, messages=messages, answer=f"Nothing {last}")]


def side(version: DatasetVersion, part: str = "") -> Side:
    made = Side.of(version, part)
    assert made is not None
    return made


def url(version: DatasetVersion, **asked: Any) -> str:
    where = reverse("datasets:contamination", args=[version.dataset_id, version.number])
    return where + "?" + "&".join(f"{name}={value}" for name, value in asked.items())


def test_each_row_counts_once_by_the_strongest_of_what_is_shared(
    two: tuple[DatasetVersion, DatasetVersion],
) -> None:
    first, second = two
    found = compare(side(second), side(first))
    assert found.counts == {"line": 1, "prompt": 1, "conversation": 1, "near": 1}
    assert (found.rows, found.against, found.known) == (12, 14, 4)
    assert [pair.kind for pair in found.pairs] == ["line", "prompt", "conversation", "near"]
    assert 0.8 <= found.pairs[3].share < 1
    assert contamination.Found.read(json.loads(json.dumps(found.as_data()))) == found


def test_a_file_knows_every_row_of_itself_and_nothing_of_a_strange_one(
    builder: User, source: Connection, two: tuple[DatasetVersion, DatasetVersion]
) -> None:
    first, _ = two
    assert compare(side(first), side(first)).counts["line"] == 14
    words = [" ".join(f"other{n}x{m}" for m in range(9)) for n in range(10)]
    strange = material.built(builder, asked(source, *words))
    assert compare(side(strange), side(first)).known == 0


def test_what_is_known_does_not_depend_on_the_pieces_it_is_compared_in(
    two: tuple[DatasetVersion, DatasetVersion], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    whole = compare(side(second), side(first))
    monkeypatch.setattr("datasets.comparing_files.CHUNK", 3)
    comparison = Comparison(side(second), side(first), tmp_path / "c")
    while not comparison.is_done:
        comparison.go_on()
        comparison = Comparison(side(second), side(first), tmp_path / "c", comparison.place)
    assert comparison.found() == whole
    (tmp_path / "c" / "mine").write_bytes(b"")
    lost = Comparison(side(second), side(first), tmp_path / "c", comparison.place)
    assert lost.place.mine == 0
    lost.discard()
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("line", "asks", "answers"),
    [
        ({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]}, "Q", ""),
        ({"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}, "Q", "A"),
        ({"item": {"input": [{"role": "user", "content": "Q"}], "output": "A"}}, "Q", "A"),
        (
            {
                "input": {"messages": [{"role": "user", "content": "Q"}]},
                "preferred_output": [{"role": "assistant", "content": "A"}],
                "non_preferred_output": [{"role": "assistant", "content": "B"}],
            },
            "Q",
            "A",
        ),
        ({}, "", ""),
        ({"messages": "none"}, "", ""),
    ],
)
def test_files_of_every_purpose_say_what_they_ask(line: dict[str, Any], asks: str, answers: str) -> None:
    says = said(json.dumps(line).encode())
    assert (says.asked, says.answered) == (asks, answers)


def test_prompts_are_the_same_whatever_the_purpose_and_whoever_instructs() -> None:
    made = [
        {"messages": [{"role": role, "content": "Be brief."}, {"role": "user", "content": "Q"}, *more]}
        for role, more in (("system", [{"role": "assistant", "content": "A"}]), ("developer", []))
    ]
    first, second = (said(json.dumps(line).encode()) for line in made)
    assert first.prompt == second.prompt
    assert first.beginning == second.beginning


def test_splits_of_a_version_share_nothing(builder: User, source: Connection, client_of: SignIn) -> None:
    rows = [*asked(source, *["What is a fjord?"] * 6), *material.many(source, 30)]
    version = material.built(builder, rows, Recipe(split=Split(validation=20, test=20)))
    shared = contamination.between_splits(version)
    assert shared is not None
    assert shared.is_clean
    assert compare(side(version, "test"), side(version, "train")).counts["prompt"] == 0
    answer = client_of(builder).get(url(version))
    assert (answer.context["part"], answer.context["with_part"]) == ("test", "train")
    assert answer.context["found"].rows == side(version, "test").rows


@pytest.mark.engines
def test_rows_that_two_splits_share_are_told(builder: User, source: Connection) -> None:
    rows = material.many(source, 30)
    version = material.built(builder, rows, Recipe(split=Split(test=20)))
    trained = version.examples.filter(split="train")[0]
    version.examples.filter(split="test", line=version.rows).update(prompt_key=trained.prompt_key)
    shared = contamination.between_splits(version)
    assert shared is not None
    assert (shared.lines, shared.prompts, shared.conversations) == (0, 1, 0)
    assert not shared.is_clean


def test_the_page_shows_counts_and_the_rows_side_by_side(
    two: tuple[DatasetVersion, DatasetVersion], reader: User, client_of: SignIn
) -> None:
    first, second = two
    answer = client_of(reader).get(url(second, **{"with": first.pk}))
    assert answer.context["found"].known == 4
    mine, theirs = answer.context["pairs"][1]["rows"]
    assert "What is a loom?" in mine.text
    assert "What is a loom?" in theirs.text
    assert "It weaves." in mine.text
    assert "It weaves." not in theirs.text
    assert b"4 of 12 rows are known" in answer.content


def test_text_of_rows_is_text(builder: User, source: Connection, client_of: SignIn) -> None:
    rows = [*asked(source, EVIL, answer=EVIL), *material.many(source, 10)]
    one, other = material.built(builder, rows), material.built(builder, rows)
    answer = client_of(builder).get(url(one, **{"with": other.pk}))
    assert answer.context["found"].counts["line"] == 11
    assert EVIL.encode() not in answer.content
    second = client_of(builder).get(url(one, **{"with": other.pk}, after=10))
    assert len(second.context["pairs"]) == 1


def test_both_versions_must_be_readable(
    two: tuple[DatasetVersion, DatasetVersion], builder: User, source: Connection, client_of: SignIn
) -> None:
    first, _ = two
    elsewhere = factories.connection("Secret")
    hidden = material.built(builder, material.many(elsewhere, 10))
    limited = factories.user("limited")
    Grant.objects.create(user=limited, connection=source, role="reader")
    client = client_of(limited)
    assert client.get(url(first, **{"with": first.pk})).status_code == 200
    assert client.get(url(first, **{"with": hidden.pk})).status_code == 404
    assert client.get(url(hidden, **{"with": first.pk})).status_code == 404
    assert hidden not in client.get(url(first)).context["offered"]


@pytest.mark.parametrize("wanted", ["x", "-1", "9" * 30, "0"])
def test_nonsense_in_the_address_finds_nothing(
    two: tuple[DatasetVersion, DatasetVersion], reader: User, client_of: SignIn, wanted: str
) -> None:
    assert client_of(reader).get(url(two[0], **{"with": wanted})).status_code == 404


def test_the_same_rows_are_not_compared_with_themselves(
    two: tuple[DatasetVersion, DatasetVersion], reader: User, client_of: SignIn
) -> None:
    answer = client_of(reader).get(url(two[0]))
    assert "found" not in answer.context
    assert b"Nothing to compare" in answer.content


@pytest.mark.engines
def test_many_rows_are_compared_in_the_background_and_go_on_after_a_crash(
    two: tuple[DatasetVersion, DatasetVersion],
    builder: User,
    reader: User,
    client_of: SignIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = two
    monkeypatch.setattr(contamination_run, "AT_ONCE", 5)
    monkeypatch.setattr("datasets.comparing_files.CHUNK", 5)
    client, where = client_of(builder), url(second, **{"with": first.pk})
    assert client.get(where).context["found"] is None
    assert b"Compare them" in client.get(where).content
    assert b"Compare them" not in client_of(reader).get(where).content
    client.post(where)
    client.post(where)
    operation = Operation.objects.get(kind=contamination_run.KIND)
    falls = iter([None, RuntimeError("the worker falls over")])

    def fall(_: str) -> None:
        error = next(falls, None)
        if error is not None:
            raise error

    monkeypatch.setattr(contamination_run, "crashpoint", fall)
    material.step(contamination_run.KIND)
    material.drain(kinds=[contamination_run.KIND])
    operation.refresh_from_db()
    assert operation.state == Operation.State.DONE
    assert client.get(where).context["found"].counts == {
        "line": 1,
        "prompt": 1,
        "conversation": 1,
        "near": 1,
    }
    assert client_of(reader).get(where).context["found"].known == 4
    assert not contamination_run._folder(operation).exists()
