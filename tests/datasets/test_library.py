"""The grader library as people meet it: versions, and evaluations that take from it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from datasets import library
from datasets.evaluate import setup
from datasets.models import Evaluation, Grader, LibraryGrader, LibraryGraderVersion, Run
from portal import deletion
from portal.models import AuditEntry, Connection, User
from tests import factories
from tests.datasets.shelf import CLOSE, JUDGES, LIKE, evaluation, kept, toast_of
from tests.pages import text_of

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], Client]
HOSTILE = "<script>alert(1)</script>{% now 'Y' %}"


@pytest.fixture
def home(builder: User) -> Connection:
    return factories.connection("Home")


@pytest.mark.engines
def test_a_change_is_a_further_version_and_alters_none(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client, first = client_of(builder), kept(home)
    change = reverse("datasets:library_change_json", args=[first.grader_id])
    assert "this becomes v2" in text_of(client.get(change))
    typed = {"name": "Contains", "note": "Case does not matter", "since": "1"}
    fields = LIKE | {"operation": "ilike"}
    answer = client.post(change, typed | {"params": json.dumps(fields)})
    assert "This is v2 now" in toast_of(client, answer)
    versions = LibraryGraderVersion.objects.filter(grader=first.grader_id).order_by("number")
    assert [version.params["operation"] for version in versions] == ["like", "ilike"]
    page = client.get(answer["Location"])
    assert "From v1 to v2" in text_of(page)
    assert "<del>" in page.content.decode()
    assert "Case does not matter" in text_of(page)
    assert AuditEntry.objects.filter(verb="library_grader.changed").count() == 1

    stale = client.post(change, typed | {"params": json.dumps(LIKE)})
    assert stale.status_code == 422
    assert "Somebody made v2 meanwhile" in text_of(stale)
    same = client.post(change, typed | {"params": json.dumps(fields), "since": "2"})
    assert "Nothing was changed" in text_of(same)
    odder: tuple[dict[str, Any], ...] = ({"operation": ["eq"]}, {"input": {}}, {"reference": 10**400})
    odd = [json.dumps(LIKE | changed) for changed in odder]
    for broken in (
        *odd,
        "{",
        "[]",
        '{"operation": NaN}',
        json.dumps(LIKE | {"operation": "near"}),
        "[" * 5_000,
    ):
        refused = client.post(change, typed | {"params": broken, "since": "2"})
        assert refused.status_code == 422, broken
    assert versions.count() == 2


def test_graders_are_written_in_the_forms_of_their_kinds(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client = client_of(builder)
    menu = client.get(reverse("datasets:library_choose", args=[home.slug])).content.decode()
    addresses = set(re.findall(rf'href="({reverse("datasets:library_choose", args=[home.slug])}\w+/)"', menu))
    assert len(addresses) > 10
    for address in addresses:
        assert client.get(address).status_code == 200, address
    assert client.get(reverse("datasets:library_new", args=[home.slug, "of-tomorrow"])).status_code == 404

    new = reverse("datasets:library_new", args=[home.slug, "criteria"])
    shown = client.get(new).context["form"]
    typed = {f"g0-{name}": shown[name].value() or "" for name in shown.fields}
    assert client.post(new, typed).status_code == 422
    answer = client.post(new, typed | {"g0-connection": home.pk, "g0-model": "gpt-4o", "note": "As agreed"})
    assert "is in the library" in toast_of(client, answer)
    made = LibraryGraderVersion.objects.get()
    assert (made.kind, made.params["model"], made.note) == ("label_model", "gpt-4o", "As agreed")
    again = client.post(new, typed | {"g0-connection": home.pk, "g0-model": "gpt-4o"})
    assert "already" in text_of(again)

    change = reverse("datasets:library_change", args=[made.grader_id])
    changed = typed | {"g0-connection": home.pk, "g0-model": "gpt-4.1", "since": "1"}
    assert "This is v2 now" in toast_of(client, client.post(change, changed))
    assert "Somebody made v2 meanwhile" in text_of(client.post(change, changed))
    assert library.newest_of(made.grader).params == made.params | {"model": "gpt-4.1"}


def test_a_part_is_added_to_several_before_they_are_saved(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client = client_of(builder)
    new = reverse("datasets:library_new", args=[home.slug, "multi"])
    shown = client.get(new).context["form"]
    typed = {f"g0-{name}": shown[name].value() for name in shown.fields}
    for part in shown.parts:
        typed |= {f"{part.prefix}-{name}": part[name].value() for name in part.fields}
    page = client.post(new, typed | {"add": "g0:check"})
    assert page.status_code == 200
    assert len(page.context["form"].parts) == 3
    assert not LibraryGrader.objects.exists()
    client.post(new, typed)
    assert set(LibraryGraderVersion.objects.get().params["graders"]) == {"exact", "close"}


def test_a_name_is_one_per_library_and_can_change(builder: User, client_of: SignIn, home: Connection) -> None:
    client, first = client_of(builder), kept(home)
    kept(home, "Other")
    with pytest.raises(library.Refused):
        kept(home)
    change = reverse("datasets:library_change_json", args=[first.grader_id])
    typed = {"params": json.dumps(LIKE), "since": "1", "note": ""}
    assert "already" in text_of(client.post(change, typed | {"name": "Other"}))
    assert "It is called “Holds”" in toast_of(client, client.post(change, typed | {"name": " Holds "}))


@pytest.mark.engines
def test_the_list_finds_by_name_kind_and_state(builder: User, client_of: SignIn, home: Connection) -> None:
    client = client_of(builder)
    address = reverse("datasets:library", args=[home.slug])
    assert "No graders in this library yet" in text_of(client.get(address))
    assert client.get(reverse("datasets:libraries"))["Location"] == address
    kept(home, HOSTILE[:80])
    kept(home, "Close", kind="text_similarity", **CLOSE)
    gone = kept(home, "Old")
    library.archive(gone.grader, builder, archived=True)
    page = client.get(address)
    assert "<script>alert(1)" not in page.content.decode()
    assert "Close" in text_of(page)
    assert ">Old<" not in page.content.decode()
    assert ">Old<" in client.get(address, {"archived": "on"}).content.decode()
    found = text_of(client.get(address, {"kind": "text_similarity", "q": "clo"}))
    assert "Text similarity" in found
    assert "No grader is like this" in text_of(client.get(address, {"q": "nothing \x00 like it"}))


def test_the_list_asks_as_much_for_many_as_for_few(
    builder: User, client_of: SignIn, home: Connection, django_assert_max_num_queries: Any
) -> None:
    client = client_of(builder)
    for number in range(12):
        kept(home, f"Grader {number}")
    with django_assert_max_num_queries(22):
        assert client.get(reverse("datasets:library", args=[home.slug])).status_code == 200


def test_one_that_was_taken_is_archived_not_deleted(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client, first = client_of(builder), kept(home)
    draft = evaluation(home, builder)
    library.take(draft, [first], builder, most=6)
    page = reverse("datasets:library_grader", args=[first.grader_id])
    shown = text_of(client.get(page))
    assert "Tone of answers took v1" in shown
    assert "Delete" not in shown
    answer = client.post(reverse("datasets:library_delete", args=[first.grader_id]))
    assert "Archive it" in toast_of(client, answer)
    answer = client.post(reverse("datasets:library_archive", args=[first.grader_id]), {"archived": "1"})
    assert "archived" in toast_of(client, answer)
    assert draft.graders.get().taken_from == first
    assert "The libraries are empty" in text_of(client.get(reverse("datasets:library_take", args=[draft.pk])))
    client.post(reverse("datasets:library_archive", args=[first.grader_id]), {"archived": "0"})
    assert not LibraryGrader.objects.get().archived
    unused = kept(home, "Unused")
    client.post(reverse("datasets:library_delete", args=[unused.grader_id]))
    assert not LibraryGrader.objects.filter(pk=unused.grader_id).exists()


def test_readers_read_and_only_builders_change(
    reader: User, outsider: User, builder: User, client_of: SignIn, home: Connection
) -> None:
    first, draft = kept(home), evaluation(home, builder)
    one = [first.grader_id]
    reads = [
        reverse("datasets:library", args=[home.slug]),
        reverse("datasets:library_grader", args=one),
        reverse("datasets:library_export", args=[home.slug]),
        reverse("datasets:library_export_one", args=one),
        reverse("datasets:evaluation_graders_export", args=[draft.pk]),
    ]
    acts = [
        reverse("datasets:library_change_json", args=one),
        reverse("datasets:library_archive", args=one),
        reverse("datasets:library_delete", args=one),
        reverse("datasets:library_import", args=[home.slug]),
        reverse("datasets:library_take", args=[draft.pk]),
    ]
    for address in reads:
        assert client_of(reader).get(address).status_code == 200, address
        assert client_of(outsider).get(address).status_code == 404, address
    for address in acts:
        assert client_of(reader).post(address).status_code == 403, address
        assert client_of(outsider).post(address).status_code == 404, address
    assert acts[0] not in client_of(reader).get(reads[1]).content.decode()
    assert "No connection yet" in text_of(client_of(outsider).get(reverse("datasets:libraries")))
    assert LibraryGraderVersion.objects.count() == 1


def test_a_copy_goes_to_another_library(builder: User, client_of: SignIn, home: Connection) -> None:
    client, first = client_of(builder), kept(home)
    copy = reverse("datasets:library_copy", args=[first.grader_id])
    away = factories.connection("Away")
    assert "Judges are asked on" not in text_of(client.get(copy))
    answer = client.post(copy, {"to": away.pk, "name": "Contains"})
    assert "Copied to the library of Away" in toast_of(client, answer)
    made = LibraryGraderVersion.objects.get(grader__connection=away)
    assert (made.params, made.note) == (LIKE, "Copied from v1 in the library of another connection")
    assert "already" in text_of(client.post(copy, {"to": away.pk, "name": "Contains"}))
    assert client.post(copy, {"to": home.pk, "name": "Again"}).status_code == 422


def test_a_text_of_several_lines_is_changed_as_it_is(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client, first = client_of(builder), kept(home, reference="Dear Ada,\n\nyours")
    change = reverse("datasets:library_change", args=[first.grader_id])
    page = client.get(change)
    assert re.search(r"<textarea[^>]*>\s*Dear Ada,\n\nyours</textarea>", page.content.decode())
    shown = page.context["form"]
    typed = {f"g0-{name}": shown[name].value() for name in shown.fields} | {"since": "1"}
    sent = typed | {"g0-reference": "Dear Ada,\r\n\r\nyours"}
    assert "Nothing was changed" in text_of(client.post(change, sent))


@pytest.mark.engines
def test_an_evaluation_takes_copies_and_is_told_of_newer_ones(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client, first = client_of(builder), kept(home)
    close = kept(home, "Close", kind="text_similarity", **CLOSE)
    draft = evaluation(home, builder)
    address = reverse("datasets:library_take", args=[draft.pk])
    assert "Choose at least one" in text_of(client.post(address, {"version": "x"}))
    answer = client.post(address, {"version": [first.pk, close.pk]})
    assert answer["Location"] == reverse("datasets:evaluate", args=[draft.pk, "graders"])
    assert [(each.name, each.taken_from) for each in draft.graders.all()] == [
        ("Close", close),
        ("Contains", first),
    ]
    client.post(address, {"version": [first.pk]})
    assert draft.graders.filter(name="Contains 2", taken_from=first).exists()
    assert client.post(address, {"version": [first.pk, close.pk]}).status_code == 302
    full = client.post(address, {"version": [first.pk, close.pk]})
    said = "2 are chosen. An evaluation has at most 6 graders, and this one has 5: 1 more fits."
    assert said in text_of(full)
    assert full.text.count(" checked>") == 2  # what was ticked still is
    assert draft.graders.count() == 5

    library.change(first.grader, LIKE | {"operation": "eq"}, "", builder, since=1)
    page = text_of(client.get(reverse("datasets:evaluation", args=[draft.pk])))
    assert "from the library: Contains v1" in page
    assert "v2 is newer" in page
    old = draft.graders.filter(params=LIKE).first()
    assert old is not None
    renew = reverse("datasets:library_renew", args=[draft.pk, old.pk])
    assert "is v2 of the library now" in toast_of(client, client.post(renew))
    old.refresh_from_db()
    assert old.taken_from is not None
    assert (old.params["operation"], old.taken_from.number) == ("eq", 2)
    Run.objects.create(evaluation=draft, number=1)
    assert "has run already" in toast_of(client, client.post(renew))


def test_the_wizard_keeps_what_was_typed_and_leads_to_the_library(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client, draft, first = client_of(builder), evaluation(home, builder), kept(home)
    told = {"key": "stored", "kind": "stored", "label": "Stored answers"}
    steps = ["data", "reference", "targets"]
    Evaluation.objects.filter(pk=draft.pk).update(setup={"steps": steps, "targets": [told]})
    step = reverse("datasets:evaluate", args=[draft.pk, "graders"])
    typed = {"g0-kind": "string_check", "g0-name": "Mine", **{f"g0-{name}": LIKE[name] for name in LIKE}}
    answer = client.post(step, typed | {"library": "1"})
    assert answer["Location"] == reverse("datasets:library_take", args=[draft.pk])
    answer = client.post(answer["Location"], {"version": first.pk})
    page = client.get(answer["Location"]).content.decode()
    assert 'value="Mine"' in page
    assert 'value="Contains"' in page
    assert list(draft.graders.values_list("name", "taken_from")) == [("Mine", None), ("Contains", first.pk)]
    client.post(
        reverse("datasets:library_import", args=[home.slug]),
        {"text": JUDGES + "    - {type: contains-any, value: [a, b]}", "judge": home.pk, "add": "1"},
    )
    more = [library.newest_of(each).pk for each in LibraryGrader.objects.exclude(pk=first.grader_id)]
    taken = client.post(reverse("datasets:library_take", args=[draft.pk]), {"version": more})
    page = client.get(taken["Location"]).content.decode()
    assert "max(text_1, text_2)" in page
    assert "Is short" in page


def test_what_an_evaluation_cannot_take_says_why(builder: User, client_of: SignIn, home: Connection) -> None:
    first = kept(home)
    bare = evaluation(home, builder, reference="")
    address = reverse("datasets:library_take", args=[bare.pk])
    assert "It needs a reference" in text_of(client_of(builder).get(address))
    assert "It needs a reference" in text_of(client_of(builder).post(address, {"version": first.pk}))
    assert not bare.graders.exists()
    Run.objects.create(evaluation=bare, number=1)
    assert client_of(builder).get(address)["Location"] == reverse("datasets:evaluation", args=[bare.pk])
    with pytest.raises(library.Refused):
        library.take(bare, [kept(home, "Fine", reference="x")], builder, most=6)


def test_ctrl_k_leads_to_graders(builder: User, outsider: User, client_of: SignIn, home: Connection) -> None:
    first = kept(home, "Names the product")
    address = reverse("datasets:library_grader", args=[first.grader_id])

    def offered(person: User, typed: str) -> str:
        asked = {"typed": typed}
        answer = client_of(person).get(reverse("completions:palette"), asked, headers={"HX-Request": "true"})
        return answer.content.decode()

    assert address in offered(builder, "product")
    assert address not in offered(outsider, "product")
    assert reverse("datasets:libraries") in offered(builder, "grader")


def test_a_library_goes_with_its_connection_and_says_so(builder: User, home: Connection) -> None:
    away = factories.connection("Away")
    first = kept(away)
    draft = evaluation(home, builder)
    library.take(draft, [first], builder, most=6)
    assert ("graders of its library", 1) in deletion.counts(away)
    Connection.objects.filter(pk=away.pk).delete()
    assert draft.graders.get().taken_from is None
    assert not LibraryGraderVersion.objects.exists()


def test_graders_set_again_keep_where_they_came_from(builder: User, home: Connection) -> None:
    first, draft = kept(home), evaluation(home, builder)
    library.take(draft, [first], builder, most=6)
    setup.set_graders(draft, [{"name": "Contains", "kind": "string_check", "params": LIKE}])
    assert draft.graders.get().taken_from == first
    setup.set_graders(draft, [{"name": "Contains", "kind": "text_similarity", "params": CLOSE}])
    assert draft.graders.get().taken_from is None


def test_a_grader_of_an_evaluation_is_kept_and_kept_again_as_a_version(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client, draft = client_of(builder), evaluation(home, builder)
    mine = Grader.objects.create(evaluation=draft, position=0, name="Mine", kind="string_check", params=LIKE)
    keep = reverse("datasets:library_keep", args=[draft.pk, mine.pk])
    assert "Save to library" in text_of(client.get(reverse("datasets:evaluation", args=[draft.pk])))
    assert "From the evaluation Tone of answers" in client.get(keep).content.decode()
    answer = client.post(keep, {"to": home.pk, "name": "Mine", "note": "First"})
    assert "“Mine” v1 is in the library" in toast_of(client, answer)
    mine.refresh_from_db()
    assert mine.taken_from.number == 1
    Grader.objects.filter(pk=mine.pk).update(params=LIKE | {"operation": "eq"})
    assert "changed here" in text_of(client.get(reverse("datasets:evaluation", args=[draft.pk])))
    client.post(keep, {"to": home.pk, "name": "Mine", "note": "Stricter"})
    client.post(keep, {"to": home.pk, "name": "Mine", "note": "Stricter"})  # the same click twice
    assert list(LibraryGraderVersion.objects.values_list("number", "note")) == [
        (2, "Stricter"),
        (1, "First"),
    ]
    kept(home, "Close", kind="text_similarity", **CLOSE)
    other = client.post(keep, {"to": home.pk, "name": "Close", "note": ""})
    assert "of another kind" in text_of(other)
