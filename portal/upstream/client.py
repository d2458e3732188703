"""An endpoint as our verbs: stored completions, files, fine-tuning jobs, models, chat, deployments."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any
from urllib.parse import quote

import httpx2

from portal.upstream import cutting, hints, messages, pager
from portal.upstream.asking import MOST_ROW_PAGES
from portal.upstream.errors import UpstreamError
from portal.upstream.evals import Evals
from portal.upstream.records import (
    ChatAnswer,
    CheckpointInfo,
    DeploymentInfo,
    Embeddings,
    EventInfo,
    FileInfo,
    Item,
    JobInfo,
    Messages,
    ModelInfo,
    Page,
    chat_answer,
    checkpoint_info,
    embeddings,
    event_info,
    file_info,
    job_info,
    model_info,
)


class Upstream(Evals):
    """One connection's endpoint. Safe to share between threads; close it, or use it in a `with` statement.

    Reads are tried again inside (four times within about 40 seconds, and never after a wait of more than
    two); writes are sent once. Every failure is an UpstreamError.
    """

    # Stored completions: https://platform.openai.com/docs/api-reference/chat/list

    def list_stored(
        self,
        *,
        after: str = "",
        order: str = "asc",
        limit: int = 100,
        model: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Page:
        """One page, one request.

        A metadata pair with an empty value is left out, as services ignore it: check such rows again.
        """
        query = {
            "limit": str(limit),
            "order": order,
        }  # order always: its default differs between API surfaces
        if after:
            query["after"] = after
        if model:
            query["model"] = model
        for key, value in (metadata or {}).items():
            if value:
                query[f"metadata[{key}]"] = value
        return self._get("/chat/completions", query, cutting.cut_page, action=hints.READ)

    def stored_pages(
        self,
        *,
        after: str = "",
        order: str = "asc",
        limit: int = 100,
        model: str = "",
        metadata: Mapping[str, str] | None = None,
        fall_back: Sequence[str] = (),
    ) -> Iterator[Page]:
        """Every page behind `after`; see `pager.pages_of` for how it ends."""

        def fetch(cursor: str, size: int) -> Page:
            return self.list_stored(after=cursor, order=order, limit=size, model=model, metadata=metadata)

        return pager.pages_of(fetch, after=after, limit=limit, fall_back=fall_back)

    def messages(self, completion_id: str, *, naps: bool = True) -> Messages:
        """All input messages in order. Without `naps` a 429 is raised at once, for callers that slow down.

        A service that gives them no ids is asked once for a longer page.
        """
        path = f"/chat/completions/{quote(completion_id, safe='')}/messages"

        def fetch(query: Mapping[str, str]) -> tuple[bytes, dict[str, Any] | str]:
            return self._get(path, query, messages.read_page, action=hints.READ, naps=naps)

        return messages.all_messages(fetch, completion_id)

    def get_stored(self, completion_id: str, *, naps: bool = True) -> Item:
        """One completion as it stands. Without `naps` a 429 is raised at once."""
        path = f"/chat/completions/{quote(completion_id, safe='')}"
        return self._get(path, {}, cutting.cut_one, action=hints.READ, naps=naps)

    def update_metadata(self, completion_id: str, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Set the metadata with one request; services replace or merge, so compare the answer's `metadata`.

        https://platform.openai.com/docs/api-reference/chat/update
        """
        return self._write(
            lambda sdk: sdk.chat.completions.with_raw_response.update(completion_id, metadata=dict(metadata)),
            action=hints.ACTION,
        )

    def delete_completion(self, completion_id: str) -> None:
        """Delete upstream with one request; one that upstream does not have (any more) raises "not_found".

        Whether that means success is the caller's to say, who knows what was sent before.
        https://platform.openai.com/docs/api-reference/chat/delete
        """
        answer = self._write(
            lambda sdk: sdk.chat.completions.with_raw_response.delete(completion_id), action=hints.ACTION
        )
        if answer.get("deleted") is not True:
            raise UpstreamError(
                "unreadable",
                "It answered without saying that the completion is deleted.",
                http_status=200,
                outcome_unknown=True,
            )

    # Models, chat, embeddings

    def chat(
        self,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        store: bool,
        metadata: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        **params: Any,
    ) -> ChatAnswer:
        """One answer, asked for once. `store` has no default: what is not said may be stored."""
        body = {**params, "model": model, "messages": list(messages), "store": store}
        if metadata:
            body["metadata"] = dict(metadata)
        # Its method for one endpoint would look through every message for what it has to rename: a fifth of
        # a call's processor time, and a message of the wire has nothing of the kind.
        return chat_answer(
            self._write(
                lambda sdk: sdk.post(
                    "/chat/completions", cast_to=httpx2.Response, body=body, options={"timeout": timeout}
                ),
                action=hints.ACTION if store else "",
            )
        )

    def embeddings(self, model: str, texts: Sequence[str]) -> Embeddings:
        """The vectors of the texts in their order, and what that used."""
        return embeddings(
            self._write(
                lambda sdk: sdk.embeddings.with_raw_response.create(
                    model=model, input=list(texts), encoding_format="float"
                )
            ),
            len(texts),
        )

    def models(self) -> list[ModelInfo]:
        page = self._get("/models", {}, cutting.cut_page)
        return [model_info(item.value) for item in page.items if item.value is not None and item.id]

    # Files: https://platform.openai.com/docs/api-reference/files

    def upload_file(self, name: str, fileobj: IO[bytes], purpose: str) -> FileInfo:
        return file_info(
            self._write(
                lambda sdk: sdk.files.with_raw_response.create(
                    file=(name, fileobj, "application/octet-stream"), purpose=purpose, timeout=600.0
                ),
                action=hints.FINE_TUNE,
                again=False,
            )
        )

    def get_file(self, file_id: str) -> FileInfo:
        return file_info(self._get_object(f"/files/{quote(file_id, safe='')}", hints.FINE_TUNE))

    def list_files(self, purpose: str) -> list[FileInfo]:
        rows = self._rows("/files", {"purpose": purpose}, limit=0, action=hints.FINE_TUNE)
        return [file_info(row) for row in rows]

    def delete_file(self, file_id: str) -> None:
        try:
            self._write(lambda sdk: sdk.files.with_raw_response.delete(file_id), action=hints.FINE_TUNE)
        except UpstreamError as error:
            if error.kind != "not_found":
                raise

    def file_content(self, file_id: str) -> bytes:
        path = f"/files/{quote(file_id, safe='')}/content"
        return self._get(path, {}, lambda body, _: body, action=hints.FINE_TUNE, timeout=120.0)

    def file_pieces(self, file_id: str) -> Iterator[bytes]:
        """A file of any size in pieces; an error in the middle means that what came must be thrown away."""
        path = f"/files/{quote(file_id, safe='')}/content"
        return self._pieces(path, action=hints.FINE_TUNE, timeout=120.0)

    # Fine-tuning: https://platform.openai.com/docs/api-reference/fine-tuning

    def create_job(self, body: Mapping[str, Any]) -> JobInfo:
        """Start a job with exactly one POST; after an error with `outcome_unknown`, look among the jobs."""
        rest = {key: value for key, value in body.items() if key not in ("model", "training_file")}
        return job_info(
            self._write(
                lambda sdk: sdk.fine_tuning.jobs.with_raw_response.create(
                    model=body["model"], training_file=body["training_file"], extra_body=rest, timeout=60.0
                ),
                action=hints.FINE_TUNE,
                again=False,
            )
        )

    def get_job(self, job_id: str) -> JobInfo:
        return job_info(self._get_object(f"/fine_tuning/jobs/{quote(job_id, safe='')}", hints.FINE_TUNE))

    def list_jobs(self, since: int | None = None) -> Iterator[JobInfo]:
        """Jobs, newest first; those created before `since` (unix seconds) end the walk."""
        for page in self._pages("/fine_tuning/jobs", {}, limit=100, action=hints.FINE_TUNE):
            found = [job_info(item.value) for item in page.items if item.value is not None]
            yield from (job for job in found if since is None or job.created is None or job.created >= since)
            if since is not None and any(job.created is not None and job.created < since for job in found):
                return

    def cancel_job(self, job_id: str) -> JobInfo:
        return job_info(
            self._write(
                lambda sdk: sdk.fine_tuning.jobs.with_raw_response.cancel(job_id), action=hints.FINE_TUNE
            )
        )

    def pause_job(self, job_id: str) -> JobInfo:
        """https://platform.openai.com/docs/api-reference/fine-tuning/pause"""
        return job_info(
            self._write(
                lambda sdk: sdk.fine_tuning.jobs.with_raw_response.pause(job_id), action=hints.FINE_TUNE
            )
        )

    def resume_job(self, job_id: str) -> JobInfo:
        """https://platform.openai.com/docs/api-reference/fine-tuning/resume"""
        return job_info(
            self._write(
                lambda sdk: sdk.fine_tuning.jobs.with_raw_response.resume(job_id), action=hints.FINE_TUNE
            )
        )

    def job_events(
        self, job_id: str, *, enough: Callable[[Sequence[EventInfo]], bool] | None = None
    ) -> list[EventInfo]:
        """Events in the order in which they happened; services list them in either.

        `enough(page)` may end the walk behind a page; it is asked only where newer events come first.
        """
        path = f"/fine_tuning/jobs/{quote(job_id, safe='')}/events"
        found: list[EventInfo] = []
        for number, page in enumerate(self._pages(path, {}, limit=100, action=hints.FINE_TUNE)):
            events = [event_info(item.value) for item in page.items if item.value is not None]
            found += events
            falling = len(events) > 1 and (events[0].created or 0) > (events[-1].created or 0)
            if number + 1 >= MOST_ROW_PAGES or (falling and enough is not None and enough(events)):
                break
        descending = len(found) > 1 and (found[0].created or 0) > (found[-1].created or 0)
        return sorted(reversed(found) if descending else found, key=lambda event: event.created or 0)

    def job_checkpoints(self, job_id: str) -> list[CheckpointInfo]:
        path = f"/fine_tuning/jobs/{quote(job_id, safe='')}/checkpoints"
        found = [checkpoint_info(row) for row in self._rows(path, {}, limit=10, action=hints.FINE_TUNE)]
        return sorted(found, key=lambda checkpoint: checkpoint.step or 0)

    # Deployments, on Azure's management plane

    def put_deployment(self, name: str, body: Mapping[str, Any]) -> DeploymentInfo:
        return self._manage().put(name, body)

    def get_deployment(self, name: str) -> DeploymentInfo:
        return self._manage().get(name)

    def list_deployments(self) -> list[DeploymentInfo]:
        return self._manage().all()

    def delete_deployment(self, name: str) -> None:
        self._manage().delete(name)
