"""The same pages as bare SQL on the tables that there are, written by hand: a yardstick for a page of fifty
rows.

Every statement reads the newest fifty of what matches, with the columns of the table. Connections are read
one by one along the index (connection, created, id) and merged, which is the best plan for many rows; what no
index serves walks the same way until the page is full.
"""

from collections.abc import Callable
from typing import Any

PAGE = 50
_COLUMNS = (
    "id, connection_id, upstream_id, created, prompt_preview, answer_preview, model, metadata,"
    " total_tokens, finish_reason, messages_state, gone_at"
)
_ROWS = "completions_storedcompletion"


def statement(name: str, vendor: str, connections: list[int], deep: str) -> Callable[[Any], Any] | None:
    """What to run with a cursor, or None where no bare SQL makes sense."""
    if not name:
        return None
    kind, _, rest = name.partition(":")
    if kind == "word":
        return _run(*_word(rest, vendor))
    condition: str = ""
    parameters: list[Any] = []
    if kind == "deep":
        created, _, pk = deep.partition(".")
        condition = "AND created <= %s AND (created < %s OR id < %s)"
        parameters = [int(created), int(created), int(pk)]
    elif kind == "pair":
        key, _, value = rest.partition(":")
        held = "metadata ->> %s" if vendor == "postgresql" else "json_extract(metadata, %s)"
        condition, parameters = f"AND {held} = %s", [key if vendor == "postgresql" else f"$.{key}", value]
    elif kind == "model":
        condition, parameters = "AND model = %s", [rest]
    elif kind == "tokens":
        low, _, high = rest.partition("..")
        condition, parameters = "AND total_tokens BETWEEN %s AND %s", [int(low), int(high)]
    one = (
        f"SELECT * FROM (SELECT id, created FROM {_ROWS} WHERE connection_id = %s {condition}"  # noqa: S608  # ours
        f" ORDER BY created DESC, id DESC LIMIT {PAGE}) AS branch"
    )
    union = " UNION ALL ".join(one.replace("branch", f"branch{pk}") for pk in connections)
    return _run(
        f"SELECT {_COLUMNS} FROM {_ROWS} WHERE id IN (SELECT id FROM ({union}) AS merged"  # noqa: S608  # as above
        f" ORDER BY created DESC, id DESC LIMIT {PAGE}) ORDER BY created DESC, id DESC",
        [each for pk in connections for each in (pk, *parameters)],
    )


def _word(word: str, vendor: str) -> tuple[str, list[Any]]:
    """SQLite walks the index of words from the newest arrival; PostgreSQL has its planner choose."""
    if vendor == "sqlite":
        found = (
            f"SELECT rowid FROM completions_textindex WHERE completions_textindex MATCH %s"  # noqa: S608  # ours
            f" ORDER BY rowid DESC LIMIT {PAGE}"
        )
        return (
            f"SELECT {_COLUMNS} FROM {_ROWS} WHERE id IN ({found}) ORDER BY created DESC, id DESC",  # noqa: S608
            [f'"{word}"'],
        )
    found = "SELECT completion_id FROM completions_textindex WHERE document @@ %s::tsquery"
    return (
        f"SELECT {_COLUMNS} FROM {_ROWS} WHERE id IN ({found}) ORDER BY created DESC, id DESC LIMIT {PAGE}",  # noqa: S608
        [f"'{word}'"],
    )


def _run(sql: str, parameters: list[Any]) -> Callable[[Any], Any]:
    def run(cursor: Any) -> Any:
        cursor.execute(sql, parameters)
        return cursor.fetchall()

    return run
