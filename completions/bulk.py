"""Many rows by one statement said once, for the hot path of a sync: without the ORM's care for single rows.

Values must be what the columns take.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import connection as database
from django.db.models import DateTimeField, JSONField


def next_keys(model: Any, count: int) -> list[int]:
    """As many unused ids, ascending; whoever asks must insert them in the same transaction."""
    table = model._meta.db_table
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count]
            )
            return sorted(pk for (pk,) in cursor.fetchall())
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        last = (cursor.fetchone() or (0,))[0]
        return list(range(last + 1, last + 1 + count))


def insert(model: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that name all columns of their table, the same of each."""
    if not rows:
        return
    names = list(rows[0])
    fields = [model._meta.get_field(name) for name in names]
    quote = database.ops.quote_name
    named = ", ".join(quote(each.column) for each in fields)
    table = quote(model._meta.db_table)
    made = _prepared(fields, ([row[name] for name in names] for row in rows))
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            with database.wrap_database_errors, cursor.copy(f"COPY {table} ({named}) FROM STDIN") as copy:
                for row in made:
                    copy.write_row(row)
        else:
            places = ", ".join(["%s"] * len(fields))
            cursor.executemany(f"INSERT INTO {table} ({named}) VALUES ({places})", made)  # noqa: S608  # our own names


def update(model: Any, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Update rows by their keys, all of them in the same columns."""
    if not rows:
        return
    names = list(rows[0][1])
    fields = [model._meta.get_field(name) for name in names]
    quote = database.ops.quote_name
    settings = ", ".join(f"{quote(each.column)} = %s" for each in fields)
    key = model._meta.pk
    made = _prepared(fields, ([values[name] for name in names] for _, values in rows))
    with database.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {quote(model._meta.db_table)} SET {settings} WHERE {quote(key.column)} = %s",  # noqa: S608  # our own names
            [[*row, pk] for row, (pk, _) in zip(made, rows, strict=True)],
        )


def _prepared(fields: Sequence[Any], rows: Iterable[list[Any]]) -> list[list[Any]]:
    """Rows with what must be made of values that no driver knows."""
    made = list(rows)
    for at, each in enumerate(fields):
        if isinstance(each, JSONField | DateTimeField):
            for row in made:
                row[at] = each.get_db_prep_save(row[at], database)
    return made
