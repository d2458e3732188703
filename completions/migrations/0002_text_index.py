from django.db import migrations

SQLITE = (
    # The words are made in Python (completions.search.tokens): "ascii" takes every character beyond ASCII as part of
    # a word, and the underscore is the gap that stands for a word left out.
    "CREATE VIRTUAL TABLE completions_textindex USING fts5("
    "prompt, answer, system, content='', columnsize=0, tokenize=\"ascii tokenchars '_'\")",
)
POSTGRES = (
    "CREATE TABLE completions_textindex (completion_id bigint PRIMARY KEY, document tsvector NOT NULL)",
    "CREATE INDEX completions_textindex_words ON completions_textindex USING gin (document)",
)


def create(apps, schema_editor):
    for statement in POSTGRES if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def drop(apps, schema_editor):
    schema_editor.execute("DROP TABLE completions_textindex")


class Migration(migrations.Migration):
    dependencies = [("completions", "0001_initial")]

    operations = [migrations.RunPython(create, drop)]
