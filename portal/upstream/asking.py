"""How an endpoint is asked: reads are tried again, writes are sent once; failures are UpstreamErrors."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import Any, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx2

from portal.models import Connection, Kind
from portal.upstream import cutting, hints, pager
from portal.upstream.addresses import api_root
from portal.upstream.credentials import SCOPE_MANAGEMENT, Credential, credential_of
from portal.upstream.errors import UpstreamError, clean, error_from_answer
from portal.upstream.management import Management, management_root
from portal.upstream.patience import READ_SECONDS, READ_TRIES, patiently
from portal.upstream.records import Page
from portal.upstream.wire import AGENT, Answer, SdkTransport, Wire

MOST_ROW_PAGES = 200
DATED_VERSION = "2025-04-01-preview"

T = TypeVar("T")


class Endpoint:
    """One connection's endpoint, its credential and its open lines; `Upstream` puts the verbs on top."""

    def __init__(
        self, connection: Connection, *, tries: int = READ_TRIES, seconds: float = READ_SECONDS
    ) -> None:
        self.connection = connection
        self._tries = tries
        self._seconds = seconds
        self._credential = credential_of(connection)
        root = api_root(connection.kind, connection.base_url)
        self._wire = Wire(root)
        self._base = urlsplit(root).path
        version = connection.api_version or (DATED_VERSION if connection.kind == Kind.AZURE_DATED else "")
        self._version = {"api-version": version} if version else {}
        self._sdk_client: Any = None
        self._management: tuple[Wire, Credential] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._wire.close()
        if self._management is not None:
            self._management[0].close()

    def right(self, action: str) -> str:
        """The right that `action` needs here: only Azure names them."""
        return action if self.connection.is_azure or not action else hints.SCOPED

    def _get(
        self,
        path: str,
        query: Mapping[str, str],
        parse: Callable[[bytes, str], T],
        *,
        action: str = "",
        timeout: float = 0.0,
        naps: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """GET below the API's root, tried again where that helps; `parse(body, content type)` reads it."""
        action = self.right(action)
        pairs = {**self._version, **query}
        target = f"{self._base}{path}?{urlencode(pairs)}" if pairs else f"{self._base}{path}"
        answer: T = patiently(
            lambda: self._wire.exchange(
                "GET",
                target,
                self._headers(self._credential) | dict(headers or {}),
                timeout=timeout or self._seconds,
            ),
            parse,
            self._credential,
            action,
            self._tries,
            naps=naps,
        )
        return answer

    def _pieces(self, path: str, *, action: str, timeout: float) -> Iterator[bytes]:
        """The body of one GET as it arrives. What came is not whole until the iterator has ended."""
        target = f"{self._base}{path}" + (f"?{urlencode(self._version)}" if self._version else "")
        for last in (False, True):
            sent = monotonic()
            answer = self._wire.stream(target, self._headers(self._credential), timeout=timeout)
            if answer.status < 400:
                yield from answer.pieces
                return
            error = error_from_answer(
                answer.status,
                answer.headers,
                b"".join(answer.pieces),
                action=self.right(action),
                secrets=self._credential.secrets,
            )
            if last or error.kind != "auth" or not self._credential.forget(sent):
                raise error

    @staticmethod
    def _headers(credential: Credential) -> dict[str, str]:
        return {
            "accept": "application/json",
            "accept-encoding": "gzip",
            "user-agent": AGENT,
            **credential.headers(),
        }

    def _get_object(self, path: str, action: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        return self._get(path, {}, _object, action=action, headers=headers)

    def _pages(self, path: str, query: Mapping[str, str], *, limit: int, action: str) -> Iterator[Page]:
        def fetch(after: str, size: int) -> Page:
            paging = ({"limit": str(size)} if limit else {}) | ({"after": after} if after else {})
            return self._get(path, {**query, **paging}, cutting.cut_page, action=action)

        return pager.pages_of(fetch, limit=limit or 100)

    def _rows(
        self, path: str, query: Mapping[str, str], *, limit: int, action: str
    ) -> Iterable[dict[str, Any]]:
        for number, page in enumerate(self._pages(path, query, limit=limit, action=action)):
            yield from (item.value for item in page.items if item.value is not None)
            if number + 1 >= MOST_ROW_PAGES:
                return

    def _write(self, call: Callable[[Any], Any], *, action: str = "", again: bool = True) -> dict[str, Any]:
        """One call of the SDK, sent once; `again` allows one more after a 401, with a fresh token."""
        import openai

        sent = monotonic()
        try:
            response = call(self._sdk())
        except openai.APIStatusError as failure:
            status, headers = failure.response.status_code, dict(failure.response.headers)
            error = error_from_answer(
                status,
                headers,
                failure.response.content,
                action=self.right(action),
                write=True,
                secrets=self._credential.secrets,
            )
            if error.kind == "auth" and self._credential.forget(sent) and again:
                return self._write(call, action=action, again=False)
            raise error from None  # the SDK's own error carries the request and its headers
        except openai.OpenAIError as failure:
            raise UpstreamError(
                "unreadable", clean(str(failure), self._credential.secrets, 300), outcome_unknown=True
            ) from None
        except (TypeError, ValueError) as failure:
            raise UpstreamError("bad_request", clean(str(failure), self._credential.secrets, 300)) from None
        try:
            return _object(response.content, response.headers.get("content-type", ""))
        except UpstreamError as error:
            error.outcome_unknown = True
            raise

    def _sdk(self) -> Any:
        """The SDK over our wire: the environment has no say, and it never retries."""
        if self._sdk_client is None:
            import openai  # half a second that a mirror's reading does not need

            http_client = httpx2.Client(
                transport=SdkTransport(self._wire, self._credential.headers, self._credential.secrets),
                trust_env=False,
                follow_redirects=False,
                timeout=self._seconds,
            )
            given: dict[str, Any] = {
                "api_key": "replaced by our transport",
                "base_url": api_root(self.connection.kind, self.connection.base_url),
                "http_client": http_client,
                "max_retries": 0,
                "organization": "",
                "project": "",
                "webhook_secret": "",
            }
            if self.connection.kind == Kind.AZURE_DATED:
                # Its class puts the deployment's name into the path.
                self._sdk_client = openai.AzureOpenAI(api_version=self._version["api-version"], **given)
            else:
                self._sdk_client = openai.OpenAI(default_query=self._version, **given)
        return self._sdk_client

    def _manage(self) -> Management:
        if self._management is None:
            credential = credential_of(self.connection, scope=SCOPE_MANAGEMENT)
            self._management = (Wire(management_root(self.connection)), credential)
        wire, credential = self._management

        def send(method: str, target: str, body: bytes | None = None) -> Answer:
            def once() -> Answer:
                headers = self._headers(credential) | ({"content-type": "application/json"} if body else {})
                return wire.exchange(method, target, headers, body, timeout=self._seconds)

            if method == "GET":
                answer: Answer = patiently(
                    once, lambda whole, _: whole, credential, hints.DEPLOY, self._tries, whole=True
                )
                return answer
            answer = once()
            if answer.status >= 400:
                raise error_from_answer(
                    answer.status,
                    answer.headers,
                    answer.body,
                    action=hints.DEPLOY,
                    write=True,
                    secrets=credential.secrets,
                )
            return answer

        return Management(self.connection, send, lambda answer: _object(answer.body, ""))


def _object(body: bytes, content_type: str) -> dict[str, Any]:
    item = cutting.cut_one(body, content_type)
    if item.value is None:
        raise UpstreamError("unreadable", f"The answer is {item.problem}.", code="not_json")
    return item.value
