"""Write fields of many rows at once: one prepared statement, run for each row.

`bulk_update` builds one statement with a CASE for every row and field; for a dozen rows with JSON that takes
several times as long as asking a model does.
"""

from collections.abc import Sequence

from django.db import connection, models


def keep(rows: Sequence[models.Model], names: Sequence[str]) -> None:
    """Save these fields of rows of one model; call it in a transaction. Rows that are gone stay so."""
    if not rows:
        return
    meta = type(rows[0])._meta
    columns = {field.name: field for field in meta.concrete_fields}
    fields = [columns[name] for name in names]
    key = columns[meta.pk.name]
    quote = connection.ops.quote_name
    assigned = ", ".join(f"{quote(str(field.column))} = %s" for field in fields)
    sql = f"UPDATE {quote(meta.db_table)} SET {assigned} WHERE {quote(str(key.column))} = %s"  # noqa: S608  # names of our own models
    with connection.cursor() as cursor:
        cursor.executemany(
            sql,
            [
                (
                    *(field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields),
                    row.pk,
                )
                for row in rows
            ],
        )
