"""The yardstick: the SDK in a loop that makes the same requests as a sync and throws the answers away.

It lists the next page while messages are being fetched, as the sync does.
"""

import json
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter

import openai

NEWEST, PAGE = 1000, 100


def run(base_url: str, key: str, concurrency: int) -> dict[str, float]:
    """Read everything once; seconds and rows."""
    client = openai.OpenAI(base_url=base_url, api_key=key)
    seen: set[str] = set()

    def messages(completion_id: str) -> None:
        for _ in client.chat.completions.messages.list(completion_id, limit=PAGE, order="asc"):
            pass

    def walk(pool: ThreadPoolExecutor, order: str, most: int | None) -> None:
        flying: deque[Future[None]] = deque()
        after, taken = openai.omit, 0
        while most is None or taken < most:
            page = client.chat.completions.list(limit=PAGE, order=order, after=after)  # type: ignore[arg-type]
            for row in page.data:
                if row.id not in seen:
                    seen.add(row.id)
                    flying.append(pool.submit(messages, row.id))
            while len(flying) > PAGE:
                flying.popleft().result()
            taken += len(page.data)
            if not page.has_more:
                break
            after = page.data[-1].id  # type: ignore[assignment]
        while flying:
            flying.popleft().result()

    begun = perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        walk(pool, "desc", NEWEST)
        walk(pool, "asc", None)
    return {"seconds": perf_counter() - begun, "rows": len(seen)}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
