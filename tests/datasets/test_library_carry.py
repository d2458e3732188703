"""Graders into a library and out of it, and between libraries."""

import json
import re
from collections.abc import Callable
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from datasets import grader_forms, library
from datasets.evaluate import carry_reading, ready_made
from datasets.evaluate.carry import Carried
from datasets.models import LibraryGrader, LibraryGraderVersion
from portal.models import AuditEntry, Connection, Role, User
from tests import factories
from tests.datasets.shelf import CLOSE, JUDGES, TEXTS, evaluation, kept, toast_of
from tests.pages import text_of

pytestmark = pytest.mark.django_db

SignIn = Callable[[User], Client]


@pytest.fixture
def home(builder: User) -> Connection:
    return factories.connection("Home")


CONFIGURATION = """
description: Capitals <b>of</b> Europe
defaultTest:
  assert:
    - {type: contains, value: "{{ expected }}", metric: "<script>alert(1)</script>"}
    - {type: icontains, value: "{{ expected }}"}
    - {type: javascript, value: "output.length"}
    - {type: regex, value: "(?=a)"}
"""


def test_an_import_is_shown_line_by_line_before_anything_is_saved(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client = client_of(builder)
    address = reverse("datasets:library_import", args=[home.slug])
    assert "Paste it here" in text_of(client.get(address))
    looked = client.post(address, {"text": CONFIGURATION})
    page = text_of(looked)
    assert "2 graders can be added, 2 lines stay behind" in page
    assert "JavaScript is not run here" in page
    assert "no expression of RE2" in page
    assert "<script>alert(1)" not in looked.content.decode()
    assert not LibraryGrader.objects.exists()
    text = unescape(re.search(r'<textarea name="text".*?>(.*?)</textarea>', looked.content.decode(), re.S)[1])  # type: ignore[index]
    assert text.strip() == CONFIGURATION.strip()
    answer = client.post(address, {"text": text, "add": "1"})
    assert "2 graders added" in toast_of(client, answer)
    assert set(LibraryGrader.objects.values_list("name", flat=True)) == {
        "<script>alert(1)</script>",
        "icontains: {{ expected }}",
    }
    assert {version.note for version in LibraryGraderVersion.objects.all()} == {
        "Imported from Promptfoo: Capitals <b>of</b> Europe"
    }
    assert "0 graders added" in toast_of(client, client.post(address, {"text": text, "add": "1"}))
    again = text_of(client.post(address, {"text": text}))
    assert "in the library is the same" in again


def test_more_graders_than_an_evaluation_has_are_carried_and_the_limits_told(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client = client_of(builder)
    plain = {"type": "string_check", "input": "{{ sample.output_text }}", "operation": "eq"}
    every: list[dict[str, object]] = [{**plain, "name": f"Is {n}", "reference": str(n)} for n in range(40)]
    parts = {f"part_{n}": each for n, each in enumerate(every[:9])}
    every.append({"type": "multi", "name": "Nine", "graders": parts, "calculate_output": "part_1"})
    address = reverse("datasets:library_import", args=[home.slug])
    told = {"text": json.dumps({"name": "Much", "testing_criteria": every})}
    page = text_of(client.post(address, told))
    assert "40 graders can be added, 1 line stays behind" in page
    assert "an evaluation has at most 6 graders" in page
    assert "It holds more than 8 graders." in page
    assert "40 graders added" in toast_of(client, client.post(address, told | {"add": "1"}))
    draft = evaluation(home, builder)
    take = reverse("datasets:library_take", args=[draft.pk])
    chosen = list(LibraryGraderVersion.objects.values_list("pk", flat=True))
    refused = client.post(take, {"version": chosen})
    assert "40 are chosen. An evaluation has at most 6 graders, and this one has none" in text_of(refused)
    assert refused.text.count(" checked>") == 40  # some can be unticked now
    assert not draft.graders.exists()


def test_judges_of_an_import_are_asked_where_and_as_told(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client = client_of(builder)
    address = reverse("datasets:library_import", args=[home.slug])
    page = text_of(client.post(address, {"text": JUDGES, "judge": home.pk}))
    assert "1 grader can be added, 2 lines stay behind" in page
    assert page.count("Who judges?") == 2
    told = {"text": JUDGES, "judge": home.pk, "model": "gpt-4.1", "embeddings": "small", "add": "1"}
    assert "3 graders added" in toast_of(client, client.post(address, told))
    made = {
        version.grader.name: (version.params["connection"], version.params["model"])
        for version in LibraryGraderVersion.objects.all()
    }
    assert made == {"Kind": (home.pk, "gpt-4.1"), "Near": (home.pk, "small"), "Short": (home.pk, "gpt-4.1")}


def test_a_copy_of_a_judge_asks_where_it_is_told_to(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client, away = client_of(builder), factories.connection("Away")
    client.post(
        reverse("datasets:library_import", args=[home.slug]), {"text": JUDGES, "judge": home.pk, "add": "1"}
    )
    short = LibraryGrader.objects.get(name="Short")
    copy = reverse("datasets:library_copy", args=[short.pk])
    assert "Judges are asked on" in text_of(client.get(copy))
    assert client.post(copy, {"to": away.pk, "name": "Short"}).status_code == 422
    client.post(copy, {"to": away.pk, "name": "Short", "judge": away.pk, "model": "llama"})
    made = library.newest_of(LibraryGrader.objects.get(connection=away))
    assert (made.params["connection"], made.params["model"]) == (away.pk, "llama")
    person = factories.user("narrow")
    factories.grant(person, Role.BUILDER, home)
    draft = evaluation(home, person)
    with pytest.raises(library.Refused, match="you may not ask"):
        library.take(draft, [made], person, most=6)


@pytest.mark.engines
def test_a_file_is_taken_as_well_and_a_wrong_one_is_refused(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client = client_of(builder)
    address = reverse("datasets:library_import", args=[home.slug])
    criterion = {"type": "string_check", "name": "Exact \x00", **TEXTS, "operation": "eq"}
    definition = json.dumps({"name": "My eval", "testing_criteria": [criterion] * 2}).encode()
    page = client.post(address, {"file": SimpleUploadedFile("eval.json", b"\xef\xbb\xbf" + definition)})
    assert "1 grader can be added" in text_of(page)
    assert "The same as Criterion 1" in text_of(page)
    for content, said in (
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b" " * (carry_reading.LARGEST + 1), "Divide it"),
        (b"{}", "It holds no graders"),
    ):
        refused = client.post(address, {"file": SimpleUploadedFile("eval.json", content)})
        assert refused.status_code == 422
        assert said in text_of(refused)
    assert "There is nothing in it" in text_of(client.post(address, {"text": ""}))


def test_an_export_says_what_stays_behind_and_comes_back_as_it_was(
    builder: User, client_of: SignIn, home: Connection
) -> None:
    client = client_of(builder)
    kept(home)
    kept(home, "Close", kind="text_similarity", **CLOSE)
    for name, check, value in (("Ends", "ends", "."), ("Discreet", "no_personal_data", "")):
        library.add(home, name, "check", {"input": TEXTS["input"], "check": check, "value": value}, builder)
    address = reverse("datasets:library_export", args=[home.slug])
    for wanted, carried in (("openai", ["Close", "Contains", "Ends"]), ("promptfoo", ["Contains"])):
        page = text_of(client.get(address, {"format": wanted}))
        assert "Left out" in page
        assert f"Download {len(carried)} grader" in page
        file = client.get(address, {"format": wanted, "download": "1"})
        assert file["Content-Disposition"].startswith(f'attachment; filename="home-{wanted}.')
        found = [line.found for line in carry_reading.read(file.content.decode()).lines]
        assert [each.name for each in found if isinstance(each, Carried)] == carried
    assert AuditEntry.objects.filter(verb="graders.exported").count() == 2
    assert client.get(address, {"format": "of-tomorrow"}).status_code == 404
    away = factories.connection("Away")
    back = reverse("datasets:library_import", args=[away.slug])
    client.post(back, {"text": client.get(address, {"download": "1"}).content.decode(), "add": "1"})
    assert set(
        LibraryGraderVersion.objects.filter(grader__connection=away).values_list("kind", flat=True)
    ) == {
        "check",
        "string_check",
        "text_similarity",
    }


@pytest.mark.parametrize("wanted", ["openai", "promptfoo"])
def test_whatever_goes_out_is_there_already_when_it_comes_back(
    builder: User, client_of: SignIn, home: Connection, wanted: str
) -> None:
    client = client_of(builder)
    for start in (start.key for group in ready_made.GROUPS for start in group.starts):
        begun = ready_made.begin if ready_made.makes(start) else grader_forms.first
        made = begun(start, has_reference=True)
        params = library.asking(made["kind"], made["params"], home.pk, "gpt-4o", "vectors")
        library.add(home, f"{made['name']} ({start})", made["kind"], params, builder)
    told = {"format": wanted, "download": "1"}
    file = client.get(reverse("datasets:library_export", args=[home.slug]), told).content.decode()
    read = {"text": file, "judge": home.pk, "model": "gpt-4o", "embeddings": "vectors"}
    page = client.post(reverse("datasets:library_import", args=[home.slug]), read)
    lines = page.context["lines"]
    assert len(lines) > 5
    assert not [line.where for line in lines if line.adds or line.reason]


def test_a_judge_on_a_connection_of_others_is_not_named(
    client_of: SignIn, builder: User, home: Connection
) -> None:
    near = TEXTS | {"evaluation_metric": "cosine", "pass_threshold": 0.8, "model": "small"}
    secret = factories.connection("Secret place")
    version = library.add(home, "Near", "text_similarity", near | {"connection": secret.pk}, None)
    person = factories.user("narrow")
    factories.grant(person, Role.BUILDER, home)
    client = client_of(person)
    page = text_of(client.get(reverse("datasets:library_grader", args=[version.grader_id])))
    assert "a connection that you cannot see" in page
    assert "Secret place" not in page
    draft = evaluation(home, person)
    taken = client.post(reverse("datasets:library_take", args=[draft.pk]), {"version": version.pk})
    assert "you may not ask" in text_of(taken)
