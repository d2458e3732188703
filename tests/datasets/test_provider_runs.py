"""Runs that the provider does: made once, followed, read back, and reported like any other."""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from datasets.evaluate import (
    provider,
    provider_cancel,
    provider_lines,
    provider_places,
    removal,
    tally,
    thresholds,
)
from datasets.evaluate import run as runs
from datasets.evaluate.report_costs import costs_of
from datasets.evaluate.targets import Target, stored
from datasets.models import Call, Evaluation, Result, Run
from portal import operations
from portal.models import Budget, Connection, Operation, Price, RemoteAction, Spending, User
from portal.prices import money
from portal.sandbox import Sandbox
from portal.upstream import Page, Upstream, UpstreamError, connect
from tests.completions.changing import own_folder
from tests.datasets import jobs, killing, material, measured
from tests.datasets.measured import CLOSE, EQUAL, TEACHER, fresh
from tests.datasets.provider import advance, control, created, faults, posts, wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(rows=0, rows_elsewhere=0, job_seconds=60),
]
EVALS, ITEMS = "/evals", "*/output_items"


@pytest.fixture(autouse=True)
def _alone_and_in_a_hurry(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own_folder(settings, tmp_path / "files")
    jobs.hurry(settings, monkeypatch)


@pytest.fixture
def place(sandbox: Sandbox, connect_to: Callable[..., Connection]) -> Connection:
    made = connect_to(sandbox, "azure-v1", key="sandbox-azure-v1-key", name="Azure")
    provider_places.probe(made)
    return made


def judging(place: Connection) -> dict[str, Any]:
    return {
        "name": "Polite",
        "kind": "label_model",
        "params": {
            "connection": place.pk,
            "model": TEACHER,
            "input": [{"role": "user", "content": "Is it polite? {{ sample.output_text }}"}],
            "labels": ["polite", "rude"],
            "passing_labels": ["polite"],
        },
    }


def to_measure(
    user: User, place: Connection, count: int = 8, graders: tuple[dict[str, Any], ...] = (EQUAL,)
) -> Evaluation:
    chosen = [*measured.rows(place, count - 1), measured.row(place, 99, answer="Something else.")]
    return measured.evaluation(user, chosen, reference="meta:answer", graders=graders)


def work(sandbox: Sandbox, kind: str = provider.KIND) -> Operation:
    """Work until the newest operation of this kind has ended; the service's clock moves on meanwhile."""

    def ended() -> bool:
        advance(sandbox, 3)
        others = Operation.objects.filter(state__in=Operation.LIVE).exclude(kind=kind)
        if others.exists():
            material.drain(kinds=list(others.values_list("kind", flat=True)))
        return not material.step(kind).is_live

    wait_until(ended)
    found: Operation = Operation.objects.filter(kind=kind).latest("id")
    return found


def ran_there(made: Evaluation, target: Target, place: Connection, user: User, sandbox: Sandbox) -> Run:
    run = provider.start(made, (target,), place, user)
    work(sandbox)
    run.refresh_from_db()
    return run


def give_up(run: Run) -> None:
    """End it here as after many tries; there it goes on."""
    operation = Operation.objects.filter(kind=provider.KIND).latest("id")
    assert operations.end(operation.pk, "failed", states=Operation.LIVE, error_code="server")
    run.refresh_from_db()
    assert run.state == Run.State.FAILED


def status_after_a_step(run: Run, sandbox: Sandbox) -> str:
    advance(sandbox, 3)
    material.step(provider.KIND)
    run.refresh_from_db()
    return str(run.upstream["status"])


def cells(run: Run, grader: int = 0) -> list[tuple[int, int, int]]:
    found = run.summary["graders"][grader]["cells"]
    return [(cell["passed"], cell["failed"], cell["ungraded"]) for cell in found]


def verdicts(run: Run) -> list[tuple[int, float | None, bool | None]]:
    return list(Result.objects.filter(run=run).order_by("example").values_list("example", "score", "passed"))


@pytest.mark.engines
@pytest.mark.parametrize("surface", ["azure-v1", "azure-dated"])
def test_stored_answers_get_the_same_report_there_as_here(
    builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection], surface: str
) -> None:
    place = connect_to(sandbox, surface, key=f"sandbox-{surface}-key", name="Azure")
    assert provider_places.probe(place).ok is True
    made = to_measure(builder, place)
    there = ran_there(made, stored(), place, builder, sandbox)
    assert (there.state, there.backend) == (Run.State.DONE, Run.Backend.PROVIDER)
    assert (there.upstream["status"], there.upstream["counts"]["total"]) == ("completed", 8)
    here = measured.ran(made, [stored()], builder)
    assert cells(there) == cells(here) == [(7, 1, 0)]
    assert verdicts(there) == verdicts(here)
    assert there.summary["items"] == here.summary["items"]
    assert (posts(sandbox, EVALS), posts(sandbox, "/runs"), posts(sandbox, "/files")) == (1, 1, 0)


