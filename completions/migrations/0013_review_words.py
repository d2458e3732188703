from django.db import migrations

SQLITE = (
    # As the large index (0002_text_index), but it keeps its words: they are few, and rows can be replaced.
    "CREATE VIRTUAL TABLE completions_reviewindex USING fts5("
    "prompt, answer, columnsize=0, tokenize=\"ascii tokenchars '_'\")",
)
POSTGRES = (
    "CREATE TABLE completions_reviewindex (completion_id bigint PRIMARY KEY, document tsvector NOT NULL)",
    "CREATE INDEX completions_reviewindex_words ON completions_reviewindex USING gin (document)",
)


def create(apps, schema_editor):
    for statement in POSTGRES if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def drop(apps, schema_editor):
    schema_editor.execute("DROP TABLE completions_reviewindex")


class Migration(migrations.Migration):
    dependencies = [("completions", "0011_transfer")]

    operations = [migrations.RunPython(create, drop)]
