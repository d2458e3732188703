"""How much of the disk each table and index of a mirror takes, as shares of the text that it holds.

`python -m tests.bench.pane_sizes`, in the environment of a place; prints JSON.
"""

import json
from collections.abc import Iterable
from typing import Any

import django

ROW, BODY, WORDS = "completions_storedcompletion", "completions_body", "completions_textindex"
# What stands in rows only for the sake of filtering.
FOR_FILTERS = ("terms", "change", "language", "temperature", "response_format", "answer_is_json", "tools")
AIMS = {"sqlite": {"columns": 0.10, "words": 0.50}, "postgresql": {"columns": 0.25, "words": 1.80}}


def group_of(table: str, index: bool) -> str:
    """The budget on which a table or index is counted."""
    if table.startswith(WORDS):
        return "words"
    if table == BODY:
        return "bodies"
    if table == ROW and not index:
        return "rows"
    return "columns" if table.startswith("completions_") else "other"


def on_sqlite(cursor: Any) -> Iterable[tuple[str, str, bool, int]]:
    """Name, table, whether it is an index, bytes."""
    cursor.execute("SELECT name, tbl_name, type = 'index' FROM sqlite_master")
    of = {name: (table, bool(index)) for name, table, index in cursor.fetchall()}
    cursor.execute("PRAGMA page_size")
    (page,) = cursor.fetchone()
    # Pages, since SQLite counts the bytes of all of them in 32 bits.
    cursor.execute("SELECT name, pageno FROM dbstat WHERE aggregate = TRUE")
    return [(name, *of.get(name, (name, False)), int(pages) * page) for name, pages in cursor.fetchall()]


def on_postgresql(cursor: Any) -> Iterable[tuple[str, str, bool, int]]:
    cursor.execute(
        "SELECT c.relname, coalesce(t.relname, c.relname), c.relkind = 'i',"
        " CASE WHEN c.relkind = 'i' THEN pg_relation_size(c.oid) ELSE pg_table_size(c.oid) END"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'i')"
    )
    return [(name, table, bool(index), int(size)) for name, table, index, size in cursor.fetchall()]


def measure() -> dict[str, Any]:
    """Bytes by table, index and budget."""
    from django.db import connection

    size = "octet_length({})" if connection.vendor == "postgresql" else "length(CAST({} AS BLOB))"
    with connection.cursor() as cursor:
        texts = " + ".join(size.format(name) for name in ("system_text", "prompt_text", "answer_text"))
        cursor.execute(f"SELECT count(*), sum({texts}) FROM {BODY}")  # noqa: S608  # names of ours
        rows, text = (int(each or 0) for each in cursor.fetchone())
        cursor.execute(f"SELECT sum({size.format('raw')}) FROM {BODY}")  # noqa: S608  # as above
        raw = int(cursor.fetchone()[0] or 0)
        kept = " + ".join(
            f"coalesce({'octet_length' if connection.vendor == 'postgresql' else 'length'}({name}"
            f"{'::text' if connection.vendor == 'postgresql' and name != 'terms' else ''}), 0)"
            for name in FOR_FILTERS
        )
        cursor.execute(f"SELECT sum({kept}) FROM {ROW}")  # noqa: S608  # as above
        in_rows = int(cursor.fetchone()[0] or 0)
        sizes = list(on_sqlite(cursor) if connection.vendor == "sqlite" else on_postgresql(cursor))
    groups = {"columns": in_rows, "words": 0, "rows": -in_rows, "bodies": 0, "other": 0}
    for _, table, index, n in sizes:
        groups[group_of(table, index)] += n
    listed = sorted(sizes, key=lambda each: -each[3])
    return {
        "rows": rows,
        "text": text,
        "raw": raw,
        "groups": groups,
        "aims": AIMS[connection.vendor],
        "tables": [
            {"name": name, "index": index, "bytes": n} for name, _, index, n in listed if n > text / 1000
        ],
    }


if __name__ == "__main__":
    django.setup()
    print(json.dumps(measure()))
