"""Where a thing came from and what came of it: both ways, bounded, and only what the person may read."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from completions import uses
from completions.models import SavedView, StoredCompletion
from datasets import descent
from datasets.lineage import MOST, Graph, Node, draw
from datasets.models import (
    Checkpoint,
    Dataset,
    DatasetVersion,
    Deployment,
    Evaluation,
    Example,
    FineTune,
    Run,
    UploadedFile,
)
from portal.models import Connection, User
from tests import factories
from tests.datasets import material

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
EVIL = "<img src=x onerror=alert(1)>"


class Line:
    """Everything from completions to a run, one of each."""

    def __init__(self, user: User, connection: Connection) -> None:
        self.rows = [factories.make_completion(connection, prompt=f"Question {n}?") for n in range(4)]
        dataset = Dataset.objects.create(name="Support", purpose="supervised", owner=user)
        self.version: DatasetVersion = DatasetVersion.objects.create(
            dataset=dataset,
            number=1,
            state="ready",
            rows=4,
            sha256="a",
            frozen_selection=material.frozen(user, self.rows),
        )
        self.version.connections.set([connection])
        for number, row in enumerate(self.rows, start=1):
            Example.objects.create(
                version=self.version, completion=row, source_key=row.upstream_id, position=number, line=number
            )
        self.file = UploadedFile.objects.create(
            connection=connection, sha256="a", file_name="f.jsonl", size=1, remote_id="file-1"
        )
        self.tune = FineTune.objects.create(
            connection=connection,
            version=self.version,
            file=self.file,
            base_model="gpt-4.1-mini",
            seed=1,
            state=FineTune.State.SUCCEEDED,
            fine_tuned_model="ft:student",
        )
        self.checkpoint = Checkpoint.objects.create(
            fine_tune=self.tune, upstream_id="c", step=4, model="ft:student:ckpt-step-4", created=1
        )
        self.deployment = Deployment.objects.create(
            connection=connection,
            fine_tune=self.tune,
            name="student",
            model="ft:student:ckpt-step-4",
            state="ready",
        )
        self.evaluation = Evaluation.objects.create(name="Compared", version=self.version, owner=user)
        self.evaluation.connections.set([connection])
        self.run = Run.objects.create(
            evaluation=self.evaluation,
            number=1,
            state="done",
            targets=[{"key": "first", "kind": "fresh", "connection": connection.pk, "model": "student"}],
        )
        self.run.connections.set([connection])


@pytest.fixture
def connection(db: None) -> Connection:
    return factories.connection(kind="openai", base_url="https://api.openai.com/v1")


@pytest.fixture
def line(builder: User, connection: Connection) -> Line:
    return Line(builder, connection)


def ids(graph: Graph) -> set[str]:
    return {node.split(":")[0] for node in graph.nodes}


ALL = {"rows", "version", "file", "job", "model", "deployment", "run"}


@pytest.mark.engines
def test_from_every_end_the_whole_way_is_found(line: Line, builder: User) -> None:
    graphs = (
        descent.of_version(builder, DatasetVersion.objects.get(pk=line.version.pk)),
        descent.of_job(builder, FineTune.objects.get()),
        descent.of_deployment(builder, Deployment.objects.get()),
        descent.of_completion(builder, line.rows[0]),
        descent.of_run(builder, Run.objects.get()),
    )
    for graph in graphs:
        assert ids(graph) == ALL, graph.current
    job, file = f"job:{line.tune.pk}", f"file:{line.file.connection_id}/file-1"
    version, deployment = f"version:{line.version.pk}", f"deployment:{line.deployment.pk}"
    for graph in graphs:
        assert {(version, file), (file, job)} <= graph.edges.keys()
        assert (deployment, f"run:{line.run.pk}") in graph.edges
        assert any(second == deployment and first.startswith("model:") for first, second in graph.edges)


def test_a_checkpoint_stands_between_its_job_and_its_deployment(line: Line, builder: User) -> None:
    graph = descent.of_job(builder, line.tune)
    (node,) = (node for node in graph.nodes.values() if node.note == "checkpoint at step 4")
    assert (f"job:{line.tune.pk}", node.id) in graph.edges
    assert (node.id, f"deployment:{line.deployment.pk}") in graph.edges


def test_a_saved_view_that_asks_for_the_same_is_named(line: Line, builder: User) -> None:
    frozen = line.version.frozen_selection
    assert frozen is not None
    type(frozen).objects.filter(pk=frozen.pk).update(q="model:gpt-4o", everything=True)
    version = DatasetVersion.objects.get(pk=line.version.pk)
    (rows,) = (node for node in descent.of_version(builder, version).nodes.values() if node.kind == "rows")
    assert "model:gpt-4o" in rows.href.replace("%3A", ":")
    SavedView.objects.create(owner=builder, name="Good answers", query="q=model%3Agpt-4o")
    (rows,) = (node for node in descent.of_version(builder, version).nodes.values() if node.kind == "rows")
    assert rows.title == "Good answers"


def test_what_one_may_not_read_is_not_there(
    line: Line, connection: Connection, client_of: "Callable[[User], Client]"
) -> None:
    elsewhere = factories.connection()
    Deployment.objects.update(connection=elsewhere)
    line.run.connections.add(elsewhere)
    person = factories.user(role="reader", connection=connection)
    graph = descent.of_job(person, line.tune)
    assert ids(graph) == ALL - {"deployment", "run", "model"} | {"model"}
    line.version.connections.add(elsewhere)
    assert ids(descent.of_job(person, line.tune)) == {"file", "job", "model"}
    for kind, pk in (("version", line.version.pk), ("deployment", line.deployment.pk), ("run", line.run.pk)):
        url = reverse("datasets:lineage", args=[kind, pk])
        assert client_of(person).get(url).status_code == 404
    assert list(uses.of(person, line.rows[0])) == []


def test_many_are_counted_and_not_drawn(line: Line, builder: User, connection: Connection) -> None:
    for number in range(9):
        FineTune.objects.create(
            connection=connection,
            version=line.version,
            base_model=f"m{number}",
            seed=1,
            state="running",
            remote_id=f"j{number}",
        )
    graph = descent.of_job(builder, line.tune)
    descent_of_version = draw(descent.of_version(builder, line.version))
    (jobs,) = (column for column in descent_of_version.columns if column.kind == "job")
    assert (len(jobs.nodes), jobs.more) == (MOST, 10 - MOST)
    (own,) = (column for column in draw(graph).columns if column.kind == "job")
    assert [placed.current for placed in own.nodes] == [True]


# Drawing


def test_the_current_one_and_its_way_come_first_and_are_never_left_out() -> None:
    graph = Graph(current="job:9")
    for number in range(10):
        graph.add(Node("job", str(number), f"j{number}"))
        graph.add(Node("model", str(number), f"m{number}"), after=f"job:{number}")
    picture = draw(graph)
    jobs, models = picture.columns
    assert jobs.nodes[0].node.key == models.nodes[0].node.key == "9"
    assert jobs.nodes[0].current
    assert models.nodes[0].comes_from == ("j9",)
    assert jobs.more == models.more == 10 - MOST
    assert len(picture.paths) == MOST  # the current one's, and those of the others that are shown
    assert picture.height > 0
    assert picture.width > 0


def test_nothing_to_draw_is_nothing() -> None:
    assert draw(Graph()).is_alone
    graph = Graph()
    graph.current = graph.add(Node("job", "1", "j"))
    assert draw(graph).is_alone


# Pages


@pytest.mark.parametrize("kind", ["version", "job", "deployment", "run", "completion"])
def test_each_has_a_page_and_a_panel(
    line: Line, kind: str, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    FineTune.objects.update(base_model=EVIL, fine_tuned_model=EVIL)
    Deployment.objects.update(name=EVIL, model=EVIL)
    Run.objects.update(targets=[{"connection": line.tune.connection_id, "model": EVIL}, 5, {"model": []}])
    rows: dict[str, Any] = {
        "version": line.version,
        "job": line.tune,
        "deployment": line.deployment,
        "run": line.run,
        "completion": line.rows[0],
    }
    client, url = client_of(builder), reverse("datasets:lineage", args=[kind, rows[kind].pk])
    page = client.get(url).content.decode()
    assert "<html" in page
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    panel = client.get(url, headers={"HX-Request": "true", "HX-Target": "lineage"}).content.decode()
    assert "<html" not in panel
    assert panel.count('class="node') >= 6
    assert panel.count(" here") == 1
    assert f'hx-get="{url}" hx-trigger="operation-ended' in panel  # states change with what ends meanwhile
    assert client.get(reverse("datasets:lineage", args=["user", 1])).status_code == 404


def test_the_drawer_of_a_completion_says_where_it_is_used(
    line: Line, builder: User, client_of: "Callable[[User], Client]"
) -> None:
    row: StoredCompletion = line.rows[3]
    example = line.version.examples.get(completion=row)
    found = uses.of(builder, row)
    assert [use.title for use in found] == [f"{line.version.dataset.name} v1", "ft:student"]
    assert found[0].note.startswith(f"line {example.line}")
    page = client_of(builder).get(row.get_absolute_url(), {"tab": "details"}).content.decode()
    assert "Used in" in page
    assert f"?line={example.line}" in page
