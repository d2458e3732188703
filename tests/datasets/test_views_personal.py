"""The page on which one looks at personal data before anything is replaced."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from completions.conversation import parse
from datasets import distill, personal_scan
from datasets.build import build, files
from datasets.models import DatasetVersion
from datasets.recipe import Personal
from portal.models import Connection, Operation, User
from tests import factories
from tests.datasets import material

SignIn = Callable[[User], Client]

pytestmark = pytest.mark.django_db(transaction=True)
EVIL = '"><script>alert(1)</script>'


@pytest.fixture
def source() -> Connection:
    return factories.connection("Library")


@pytest.fixture
def version(builder: User, source: Connection) -> DatasetVersion:
    """Twelve rows: an address in six of them, twice in one, another one in one, and a key."""
    rows = [material.stored(source, question=f"I am ada@example.com, {n}") for n in range(5)]
    rows.append(material.stored(source, question="Ada@example.com, again ADA@example.com"))
    rows.append(material.stored(source, answer="Write to bob@example.com or use AKIAIOSFODNN7EXAMPLE"))
    rows.append(material.stored(source, question=f"{EVIL} K-123456"))
    return material.draft(builder, [*rows, *material.many(source, 4)])


def url(version: DatasetVersion) -> str:
    return reverse("datasets:personal", args=[version.pk])


def counted(answer: object) -> dict[str, tuple[int, int, list[tuple[str | None, int, int]]]]:
    return {
        kind.code: (
            kind.times,
            kind.rows,
            [(seen.text and seen.text.lower(), seen.value.times, seen.value.rows) for seen in kind.values],
        )
        for kind in answer.context["table"]  # type: ignore[attr-defined]  # of a test's answer
    }


def test_every_kind_is_counted_with_its_values(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    answer = client_of(builder).get(url(version))
    found = counted(answer)
    assert found["email"] == (8, 7, [("ada@example.com", 7, 6), ("bob@example.com", 1, 1)])
    assert found["secret"] == (1, 1, [("akiaiosfodnn7example", 1, 1)])
    assert found["iban"] == (0, 0, [])
    assert answer.context["whole"]
    assert b"AWS access key" in answer.content
    assert answer.content.count(b"[EMAIL_1]") == 1


def test_values_lead_to_their_completions(version: DatasetVersion, builder: User, client_of: SignIn) -> None:
    table = client_of(builder).get(url(version)).context["table"]
    [bob] = [seen for kind in table for seen in kind.values if seen.text == "bob@example.com"]
    row = version.connections.get().completions.get(answer_preview__contains="bob@")
    assert bob.links == (row.get_absolute_url(),)


def test_patterns_are_tried_and_shown_as_text(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    typed = {
        "try": "1",
        "name": [EVIL, "Number"],
        "expression": ['"><scr[a-z]+', r"K-([0-9]+)"],
        "kind": ["ip"],
    }
    answer = client_of(builder).post(url(version), typed)
    found = counted(answer)
    assert found["Number"] == (1, 1, [("123456", 1, 1)])
    assert found[EVIL] == (1, 1, [('"><script', 1, 1)])
    assert b"<script>alert" not in answer.content
    assert answer.context["form"].kinds == ("ip",)
    assert distill.recipe_of(version).personal == Personal()


def test_a_pattern_with_a_mistake_says_so_and_saves_nothing(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    typed = {"save": "1", "name": ["Number"], "expression": ["(K-"], "kind": ["email"]}
    answer = client_of(builder).post(url(version), typed)
    assert answer.status_code == 422
    assert "never closed" in answer.content.decode()
    assert "email" in answer.context["form"].kinds
    version.refresh_from_db()
    assert distill.recipe_of(version).personal == Personal()


def test_the_choices_become_part_of_the_recipe_and_of_the_file(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    typed = {
        "save": "1",
        "kind": ["email"],
        "name": ["Number", ""],
        "expression": ["K-[0-9]+", ""],
        "do": "replace",
    }
    answer = client_of(builder).post(url(version), typed)
    assert answer["Location"] == reverse("datasets:distill", args=[version.pk, "data"])
    version.refresh_from_db()
    assert distill.recipe_of(version).personal == Personal(("email",), (("Number", "K-[0-9]+"),))
    build.begin(version, builder)
    material.drain(kinds=[build.KIND])
    version.refresh_from_db()
    with files.open_file(version) as file:
        text = file.read().decode()
    assert "example.com" not in text.lower()
    assert "[EMAIL_1], again [EMAIL_1]" in text
    assert "[NUMBER_1]" in text
    assert "AKIAIOSFODNN7EXAMPLE" in text
    assert version.counts["personal"] == {"email": 8, "Number": 1}
    page = client_of(builder).get(reverse("datasets:distill", args=[version.pk, "check"])).content.decode()
    assert "8 e-mail addresses, 1 of “Number”" in page


def test_a_version_that_is_built_keeps_its_recipe(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    built = material.built(builder, material.many(source, 12))
    answer = client_of(builder).post(url(built), {"save": "1", "kind": ["email"], "do": "leave_out"})
    following = DatasetVersion.objects.get(number=2)
    assert answer["Location"] == reverse("datasets:distill", args=[following.pk, "data"])
    built.refresh_from_db()
    assert distill.recipe_of(built).personal == Personal()
    assert distill.recipe_of(following).personal == Personal(("email",), do="leave_out")


@pytest.mark.engines
def test_all_rows_are_looked_through_once_and_go_on_after_a_crash(
    version: DatasetVersion, builder: User, client_of: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_scan, "SAMPLE", 3)
    monkeypatch.setattr(personal_scan, "CHUNK", 5)
    client = client_of(builder)
    assert not client.get(url(version)).context["whole"]
    typed = {"all": "1", "name": ["Number"], "expression": ["K-[0-9]+"]}
    there = client.post(url(version), typed)["Location"]
    assert client.post(url(version), typed)["Location"] == there
    falls = iter([None, RuntimeError("the worker falls over")])

    def fall(_: str) -> None:
        error = next(falls, None)
        if error is not None:
            raise error

    monkeypatch.setattr(personal_scan, "crashpoint", fall)
    assert material.step(personal_scan.KIND).cursor["position"] == 5
    material.drain(kinds=[personal_scan.KIND])
    operation = Operation.objects.get(kind=personal_scan.KIND)
    assert operation.state == Operation.State.DONE
    assert "example.com" not in str((operation.cursor, operation.result))
    answer = client.get(there)
    assert answer.context["whole"]
    found = counted(answer)
    assert found["email"] == (8, 7, [("ada@example.com", 7, 6), ("bob@example.com", 1, 1)])
    assert found["Number"][:2] == (1, 1)


def test_what_is_deleted_is_not_shown_any_more(
    version: DatasetVersion, builder: User, client_of: SignIn
) -> None:
    personal_scan.begin(version, (), builder)
    material.drain(kinds=[personal_scan.KIND])
    version.connections.get().completions.filter(answer_preview__contains="bob@").delete()
    answer = client_of(builder).get(url(version))
    assert counted(answer)["email"][2] == [("ada@example.com", 7, 6), (None, 1, 1)]
    assert b"bob@example.com" not in answer.content


def test_who_may_not_act_on_every_source_sees_none_of_it(
    version: DatasetVersion, reader: User, reviewer: User, client_of: SignIn
) -> None:
    for person in (reader, reviewer):
        answer = client_of(person).get(url(version))
        assert answer.status_code == 403
        assert b"example.com" not in answer.content


def test_the_tally_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal_scan, "KEPT", 2)
    tally, scanner = personal_scan.Tally(), personal_scan.scanner_for(())
    for number, name in enumerate(["a", "b", "c", "a", "b", "a"]):
        message = {"role": "user", "content": f"{name}@example.com"}
        tally.add(number, scanner.hits(parse({"choices": []}, [message])))
    tally.forget()
    kept = personal_scan.Tally.read(tally.as_data())
    assert [value.times for _, value in personal_scan.most(kept.kinds["email"].values, 9)] == [3, 2]
    assert (kept.kinds["email"].times, kept.kinds["email"].whole) == (6, False)