def test_a_threshold_that_is_taken_meanwhile_is_not_sent_for_a_run_that_had_begun(
    builder: User, place: Connection, sandbox: Sandbox
) -> None:
    made = to_measure(builder, place, 3, graders=(CLOSE,))
    first = measured.ran(made, [stored()], builder)
    run = provider.start(made, (stored(),), place, builder)
    thresholds.take(made.graders.get(), 0.0, builder, seen_in=first)
    work(sandbox)
    run.refresh_from_db()
    assert cells(run) == cells(first) == [(2, 1, 0)]
    assert run.upstream["counts"]["failed"] == 1


@pytest.mark.engines
def test_a_deployment_answers_there_and_a_judge_reads_it(
    builder: User,
    place: Connection,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    client_of: Callable[[User], Client],
) -> None:
    for kind in ("input", "output"):
        Price.objects.create(model=TEACHER, kind=kind, amount="1000", as_of="2026-11-01")
    monkeypatch.setattr(provider_lines, "INLINE", 100)  # so that a file is uploaded
    made = to_measure(builder, place, graders=(CLOSE, judging(place)))
    run = ran_there(made, fresh(place, temperature=0.0), place, builder, sandbox)
    assert run.state == Run.State.DONE
    assert run.upstream["file"].startswith("file-")
    assert posts(sandbox, "/files") == 1
    assert measured.asked(sandbox).total() == 0  # nobody was asked from here
    calls = Call.objects.filter(run=run)
    assert {call.state for call in calls} == {Call.State.DONE}
    assert calls.count() == 8
    assert all(call.output_text and call.answer["usage"]["completion_tokens"] > 0 for call in calls)
    assert run.summary["targets"][0]["answered"] == 8
    assert cells(run)[0][2] == cells(run, 1)[0][2] == 0
    assert "polite" in Result.objects.filter(run=run, grader__name="Polite")[0].reason
    assert run.upstream["usage"][0]["prompt_tokens"] > 0
    # What its judge used is told by the provider alone, and is part of the price.
    costs = costs_of(run, tally.report_of(run))
    answers, judge = costs.lines
    assert (judge.cost, costs.total) == (None, Spending.objects.get().settled)
    assert costs.total is not None
    assert answers.cost is not None
    assert costs.total > answers.cost > 0
    pages = [
        client_of(builder).get(reverse(f"datasets:{name}", args=[made.pk, run.number]))
        for name in ("run", "run_page")
    ]
    assert [page.status_code for page in pages] == [200, 200]
    assert f"those of this run cost {money(costs.total)} at the prices of today" in pages[0].text


