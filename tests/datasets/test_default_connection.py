"""Which connection a fresh target, and a judge, is looked for on to begin with."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from datasets.build import build
from datasets.evaluate import setup, sources_seen
from datasets.evaluate.targets import stored
from datasets.models import Evaluation
from datasets.sampling_forms import reachable_by
from portal.models import Connection, User
from tests import factories
from tests.datasets import material, measured
from tests.datasets.measured import CLOSE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]
SignIn = Callable[[User], Client]


def begun(client: Client, made: Evaluation) -> list[int | None]:
    """What the targets step, and a judge that is added, begin with."""
    form = client.get(reverse("datasets:evaluate", args=[made.pk, "targets"])).context["form"]
    step = reverse("datasets:evaluate", args=[made.pk, "graders"])
    (judge,) = client.post(step, {"add": "score_model"}).context["forms"]
    return [*(form[f"{key}_connection"].value() for key in form.shown), judge["connection"].value()]


@pytest.mark.engines
def test_it_is_the_one_that_most_items_come_from(builder: User, client_of: SignIn) -> None:
    first, most = factories.connection("Azure", slug="a"), factories.connection("Zenith", slug="z")
    imported = factories.connection("Files", slug="f", kind="files")
    rows = [measured.row(first, 0), *(measured.row(most, n) for n in range(1, 4))]
    rows += [measured.row(imported, n) for n in range(4, 12)]
    made = measured.evaluation(builder, rows, reference="meta:answer")
    for step in ("reference", "targets"):
        setup.finish(made, step, targets=[stored().as_dict()])
    client = client_of(builder)
    assert begun(client, made) == [most.pk] * 5
    build.begin(made.version, builder)
    material.drain()
    assert begun(client, made) == [most.pk] * 5
    measured.ran(made, [stored()], builder)
    form = client.get(reverse("datasets:run_new", args=[made.pk])).context["form"]
    assert form["first_connection"].value() == most.pk

    Connection.objects.filter(pk=most.pk).update(state=Connection.State.DISCONNECTED)
    assert sources_seen.mostly_from(made, reachable_by(builder)) == first.pk, "one that can be asked"


def test_where_items_tell_nothing_the_first_by_name_is_taken(builder: User) -> None:
    later, sooner = factories.connection("Zenith", slug="z"), factories.connection("Azure", slug="a")
    made = measured.evaluation(builder, [measured.row(later, 1)], graders=[CLOSE])
    assert sources_seen.mostly_from(made, reachable_by(builder)) == later.pk
    made.connections.add(sooner)
    made.version.frozen_selection = None
    assert sources_seen.mostly_from(made, reachable_by(builder)) == sooner.pk
    made.connections.clear()
    assert sources_seen.mostly_from(made, reachable_by(builder)) is None
