from django.db import migrations

# PostgreSQL gathers new words in a list and moves them into the index when it is full: with a larger one,
# about three batches of a sync at once. Looking through the list costs a query less than a millisecond.
# https://www.postgresql.org/docs/current/gin.html#GIN-FAST-UPDATE
INDEX = "ALTER INDEX completions_textindex_words"
KILOBYTES = 16 * 1024


def forward(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"{INDEX} SET (gin_pending_list_limit = {KILOBYTES})")


def back(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"{INDEX} RESET (gin_pending_list_limit)")


class Migration(migrations.Migration):
    dependencies = [("completions", "0006_saved_views")]

    operations = [migrations.RunPython(forward, back)]
