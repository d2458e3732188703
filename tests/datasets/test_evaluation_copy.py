"""Go on from an evaluation that has run with other graders: a copy of it on the same items."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from datasets import library
from datasets.build import build
from datasets.evaluate import copying, removal, setup
from datasets.evaluate.items import Items
from datasets.evaluate.targets import stored
from datasets.models import DatasetVersion, Evaluation, Grader, Run
from portal.models import Connection, User
from tests import factories
from tests.datasets import material, measured
from tests.datasets.measured import CLOSE, EQUAL
from tests.pages import text_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]
SignIn = Callable[[User], Client]
PYTHON = {
    "name": "Code",
    "kind": "python",
    "params": {"source": "def grade(sample, item):\n    return 1.0\n", "pass_threshold": 0.5},
}


@pytest.fixture
def source(db: None) -> Connection:
    return factories.connection("Library")


@pytest.fixture
def ran(builder: User, source: Connection) -> Evaluation:
    """An evaluation with one run, whose second grader came from the library."""
    rows = measured.rows(source, 3)
    made = measured.evaluation(builder, rows, reference="meta:expected", graders=[CLOSE, EQUAL])
    equal = made.graders.get(name="Equal")
    equal.taken_from = library.add(source, "Equal", equal.kind, equal.params, builder)
    equal.save()
    for step in ("reference", "targets", "graders"):
        setup.finish(made, step)
    measured.ran(made, [stored()], builder)
    targets = [stored(), measured.fresh(source, "gpt-4o")]
    setup.finish(made, "targets", targets=[target.as_dict() for target in targets])
    found: Evaluation = Evaluation.objects.get(pk=made.pk)
    return found


def press(client: Client, one: Evaluation) -> Evaluation:
    """Press Copy; the wizard opens at the graders of the copy."""
    answer = client.post(reverse("datasets:evaluation_copy", args=[one.pk]))
    made: Evaluation = Evaluation.objects.latest("id")
    assert answer["Location"] == reverse("datasets:evaluate", args=[made.pk, "graders"])
    return made


@pytest.mark.engines
def test_a_copy_measures_the_same_items_by_graders_that_can_be_changed(
    ran: Evaluation, builder: User, client_of: SignIn
) -> None:
    client = client_of(builder)
    assert "Copy" in text_of(client.get(reverse("datasets:evaluation", args=[ran.pk])))
    made = press(client, ran)
    assert (made.name, made.version, made.reference) == ("Summaries (copy)", ran.version, ran.reference)
    assert list(made.connections.all()) == list(ran.connections.all())
    fields = ("name", "kind", "params", "position", "taken_from")
    assert list(made.graders.values(*fields)) == list(ran.graders.values(*fields))
    assert made.graders.get(name="Equal").taken_from is not None
    assert setup.targets_of(made) == setup.targets_of(ran)
    assert (DatasetVersion.objects.count(), Run.objects.count()) == (1, 1)
    rows = list(ran.version.examples.order_by("line"))
    with Items(ran) as before, Items(made) as after:
        assert [before.of(row) for row in rows] == [after.of(row) for row in rows]

    page = text_of(client.get(reverse("datasets:evaluate", args=[made.pk, "graders"])))
    assert "A copy of Summaries" in page
    assert "The same items and reference, 2 targets and 2 graders were copied" in page
    assert press(client, ran) == made, "pressed twice, it is one"
    setup.set_graders(made, [EQUAL])
    assert press(client, ran).name == "Summaries (copy) 2"
    assert list(ran.graders.values_list("name", flat=True)) == ["Close", "Equal"]
    measured.ran(made, [stored()], builder)
    assert made.runs.get().state == "done"


def test_the_items_stay_while_a_copy_measures_on_them(
    ran: Evaluation, builder: User, client_of: SignIn
) -> None:
    client = client_of(builder)
    page = reverse("datasets:evaluation", args=[ran.pk])
    assert "the file of its items" in client.get(page).content.decode()
    made = press(client, ran)
    assert "The dataset stays." in client.get(page).content.decode()
    # The selection of its items begins another one, never this.
    assert made.version.frozen_selection is not None
    assert setup.draft_on(made.version.frozen_selection, builder) is None
    removal.delete(ran, builder)
    assert measured.ran(made, [stored()], builder).state == "done"
    again = press(client, made)
    assert again.name == "Summaries (copy) 2", "a copy of a copy is called so once"
    assert "A copy of Summaries (copy)" in text_of(
        client.get(reverse("datasets:evaluate", args=[again.pk, "graders"]))
    )


def test_whom_a_person_may_not_ask_is_left_out_and_said(
    ran: Evaluation, builder: User, client_of: SignIn
) -> None:
    hidden = factories.connection("Hidden", slug="hidden")
    judge = {"connection": hidden.pk, "model": "judge", "criteria": "Helpful."}
    Grader.objects.create(evaluation=ran, position=2, name="Better", kind="pairwise", params=judge)
    Grader.objects.create(evaluation=ran, position=3, **PYTHON)
    targets = [measured.fresh(hidden, "secret-model"), measured.fresh(hidden, "other-model", "second")]
    setup.finish(ran, "targets", targets=[stored().as_dict(), *(each.as_dict() for each in targets)])
    limited = factories.user("limited")
    factories.grant(limited, "builder", ran.connections.get())
    client = client_of(limited)
    made = press(client, ran)
    assert made.owner == limited
    assert setup.targets_of(made) == (stored(),)
    assert made.graders.get(name="Code").params == PYTHON["params"]
    page = text_of(client.get(reverse("datasets:evaluate", args=[made.pk, "graders"])))
    assert "Left out: 2 targets, on a connection that you may not ask" in page
    assert "You may not ask the connection that judges for “Better”" in page
    assert "secret-model" not in page
    factories.grant(limited, "reader", hidden)
    told = copying.told(made, limited)
    assert told is not None
    assert "“secret-model”, “other-model”" in told.left_out

    setup.finish(ran, "targets", targets=[each.as_dict() for each in targets])
    nobody = press(client, ran)
    answer = client.get(reverse("datasets:evaluate", args=[nobody.pk, "graders"]), follow=True)
    assert answer.redirect_chain[-1][0] == reverse("datasets:evaluate", args=[nobody.pk, "targets"])
    assert "Left out: “secret-model”" in text_of(answer)


def test_what_people_said_is_found_in_the_items_of_a_copy(
    builder: User, source: Connection, client_of: SignIn
) -> None:
    client = client_of(builder)
    one = measured.evaluation(builder, measured.rows(source, 2), reference="correction", graders=[EQUAL])
    where = reverse("datasets:evaluation_copy", args=[one.pk])
    assert "Its items are not there yet" in text_of(client.post(where, follow=True))
    assert Evaluation.objects.count() == 1
    setup.finish(one, "targets", targets=[measured.fresh(source).as_dict()])
    build.begin(one.version, builder)
    material.drain()
    made = press(client, one)
    assert made.reference == "correction"
    # Its columns have the names that we gave them: there is nothing to say of them.
    data = reverse("datasets:evaluate", args=[made.pk, "data"])
    assert list(client.get(data).context["form"].fields) == ["name"]
    client.post(data, {"name": "Another name"})
    made.refresh_from_db()
    assert (made.name, made.reference) == ("Another name", "correction")
    assert made.version.dataset.name == "Summaries"
    page = client.get(reverse("datasets:evaluate", args=[made.pk, "reference"])).content.decode()
    assert 'value="column:reference" checked' in page