@pytest.mark.parametrize("point", ["eval.sending", "eval.answered", "eval_run.answered", *provider.POINTS])
def test_killed_anywhere_it_makes_everything_once(
    builder: User, place: Connection, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    run = provider.start(to_measure(builder, place, 4), (stored(),), place, builder)
    material.drain(kinds=["dataset.build"])
    assert killing.kill_at(point, provider.KIND, sandbox, monkeypatch)
    if point == "eval.sending":
        # It died before the request: nothing is found there, and a machine does not send it again.
        assert work(sandbox).error_code == "outcome_unknown"
        run.refresh_from_db()
        provider.go_on(run, builder)
    work(sandbox)
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    assert cells(run) == [(3, 1, 0)]
    assert (posts(sandbox, EVALS), posts(sandbox, "/runs")) == (1, 1)
    assert len(created(sandbox, "created:eval_")) == len(created(sandbox, "created:evalrun_")) == 1
    assert Result.objects.filter(run=run).count() == 4


@pytest.mark.parametrize("lost", [{"kind": "drop", "effect": "after"}, {"kind": "status", "effect": "after"}])
def test_a_create_whose_answer_is_lost_is_found_by_its_mark(
    builder: User, place: Connection, sandbox: Sandbox, lost: dict[str, Any]
) -> None:
    rule = {"method": "POST", "times": 1, **lost}
    hidden = {"kind": "drop_marks", "path": "/evals*"}  # the service keeps no metadata: the name tells
    faults(sandbox, {**rule, "path": EVALS}, {**rule, "path": "*/runs"}, hidden)
    run = ran_there(to_measure(builder, place, 4), stored(), place, builder, sandbox)
    assert run.state == Run.State.DONE
    assert (posts(sandbox, EVALS), posts(sandbox, "/runs")) == (1, 1)


def test_stopping_here_cancels_there(builder: User, place: Connection, sandbox: Sandbox) -> None:
    run = provider.start(to_measure(builder, place, 4), (stored(),), place, builder)
    material.drain(kinds=["dataset.build"])
    wait_until(lambda: material.step(provider.KIND).cursor.get("stage") == "follow")
    run.refresh_from_db()
    assert run.operation is not None
    assert operations.cancel(run.operation, builder)
    with pytest.raises(removal.InUse, match="being cancelled at the provider"):
        removal.delete(run.evaluation, builder)
    work(sandbox, provider_cancel.KIND)
    run.refresh_from_db()
    assert (run.state, run.upstream["status"]) == (Run.State.CANCELLED, "canceled")
    assert len(created(sandbox, "cancel:evalrun_")) == 1

    provider.go_on(run, builder)  # a new run in the same evaluation
    work(sandbox)
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    assert (posts(sandbox, EVALS), posts(sandbox, "/runs")) == (1, 2)


@pytest.mark.engines
def test_output_items_that_are_poison_never_stop_the_reading(
    builder: User, place: Connection, sandbox: Sandbox
) -> None:
    graders = (EQUAL, CLOSE)
    made = to_measure(builder, place, 12, graders)
    kinds = ("nul", "surrogate", "nan", "overflow", "bigint", "deep", "role", "part", "field")
    rules = [{"kind": "poison", "what": what, "index": at, "path": ITEMS} for at, what in enumerate(kinds)]
    strip = {"kind": "strip", "fields": ["results", "sample"], "index": 9, "path": ITEMS}
    bare = {"kind": "strip", "fields": ["id", "datasource_item"], "index": 10, "path": ITEMS}
    faults(sandbox, *rules, strip, bare)
    run = ran_there(made, fresh(place), place, builder, sandbox)
    assert run.state == Run.State.DONE
    assert Result.objects.filter(run=run).count() == 24
    assert Call.objects.filter(run=run).count() == 12
    passed, failed, ungraded = cells(run)[0]
    assert passed + failed == 7  # all but: deep, its names, no item, no results, no id and item
    assert ungraded == 5
    assert run.upstream["strange"] >= 5
    kept = [*Result.objects.filter(run=run).values_list("reason", flat=True)]
    kept += Call.objects.filter(run=run).values_list("output_text", flat=True)
    assert any("\N{REPLACEMENT CHARACTER}" in text for text in kept)
    assert not any("\x00" in text or "\ud800" in text for text in kept)


def test_a_list_of_results_that_forgets_its_places_is_not_read_for_ever(
    builder: User, place: Connection, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Upstream.output_item_pages
    tries: list[str] = []

    def forgetful(*asked: Any, after: str = "") -> Iterator[Page]:
        tries.append(after)
        yield next(read(*asked, after=after))
        raise UpstreamError("not_found", "It is gone.", code="cursor_gone", permanent=False)

    monkeypatch.setattr(Upstream, "output_item_pages", forgetful)
    run = ran_there(to_measure(builder, place, 3), stored(), place, builder, sandbox)
    assert (run.state, cells(run), tries) == (Run.State.DONE, [(2, 1, 0)], [""] * 4)


def test_an_item_without_a_value_is_ungraded_with_the_reason(
    builder: User, place: Connection, sandbox: Sandbox
) -> None:
    params: Any = EQUAL["params"]
    there = {**EQUAL, "name": "Odd", "params": params | {"reference": "{{ item.nope }}"}}
    run = ran_there(to_measure(builder, place, 3, (there,)), stored(), place, builder, sandbox)
    assert cells(run) == [(0, 0, 3)]
    assert "item.nope is not there" in Result.objects.filter(run=run)[0].error


def test_what_cannot_run_there_is_refused_before_anything_is_made(
    builder: User,
    place: Connection,
    sandbox: Sandbox,
    connect_to: Callable[..., Connection],
    client_of: Callable[[User], Client],
) -> None:
    check = {
        "name": "Length",
        "kind": "check",
        "params": {"check": "answers", "input": "{{ sample.output_text }}"},
    }
    made = to_measure(builder, place, 3, (check,))
    with pytest.raises(runs.Refused, match="no such check"):
        provider.start(made, (stored(),), place, builder)
    two = to_measure(builder, place, 3)
    with pytest.raises(runs.Refused, match="one target"):
        provider.start(two, (stored(), fresh(place)), place, builder)
    elsewhere = connect_to(sandbox, "openai", key="sandbox-openai-key", name="OpenAI")
    provider_places.probe(elsewhere)
    with pytest.raises(runs.Refused, match="OpenAI offers no evaluations"):
        provider.start(two, (stored(),), elsewhere, builder)
    assert not Run.objects.exists()

    tools = measured.row(place, 7, item={"tools": [{"type": "function", "function": {"name": "look"}}]})
    with_tools = measured.evaluation(builder, [tools], reference="meta:answer", graders=(EQUAL,))
    run = provider.start(with_tools, (fresh(place),), place, builder)
    ended = work(sandbox)
    assert ended.error_code == provider.ITS_ITEMS
    assert (
        "1 offer tools, and the provider takes one set of tools for all items (item 1)." in ended.error_text
    )
    run.refresh_from_db()
    assert run.state == Run.State.FAILED
    page = client_of(builder).get(reverse("datasets:run", args=[with_tools.pk, run.number]))
    (first,) = re.findall(r'<(?:a|button) class="btn pri"[^>]*>(?:<svg.*?</svg>)?([^<]+)', page.text)
    assert first == "Run it here"
    assert "Go on" not in page.text
    assert "nothing was made there" in page.text
    assert reverse("datasets:version", args=[with_tools.version.dataset_id, 1]) in page.text
    assert not RemoteAction.objects.exists()
    assert (posts(sandbox, EVALS), posts(sandbox, "/runs")) == (0, 0)


@pytest.mark.parametrize("surface", ["azure-v1", "azure-dated"])
def test_a_run_cancelled_at_the_provider_is_told_and_can_be_started_anew(
    builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection], surface: str
) -> None:
    place = connect_to(sandbox, surface, key=f"sandbox-{surface}-key", name="Azure")
    provider_places.probe(place)
    run = provider.start(to_measure(builder, place, 3), (stored(),), place, builder)
    material.drain(kinds=["dataset.build"])
    wait_until(lambda: material.step(provider.KIND).cursor.get("stage") == "follow")
    run.refresh_from_db()
    with connect(place) as upstream:
        upstream.cancel_eval_run(run.upstream["eval"], run.upstream["run"])
    assert work(sandbox).error_code == "cancelled_there"


def test_what_it_may_cost_is_reserved_and_what_the_models_used_is_settled(
    builder: User, place: Connection, sandbox: Sandbox
) -> None:
    for kind, amount in (("input", "2"), ("output", "8")):
        Price.objects.create(model=TEACHER, kind=kind, amount=amount, as_of="2026-11-01")
    budget = Budget.objects.create(connection=place, amount=Decimal("0.000001"))
    made = to_measure(builder, place, 4)
    with pytest.raises(runs.Refused, match="may spend"):
        provider.start(made, (fresh(place),), place, builder)
    Budget.objects.filter(pk=budget.pk).update(amount=100)
    run = provider.start(made, (fresh(place),), place, builder)
    assert Spending.objects.get().reserved
    work(sandbox)
    run.refresh_from_db()
    (used,) = run.upstream["usage"]
    cost = (2 * used["prompt_tokens"] + 8 * used["completion_tokens"]) / Decimal(1_000_000)
    assert Spending.objects.get().settled == pytest.approx(cost, abs=Decimal("0.000001"))


def test_what_goes_on_there_stays_reserved_and_what_was_given_up_there_stays_paid(
    builder: User, place: Connection, sandbox: Sandbox
) -> None:
    for kind in ("input", "output"):
        Price.objects.create(model=TEACHER, kind=kind, amount="10", as_of="2026-11-01")
    run = provider.start(to_measure(builder, place, 3), (fresh(place),), place, builder)
    material.drain(kinds=["dataset.build"])
    wait_until(lambda: material.step(provider.KIND).cursor.get("stage") == "follow")
    give_up(run)
    assert Spending.objects.get().state == Spending.State.RESERVED
    # By now it failed there too, and says what it used: one hundredth of a dollar.
    told = {"status": "failed", "usage": [{"model": TEACHER, "prompt_tokens": 600, "completion_tokens": 400}]}
    run.upstream |= told
    run.save()
    provider.go_on(run, builder)
    assert (Spending.objects.get().reserved or 0) > Decimal("0.01")
    work(sandbox)
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    (used,) = run.upstream["usage"]
    cost = Decimal("0.01") + (used["prompt_tokens"] + used["completion_tokens"]) / Decimal(100_000)
    assert Spending.objects.get().settled == pytest.approx(cost, abs=Decimal("0.000001"))


def test_what_is_reserved_for_an_evaluation_that_is_deleted_is_not_reserved_for_ever(
    builder: User, place: Connection, sandbox: Sandbox, connect_to: Callable[..., Connection]
) -> None:
    elsewhere = connect_to(sandbox, "openai", key="sandbox-openai-key", name="Elsewhere")
    params: Any = CLOSE["params"]
    near = {**params, "evaluation_metric": "cosine", "connection": elsewhere.pk, "model": "embed"}
    made = to_measure(builder, place, 3, ({**CLOSE, "params": near},))
    run = provider.start(made, (fresh(place),), place, builder)
    # The provider chooses the model of the embeddings, so nothing is kept where the grader says.
    assert [each.connection for each in Spending.objects.all()] == [place]
    material.drain(kinds=["dataset.build"])
    wait_until(lambda: material.step(provider.KIND).cursor.get("stage") == "follow")
    give_up(run)
    assert Spending.objects.get().state == Spending.State.RESERVED
    removal.delete(made, builder)
    row = Spending.objects.get()
    assert (row.state, row.settled) == (Spending.State.SETTLED, None)


def test_what_was_deleted_there_meanwhile_is_made_again_by_going_on(
    builder: User, place: Connection, sandbox: Sandbox
) -> None:
    run = provider.start(to_measure(builder, place, 3), (stored(),), place, builder)
    material.drain(kinds=["dataset.build"])
    wait_until(lambda: material.step(provider.KIND).cursor.get("stage") == "follow")
    run.refresh_from_db()
    with connect(place) as upstream:
        upstream.delete_eval(run.upstream["eval"])
    assert work(sandbox).error_code == "gone_there"
    run.refresh_from_db()
    provider.go_on(run, builder)
    assert work(sandbox).error_code == "not_found"
    run.refresh_from_db()
    provider.go_on(run, builder)
    work(sandbox)
    run.refresh_from_db()
    assert (run.state, cells(run)) == (Run.State.DONE, [(2, 1, 0)])


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_connection_that_says_no_is_not_offered_and_says_why(
    builder: User, sandbox: Sandbox, connect_to: Callable[..., Connection], status: int
) -> None:
    place = connect_to(sandbox, "azure-v1", key="sandbox-azure-v1-key", name="Azure")
    faults(sandbox, {"kind": "status", "status": status, "path": "/evals*", "message": "Not here."})
    assert provider_places.unasked_by(builder) == [place]
    assert provider_places.probe(place).ok is False
    assert provider_places.offered_to(builder) == provider_places.unasked_by(builder) == []
    assert provider_places.reason_of(Connection.objects.get(pk=place.pk))


def test_the_form_offers_the_place_and_the_page_shows_what_is_there(
    builder: User,
    sandbox: Sandbox,
    connect_to: Callable[..., Connection],
    client_of: Callable[[User], Client],
) -> None:
    place = connect_to(sandbox, "azure-v1", key="sandbox-azure-v1-key", name="Azure")
    made = to_measure(builder, place, 3)
    measured.ran(made, [stored()], builder)
    client = client_of(builder)
    new = reverse("datasets:run_new", args=[made.pk])
    assert "Ask Azure" in client.get(new).content.decode()
    typed = {"ask": place.pk, "first_model": "typed", "repetitions": "3", "temperature": "0.25"}
    asked = client.post(new, typed)
    assert "At the provider: Azure" in asked.text
    assert re.search(r'name="first_model"[^>]*value="typed"|value="typed"[^>]*name="first_model"', asked.text)
    assert all(f'value="{value}"' in asked.text for value in ("3", "0.25"))
    assert made.runs.count() == 1
    answer = client.post(new, {"stored": "on", "where": str(place.pk)})
    assert answer.status_code == 302, answer.content.decode()
    run = Run.objects.get(backend=Run.Backend.PROVIDER)
    material.drain(kinds=["dataset.build"])
    wait_until(lambda: material.step(provider.KIND).cursor.get("stage") == "follow")
    page = client.get(reverse("datasets:run", args=[made.pk, run.number])).text
    assert 'hx-swap-oob="true"' not in page
    (polled,) = re.findall(r'id="calls" hx-get="([^"]+)"', page)
    calls = {"HX-Request": "true", "HX-Target": "calls"}
    assert "At the provider" not in client.get(unescape(polled), headers=calls).text  # nothing is new
    run.refresh_from_db()
    was = run.upstream["status"]
    wait_until(lambda: status_after_a_step(run, sandbox) != was)
    fresher = client.get(unescape(polled), headers=calls).text
    assert '<section class="panel" id="at-provider" hx-swap-oob="true">' in fresher
    assert run.upstream["status"] in fresher
    assert polled not in fresher
    work(sandbox)
    run.refresh_from_db()
    page = client.get(reverse("datasets:run", args=[made.pk, run.number])).content.decode()
    assert "completed" in page
    assert run.upstream["eval"] in page
    assert f'href="{run.upstream["report_url"]}"' in page
    assert 'rel="noopener noreferrer"' in page
    run.upstream["report_url"] = "javascript:alert(1)"
    run.save()
    assert (
        "javascript:" not in client.get(reverse("datasets:run", args=[made.pk, run.number])).content.decode()
    )


def test_the_sandbox_keeps_evaluations_over_a_restart(
    builder: User, place: Connection, sandbox: Sandbox
) -> None:
    run = ran_there(to_measure(builder, place, 3), stored(), place, builder, sandbox)
    sandbox.stop()
    with Sandbox(sandbox.folder, port=sandbox.port) as again, connect(place) as upstream:
        told = upstream.get_eval_run(run.upstream["eval"], run.upstream["run"])
        pages = list(upstream.output_item_pages(run.upstream["eval"], run.upstream["run"]))
        assert (told.status, told.counts["passed"], len(pages[0].items)) == ("completed", 2, 3)
        upstream.delete_eval(run.upstream["eval"])
        assert not list(upstream.list_evals())
        assert control(again, "GET", "/health")["defects"] == []
