"""Evaluations, their runs and rows as people meet them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.storage import storages
from django.test import Client
from django.urls import reverse

from completions.models import FrozenSelection
from datasets.evaluate import run as runs
from datasets.evaluate import suggestions
from datasets.evaluate.targets import stored
from datasets.models import (
    Call,
    Dataset,
    DatasetVersion,
    Deployment,
    Evaluation,
    Example,
    FineTune,
    Grader,
    Result,
    Run,
)
from portal.models import AuditEntry, Connection, Price, User
from portal.sandbox import Sandbox
from tests import factories
from tests.datasets import material, measured
from tests.datasets.measured import CLOSE, EQUAL, STUDENT, fresh, ran
from tests.pages import text_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]

SignIn = Callable[[User], Client]


@pytest.fixture
def source(builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection]) -> Connection:
    return connect_to(sandbox, "openai", key="sandbox-openai-key", name="Source")


@pytest.fixture
def quiet(builder: User) -> Connection:
    """A source for pages that call nobody."""
    return factories.connection("Library")


@pytest.fixture
def begun(builder: User, quiet: Connection) -> Evaluation:
    """An evaluation of three rows, up to the reference."""
    return measured.evaluation(builder, measured.rows(quiet, 3), reference="meta:answer")


@pytest.fixture
def mixed(builder: User, quiet: Connection) -> Run:
    """A finished run over thirty rows: one failed, one hostile."""
    chosen = measured.rows(quiet, 28)
    wrong = measured.row(quiet, 70, answer="Wrong.")
    hostile = measured.row(
        quiet,
        71,
        prompt="<script>alert(1)</script> {{ 7|add:7 }}",
        answer='<img src=x onerror="alert(2)"> {% debug %}',
        metadata={"answer": "</pre><script>alert(3)</script>"},
    )
    made = measured.evaluation(
        builder, [*chosen, wrong, hostile], reference="meta:answer", graders=[EQUAL, CLOSE]
    )
    return ran(made, [stored()], builder)


def page_of(client: Client, run: Run, query: str = "") -> Any:
    return client.get(reverse("datasets:run", args=[run.evaluation_id, run.number]) + query)


def test_a_new_run_warns_before_it_calls_anybody(
    builder: User, client_of: SignIn, mixed: Run, source: Connection, sandbox: Sandbox
) -> None:
    client, url = client_of(builder), reverse("datasets:run_new", args=[mixed.evaluation_id])
    chosen = {"first_connection": source.pk, "first_model": "gpt-nowhere"}
    answer = client.post(url, chosen)
    assert answer.status_code == 200
    assert "“ gpt-nowhere ” is not known on Source" in text_of(answer)
    assert Run.objects.count() == 1
    assert client.post(url, chosen | {"told": f"{source.pk}:gpt-nowhere"}).status_code == 302
    assert Run.objects.count() == 2


def test_nothing_is_asked_at_a_price_that_the_page_did_not_show(
    builder: User, client_of: SignIn, mixed: Run, source: Connection, sandbox: Sandbox
) -> None:
    client, url = client_of(builder), reverse("datasets:run_new", args=[mixed.evaluation_id])

    def counted(answer: Any) -> str:
        (mark,) = re.findall(r'name="counted" value="(\w*)"', answer.text)
        return str(mark)

    free = counted(client.get(url))
    assert free == ""
    chosen = {"first_connection": source.pk, "first_model": "gpt-4o", "told": f"{source.pk}:gpt-4o"}
    shown = client.post(url, chosen | {"counted": free})
    assert "This is what it comes to" in text_of(shown)
    assert Run.objects.count() == 1
    other = {"first_model": "gpt-4.1", "told": f"{source.pk}:gpt-4.1"}
    assert "This is what it comes to" in text_of(
        client.post(url, chosen | other | {"counted": counted(shown)})
    )
    assert "This is what it comes to" in text_of(
        client.post(url, chosen | {"repetitions": "5", "counted": counted(shown)})
    )
    assert Run.objects.count() == 1
    assert client.post(url, chosen | {"counted": counted(shown)}).status_code == 302
    assert client.post(url, chosen | {"counted": counted(shown)})["Location"].endswith("/runs/2/")
    assert not measured.asked(sandbox)


def test_rows_are_paged_and_filtered(builder: User, client_of: SignIn, mixed: Run) -> None:
    client = client_of(builder)
    first = page_of(client, mixed).content.decode()
    assert first.count("data-row=") == 25
    (after,) = set(re.findall(r"after=(\d+)", first))
    second = page_of(client, mixed, f"?after={after}").content.decode()
    assert second.count("data-row=") == 5
    (before,) = set(re.findall(r"before=(\d+)", second))
    assert page_of(client, mixed, f"?before={before}").content.decode().count("data-row=") == 25
    assert page_of(client, mixed, "?show=failed").content.decode().count("data-row=") == 2
    assert "The targets agree on every row" in text_of(page_of(client, mixed, "?show=disagreed"))
    assert "Every answer could be judged" in text_of(page_of(client, mixed, "?show=ungraded"))
    assert page_of(client, mixed, "?show=nonsense&after=x&before=99999999999").status_code == 200


def test_htmx_gets_the_rows_alone(builder: User, client_of: SignIn, mixed: Run) -> None:
    url = reverse("datasets:run", args=[mixed.evaluation_id, mixed.number])
    part = client_of(builder).get(
        url, {"show": "failed"}, headers={"HX-Request": "true", "HX-Target": "rows"}
    )
    assert part.content.decode().strip().startswith('<section id="rows"')


def test_hostile_text_stays_text(builder: User, client_of: SignIn, mixed: Run) -> None:
    client = client_of(builder)
    line = (
        Run.objects.get()
        .evaluation.version.examples.get(completion__prompt_preview__startswith="<script>")
        .line
    )
    row = client.get(reverse("datasets:run_row", args=[mixed.evaluation_id, mixed.number, line]))
    for page in (page_of(client, mixed), row):
        body = page.content.decode()
        assert "<script>alert" not in body
        assert "<img src=x" not in body
    assert "alert(3)" in text_of(row)
    assert "{{ 7|add:7 }}" in text_of(row)


def test_a_row_shows_prompt_reference_answers_and_reasons(
    builder: User, client_of: SignIn, mixed: Run
) -> None:
    url = reverse("datasets:run_row", args=[mixed.evaluation_id, mixed.number, 2])
    client = client_of(builder)
    page = text_of(client.get(url))
    assert "Conversation" in page
    assert "Wrong." in page
    assert "rouge_l is" in page
    assert "The stored completion" in page
    drawer = client.get(url, headers={"HX-Request": "true", "HX-Target": "drawer"}).content.decode()
    assert drawer.strip().startswith("<aside")
    assert "data-drawer-next" in drawer
    missing = reverse("datasets:run_row", args=[mixed.evaluation_id, mixed.number, 999])
    assert client.get(missing).status_code == 404


def test_disagreements_are_rows_that_only_one_target_passes(
    builder: User, client_of: SignIn, source: Connection
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 10))
    run = ran(made, [fresh(source), fresh(source, STUDENT, "second")], builder)
    (pair,) = run.summary["graders"][0]["pairs"]
    page = page_of(client_of(builder), run, "?show=disagreed").content.decode()
    assert page.count("data-row=") == pair["only_first"] + pair["only_second"] > 0


def test_lists_and_evaluations_tell_their_last_result(builder: User, client_of: SignIn, mixed: Run) -> None:
    client = client_of(builder)
    listed = text_of(client.get(reverse("datasets:evaluations")))
    assert "Summaries" in listed
    assert "“Stored answers” passes every grader on 93.3% of 30 items" in listed
    shown = text_of(client.get(reverse("datasets:evaluation", args=[mixed.evaluation_id])))
    assert "Run 1" in shown
    assert "{{ sample.output_text }} equals {{ item.reference }}" in shown


def test_the_list_asks_as_often_for_many_as_for_few(
    builder: User, client_of: SignIn, mixed: Run, django_assert_max_num_queries: Any
) -> None:
    client = client_of(builder)
    for _ in range(6):
        measured.evaluation(builder, measured.rows(Connection.objects.get(), 1))
    with django_assert_max_num_queries(20):
        assert client.get(reverse("datasets:evaluations")).status_code == 200


def test_run_again_and_other_targets(builder: User, client_of: SignIn, mixed: Run, quiet: Connection) -> None:
    client = client_of(builder)
    assert "measured once more; no model is asked." in page_of(client, mixed).content.decode()
    again = client.post(reverse("datasets:run_again", args=[mixed.evaluation_id, mixed.number]))
    assert again["Location"] == reverse("datasets:run", args=[mixed.evaluation_id, 2])
    material.drain()
    assert Run.objects.get(number=2).state == Run.State.DONE
    new = reverse("datasets:run_new", args=[mixed.evaluation_id])
    assert client.get(new).status_code == 200
    assert client.post(new, {"first_model": "m"}).status_code == 422
    answer = client.post(new, {"stored": "on"})
    assert answer["Location"] == reverse("datasets:run", args=[mixed.evaluation_id, 3])


def test_a_run_is_cancelled_and_goes_on(builder: User, client_of: SignIn, source: Connection) -> None:
    made = measured.evaluation(builder, measured.rows(source, 4))
    run = runs.start(made, [fresh(source)], builder)
    client = client_of(builder)
    assert "Pause Cancel" in text_of(page_of(client, run))
    told = client.post(reverse("datasets:run_cancel", args=[made.pk, run.number]), follow=True)
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED
    page = text_of(page_of(client, run))
    assert all(words in page for words in ("Cancelled", "The run was cancelled", "Go on"))
    assert "stop" not in (page + text_of(told)).casefold()  # one word for one thing
    client.post(reverse("datasets:run_retry", args=[made.pk, run.number]))
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    assert "with as many calls, whose price is not known." in page_of(client, run).content.decode()
    for kind in ("input", "output"):
        Price.objects.create(model=measured.TEACHER, kind=kind, amount="1000", as_of="2026-11-01")
    assert "with as many calls: those of this run cost 0." in page_of(client, run).content.decode()


def test_a_page_of_a_run_follows_what_others_do_with_it(
    builder: User, client_of: SignIn, source: Connection
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 2))
    run = runs.start(made, [fresh(source)], builder)
    client, url = client_of(builder), reverse("datasets:run", args=[made.pk, run.number])
    headers = {"HX-Request": "true", "HX-Target": "calls"}

    def polled(page: Any) -> Any:
        (address,) = re.findall(r'id="calls" hx-get="([^"]+)" hx-trigger="every', page.text)
        return client.get(address, headers=headers)

    page = client.get(url)
    page = polled(page)
    assert page.text.startswith('<div id="calls"')
    runs.pause(run, builder)
    page = polled(page)
    assert page["HX-Retarget"] == "#run"
    assert "The run is paused" in text_of(page)
    assert "Go on" in text_of(page)
    page = polled(page)
    assert "HX-Retarget" not in page
    runs.go_on(run, builder)
    page = polled(page)
    assert page["HX-Retarget"] == "#run"
    assert "Pause" in text_of(page)
    material.drain()
    page = polled(page)
    assert page["HX-Retarget"] == "#run"
    assert "Pass rate" in text_of(page)
    assert 'id="calls"' not in page.text


def test_a_failed_run_says_why_and_failed_answers_can_be_asked_for_again(
    builder: User, client_of: SignIn, source: Connection
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 3))
    run = ran(made, [fresh(source, "gpt-nowhere")], builder)
    page = text_of(page_of(client_of(builder), run))
    assert "gives no answers" in page
    assert "Go on" in page
    run = ran(made, [fresh(source)], builder)
    Call.objects.filter(run=run).update(
        state=Call.State.FAILED, error={"kind": "timeout", "text": "Too late."}
    )
    runs.retry_failed(run, builder)
    material.drain()
    assert not Call.objects.filter(run=run, state=Call.State.FAILED).exists()


def addresses(run: Run, frozen: FrozenSelection) -> list[tuple[str, str]]:
    """Every page and act on evaluations, as (method, address)."""
    pk, number = run.evaluation_id, run.number
    return [
        ("get", reverse("datasets:evaluation", args=[pk])),
        ("get", reverse("datasets:run", args=[pk, number])),
        ("get", reverse("datasets:run_row", args=[pk, number, 1])),
        ("get", reverse("datasets:run_new", args=[pk])),
        ("post", reverse("datasets:run_new", args=[pk])),
        ("post", reverse("datasets:run_again", args=[pk, number])),
        ("post", reverse("datasets:run_retry", args=[pk, number])),
        ("post", reverse("datasets:run_cancel", args=[pk, number])),
        ("get", reverse("datasets:evaluate", args=[pk, "data"])),
        ("post", reverse("datasets:evaluate", args=[pk, "review"])),
        ("get", reverse("datasets:evaluate_start", args=[frozen.pk])),
        ("post", reverse("datasets:evaluation_delete", args=[pk])),
    ]


def test_a_run_without_any_item_leads_to_what_was_left_out(
    builder: User, client_of: SignIn, source: Connection
) -> None:
    made = measured.evaluation(builder, measured.rows(source, 2), reference="meta:nobody")
    run = runs.start(made, [stored()], builder)
    material.drain()
    run.refresh_from_db()
    assert run.state == Run.State.FAILED
    page = page_of(client_of(builder), run)
    told = text_of(page)
    assert "There is nothing to measure" in told
    assert "Go on" not in told
    assert "Run again" not in told
    version = made.version
    left_out = reverse("datasets:version", args=[version.dataset_id, version.number]) + "?show=left-out"
    assert f'<a class="btn pri" href="{left_out}">What was left out</a>' in page.text


def test_outsiders_find_nothing_and_readers_only_read(
    builder: User, reader: User, reviewer: User, outsider: User, client_of: SignIn, mixed: Run
) -> None:
    frozen = mixed.evaluation.version.frozen_selection
    assert frozen is not None
    pages = addresses(mixed, frozen)
    assert [getattr(client_of(outsider), how)(url).status_code for how, url in pages] == [404] * len(pages)
    wanted = [200, 200, 200, 403, 403, 403, 403, 403, 403, 403, 404, 403]
    for person in (reader, reviewer):
        assert [getattr(client_of(person), how)(url).status_code for how, url in pages] == wanted
    assert Run.objects.count() == 1
    assert "Run again" not in text_of(page_of(client_of(reader), mixed))
    assert "Summaries" not in text_of(client_of(outsider).get(reverse("datasets:evaluations")))


def test_an_evaluation_of_two_sources_needs_the_right_on_both(
    operator: User, outsider: User, client_of: SignIn
) -> None:
    one, two = factories.connection("One"), factories.connection("Two")
    made = measured.evaluation(
        operator, [*measured.rows(one, 2), measured.row(two, 9)], reference="meta:answer"
    )
    run = ran(made, [stored()], operator)
    factories.grant(outsider, "builder", one)
    client = client_of(outsider)
    assert page_of(client, run).status_code == 404
    factories.grant(outsider, "reader", two)
    assert page_of(client, run).status_code == 200
    assert client.post(reverse("datasets:run_again", args=[made.pk, 1])).status_code == 403


def test_signed_out_people_are_sent_to_sign_in(mixed: Run) -> None:
    answer = Client().get(reverse("datasets:evaluations"))
    assert answer.status_code == 302
    assert "login" in answer["Location"]


def test_the_empty_list_says_how_to_begin(builder: User, client_of: SignIn) -> None:
    assert "No evaluations yet" in text_of(client_of(builder).get(reverse("datasets:evaluations")))


def test_a_run_that_goes_on_is_redrawn_when_its_work_ends(
    builder: User, client_of: SignIn, begun: Evaluation
) -> None:
    run = runs.start(begun, [stored()], builder)
    client = client_of(builder)
    url = reverse("datasets:run", args=[begun.pk, run.number])
    headers = {"HX-Request": "true", "HX-Target": "run"}
    going = client.get(url, headers=headers).content.decode()
    assert going.strip().startswith('<div id="run"')
    assert "operation-ended from:body" in going
    material.drain()
    ended = client.get(url, headers=headers).content.decode()
    assert "operation-ended" not in ended
    assert "“Stored answers” passes" in ended


@pytest.mark.engines
def test_deleting_an_evaluation_takes_its_runs_items_and_file(
    builder: User, client_of: SignIn, mixed: Run
) -> None:
    path = mixed.evaluation.version.path
    assert storages["artifacts"].exists(path)
    delete = reverse("datasets:evaluation_delete", args=[mixed.evaluation_id])
    assert client_of(builder).post(delete)["Location"] == reverse("datasets:evaluations")
    kinds = (Evaluation, Run, Call, Result, Grader, DatasetVersion, Dataset, Example)
    assert [kind.objects.count() for kind in kinds] == [0] * len(kinds)
    assert not storages["artifacts"].exists(path)
    assert AuditEntry.objects.filter(verb="evaluation.deleted", actor=builder).count() == 1


def test_an_evaluation_is_not_deleted_while_it_runs(
    builder: User, client_of: SignIn, begun: Evaluation
) -> None:
    runs.start(begun, [stored()], builder)
    client_of(builder).post(reverse("datasets:evaluation_delete", args=[begun.pk]))
    assert Evaluation.objects.filter(pk=begun.pk).exists()


def test_known_names_come_from_deployments_fine_tunes_and_what_was_seen(
    builder: User, outsider: User, quiet: Connection
) -> None:
    account = factories.connection("Account", kind="openai")
    measured.row(account, 1)
    version = measured.evaluation(builder, [measured.row(quiet, 2)]).version
    Deployment.objects.create(connection=quiet, name="student", model="m", state="ready")
    Deployment.objects.create(connection=quiet, name="later", model="m", state="creating")
    for connection in (quiet, account):
        FineTune.objects.create(
            connection=connection,
            version=version,
            base_model="m",
            seed=1,
            state="succeeded",
            fine_tuned_model="ft:m",
        )
    found = {(suggestion.name, suggestion.why) for suggestion in suggestions.models_for(builder)}
    assert found == {
        ("student", "deployment of m on Library"),
        ("ft:m", "fine-tuned on Account"),
        ("gpt-4o-2024-08-06", "seen on Account"),
        ("gpt-4o-2024-08-06", "model seen on Library; its deployment may be called otherwise"),
    }
    assert suggestions.models_for(outsider) == []
