"""The provider's own evaluations as verbs: create, run, follow, read what came of every item, cancel.

https://platform.openai.com/docs/api-reference/evals
https://learn.microsoft.com/azure/ai-foundry/openai/latest#create-eval
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

from portal.upstream import cutting, hints, pager
from portal.upstream.asking import Endpoint
from portal.upstream.errors import UpstreamError
from portal.upstream.records import Page, look, mapping, number, words

PREVIEW = {"aoai-evals": "preview"}  # the dated surface wants it, nobody else minds
MOST_PAGES = 200


@dataclass(frozen=True, slots=True)
class EvalInfo:
    id: str
    name: str
    created: int | None
    metadata: dict[str, Any]
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EvalRunInfo:
    """`counts` holds total, errored, failed, passed; `usage` what each model used, none while it waits."""

    id: str
    status: str
    name: str
    created: int | None
    metadata: dict[str, Any]
    report_url: str
    counts: dict[str, int]
    usage: tuple[dict[str, Any], ...]
    error: str
    raw: dict[str, Any]


class Evals(Endpoint):
    """The part of an endpoint that knows evaluations; where it has none, calls raise "not_found"."""

    def has_evals(self) -> UpstreamError | None:
        """None if evaluations can be listed here, else what the service answers."""
        try:
            self._evals_page("/evals", {"limit": "1"}, "")
        except UpstreamError as error:
            return error
        return None

    def create_eval(self, body: Mapping[str, Any]) -> EvalInfo:
        """Create an evaluation with exactly one POST; after `outcome_unknown` look among all of them."""
        return eval_info(
            self._write(
                lambda sdk: sdk.evals.with_raw_response.create(**body, extra_headers=PREVIEW, timeout=60.0),
                action=hints.EVALS,
                again=False,
            )
        )

    def list_evals(self, since: int | None = None) -> Iterator[EvalInfo]:
        """Evaluations, newest first; those created before `since` (unix seconds) end the walk."""
        for row in self._newest("/evals", since):
            yield eval_info(row)

    def delete_eval(self, eval_id: str) -> None:
        """Delete it with its runs; one that is gone already is as good."""
        try:
            self._write(
                lambda sdk: sdk.evals.with_raw_response.delete(eval_id, extra_headers=PREVIEW),
                action=hints.EVALS,
            )
        except UpstreamError as error:
            if error.kind != "not_found":
                raise

    def create_eval_run(self, eval_id: str, body: Mapping[str, Any]) -> EvalRunInfo:
        """Start a run with exactly one POST; after `outcome_unknown` look among the evaluation's runs."""
        return eval_run_info(
            self._write(
                lambda sdk: sdk.evals.runs.with_raw_response.create(
                    eval_id, **body, extra_headers=PREVIEW, timeout=120.0
                ),
                action=hints.EVALS,
                again=False,
            )
        )

    def get_eval_run(self, eval_id: str, run_id: str) -> EvalRunInfo:
        path = f"{_runs(eval_id)}/{quote(run_id, safe='')}"
        return eval_run_info(self._get_object(path, hints.EVALS, PREVIEW))

    def list_eval_runs(self, eval_id: str, since: int | None = None) -> Iterator[EvalRunInfo]:
        """An evaluation's runs, newest first."""
        for row in self._newest(_runs(eval_id), since):
            yield eval_run_info(row)

    def cancel_eval_run(self, eval_id: str, run_id: str) -> EvalRunInfo:
        """https://platform.openai.com/docs/api-reference/evals/cancelRun

        The SDK asks below `/cancel`; where there is no such address, the run's own takes the POST.
        """
        path = f"{_runs(eval_id)}/{quote(run_id, safe='')}"
        try:
            told = self._write(
                lambda sdk: sdk.evals.runs.with_raw_response.cancel(
                    run_id, eval_id=eval_id, extra_headers=PREVIEW
                ),
                action=hints.EVALS,
            )
        except UpstreamError as error:
            if error.kind != "not_found":
                raise
            told = self._write(
                lambda sdk: sdk.post(path, cast_to=httpx2.Response, options={"headers": PREVIEW}),
                action=hints.EVALS,
            )
        return eval_run_info(told)

    def output_item_pages(self, eval_id: str, run_id: str, *, after: str = "") -> Iterator[Page]:
        """What came of every item, oldest first, behind `after`."""
        path = f"{_runs(eval_id)}/{quote(run_id, safe='')}/output_items"

        def fetch(cursor: str, size: int) -> Page:
            return self._evals_page(path, {"limit": str(size), "order": "asc"}, cursor)

        return pager.pages_of(fetch, after=after, limit=100)

    def _newest(self, path: str, since: int | None) -> Iterator[dict[str, Any]]:
        def fetch(cursor: str, size: int) -> Page:
            return self._evals_page(path, {"limit": str(size), "order": "desc"}, cursor)

        for count, page in enumerate(pager.pages_of(fetch, limit=100)):
            rows = [item.value for item in page.items if item.value is not None]
            made = [(number(row, "created_at"), row) for row in rows]
            yield from (row for at, row in made if since is None or at is None or at >= since)
            if count + 1 >= MOST_PAGES or (
                since is not None and any(at is not None and at < since for at, _ in made)
            ):
                return

    def _evals_page(self, path: str, query: Mapping[str, str], after: str) -> Page:
        paging = {"after": after} if after else {}
        return self._get(path, {**query, **paging}, cutting.cut_page, action=hints.EVALS, headers=PREVIEW)


def _runs(eval_id: str) -> str:
    return f"/evals/{quote(eval_id, safe='')}/runs"


def eval_info(raw: dict[str, Any]) -> EvalInfo:
    return EvalInfo(
        words(raw, "id"), words(raw, "name"), number(raw, "created_at"), mapping(raw, "metadata"), raw
    )


def eval_run_info(raw: dict[str, Any]) -> EvalRunInfo:
    counts, usage, error = mapping(raw, "result_counts"), look(raw, "per_model_usage"), mapping(raw, "error")
    entries: Sequence[Any] = usage if isinstance(usage, list) else ()
    return EvalRunInfo(
        id=words(raw, "id"),
        status=words(raw, "status").lower(),
        name=words(raw, "name"),
        created=number(raw, "created_at"),
        metadata=mapping(raw, "metadata"),
        report_url=words(raw, "report_url"),
        counts={name: number(counts, name) or 0 for name in ("total", "errored", "failed", "passed")},
        usage=tuple(entry for entry in entries if isinstance(entry, dict)),
        error=words(error, "message") or words(error, "code"),
        raw=raw,
    )
