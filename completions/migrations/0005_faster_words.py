from django.db import migrations

# What is kept in the index, by name: what makes a sync quick, and what FTS5 does by default. The words of a
# whole batch are gathered in memory and written at once, and what was written is merged in larger steps, so
# that each word is copied half as often until there are a million rows.
# https://www.sqlite.org/fts5.html#configuration_options_config_table
SETTINGS = {"hashsize": (8 * 2**20, 2**20), "automerge": (16, 4), "crisismerge": (32, 16)}
SET = "INSERT INTO completions_textindex (completions_textindex, rank) VALUES (%s, %s)"
DOCUMENT = "ALTER TABLE completions_textindex ALTER COLUMN document SET"


def has_lz4(schema_editor):
    """Whether this server was built with it."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
        )
        return cursor.fetchone() == (True,)


def hasten(schema_editor):
    """Documents are written once and read whole: what compressing them costs is time of every sync."""
    if has_lz4(schema_editor):
        schema_editor.execute(f"{DOCUMENT} COMPRESSION lz4")
    else:
        schema_editor.execute(f"{DOCUMENT} STORAGE EXTERNAL")


def configure(schema_editor, settings):
    with schema_editor.connection.cursor() as cursor:
        cursor.executemany(SET, list(settings.items()))


def forward(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        hasten(schema_editor)
    else:
        configure(schema_editor, {name: value for name, (value, _) in SETTINGS.items()})


def back(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"{DOCUMENT} STORAGE EXTENDED")
        if has_lz4(schema_editor):
            schema_editor.execute(f"{DOCUMENT} COMPRESSION DEFAULT")
    else:
        configure(schema_editor, {name: value for name, (_, value) in SETTINGS.items()})


class Migration(migrations.Migration):
    dependencies = [("completions", "0004_freezing")]

    operations = [migrations.RunPython(forward, back)]
