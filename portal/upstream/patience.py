"""How often a read is tried again, and how long it waits in between."""

import random
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from portal.upstream.credentials import Credential
from portal.upstream.errors import UpstreamError, error_from_answer
from portal.upstream.wire import Answer

READ_SECONDS = 30.0
READ_TRIES = 4
READ_BUDGET = 40.0  # a try is not begun later than this after the first
LONGEST_NAP = 2.0  # a longer wait is the caller's to plan


def patiently(
    once: Callable[[], Answer],
    parse: Callable[..., Any],
    credential: Credential,
    action: str,
    most: int,
    *,
    whole: bool = False,
    naps: bool = True,
) -> Any:
    """Ask until there is a readable answer or no hope of one."""
    begun, tries, refreshed = monotonic(), 0, False
    while True:
        sent = monotonic()
        try:
            answer = once()
            if answer.status < 400:
                return parse(answer if whole else answer.body, answer.headers.get("content-type", ""))
            error = error_from_answer(
                answer.status, answer.headers, answer.body, action=action, secrets=credential.secrets
            )
            if answer.headers.get("x-should-retry") == "false":
                tries = most
        except UpstreamError as caught:
            error = caught
        if error.kind == "auth" and not refreshed and credential.forget(sent):
            refreshed = True
            continue
        tries += 1
        nap = _nap(error, tries, most) if naps or error.kind != "throttled" else None
        if nap is None or monotonic() - begun + nap > READ_BUDGET:
            raise error
        sleep(nap)


def _nap(error: UpstreamError, tries: int, most: int) -> float | None:
    """Seconds to wait before another try; None to give up."""
    if error.kind == "throttled":
        wait = 1.0 if error.retry_after is None else error.retry_after
        return wait + random.random() * 0.1 if wait <= LONGEST_NAP and tries <= 2 else None
    if error.permanent or tries >= most or error.kind in ("stalled", "loop", "throttled"):
        return None
    backoff = 0.25 * 2.0 ** (tries - 1) * (0.5 + random.random())
    told = error.retry_after or 0.0
    return max(backoff, told) if told <= LONGEST_NAP else None
