import struct
import uuid

import django.db.models.deletion
from django.db import migrations, models


def drop_postings(apps, schema_editor):
    """What they were for is answered from columns; their rows are not needed to make those."""
    schema_editor.execute("DROP TABLE completions_posting")


def make_postings(apps, schema_editor):
    """The table as it was, with what the rows' terms say."""
    if schema_editor.connection.vendor == "sqlite":
        key, tail = "term_id, created DESC, completion_id DESC", " WITHOUT ROWID"
    else:
        key, tail = "term_id, created, completion_id", ""
    schema_editor.execute(
        "CREATE TABLE completions_posting (term_id bigint NOT NULL, created bigint NOT NULL,"
        f" completion_id bigint NOT NULL, PRIMARY KEY ({key})){tail}"
    )
    Term = apps.get_model("completions", "Term")
    Term.objects.exclude(kind__in=("metadata", "model", "flag")).delete()
    kept = set(Term.objects.values_list("pk", flat=True))
    StoredCompletion = apps.get_model("completions", "StoredCompletion")
    rows = StoredCompletion.objects.filter(terms__isnull=False).order_by("pk")
    for pk, created, blob in rows.values_list("pk", "created", "terms").iterator(chunk_size=2000):
        held = {term for _, term in struct.iter_unpack("<2I", bytes(blob))}
        with schema_editor.connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO completions_posting (term_id, created, completion_id) VALUES (%s, %s, %s)",
                [(term, created, pk) for term in held & kept],
            )


def keep_blobs_whole(apps, schema_editor):
    """Segments are read whole and hold little that shrinks: PostgreSQL need not try to compress them."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE completions_columnsegment ALTER COLUMN data SET STORAGE EXTERNAL")


def begin_mirrors(apps, schema_editor):
    """Rows that are here already are read again in the background; until then `derived` says that they were not."""
    Connection = apps.get_model("portal", "Connection")
    Mirror = apps.get_model("completions", "Mirror")
    StoredCompletion = apps.get_model("completions", "StoredCompletion")
    for pk in Connection.objects.values_list("pk", flat=True):
        if StoredCompletion.objects.filter(connection_id=pk).exists():
            Mirror.objects.create(connection_id=pk)


class Migration(migrations.Migration):
    dependencies = [
        ("completions", "0002_text_index"),
        ("portal", "0002_audit_names"),
    ]

    operations = [
        migrations.CreateModel(
            name="ColumnSegment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("rows", models.IntegerField()),
                ("min_id", models.BigIntegerField()),
                ("max_id", models.BigIntegerField()),
                ("min_created", models.BigIntegerField()),
                ("max_created", models.BigIntegerField()),
                ("data", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="Mirror",
            fields=[
                (
                    "connection",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="mirror",
                        serialize=False,
                        to="portal.connection",
                    ),
                ),
                (
                    "epoch",
                    models.UUIDField(
                        default=uuid.uuid4, help_text="Tells this mirror from one that was here before."
                    ),
                ),
                (
                    "change",
                    models.BigIntegerField(default=0, help_text="Number of the last writing transaction."),
                ),
                (
                    "packed",
                    models.BigIntegerField(
                        default=0, help_text="Changes up to this one are in the segments."
                    ),
                ),
                ("unpacked", models.IntegerField(default=0, help_text="About how many rows changed since.")),
                (
                    "derived",
                    models.SmallIntegerField(
                        default=0, help_text="Version of the derivation that all rows have."
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Removed",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("change", models.BigIntegerField()),
                ("ids", models.BinaryField()),
            ],
        ),
        migrations.RemoveIndex(
            model_name="storedcompletion",
            name="sc_newest_everywhere",
        ),
        migrations.RemoveIndex(
            model_name="storedcompletion",
            name="sc_newest_of_model",
        ),
        migrations.RemoveIndex(
            model_name="storedcompletion",
            name="sc_gone",
        ),
        migrations.AddField(
            model_name="storedcompletion",
            name="answer_is_json",
            field=models.BooleanField(null=True),
        ),
        migrations.AddField(
            model_name="storedcompletion",
            name="change",
            field=models.BigIntegerField(
                help_text="Mirror.change when it last became another row.", null=True
            ),
        ),
        migrations.AddField(
            model_name="storedcompletion",
            name="language",
            field=models.CharField(max_length=8, null=True),
        ),
        migrations.AddField(
            model_name="storedcompletion",
            name="response_format",
            field=models.CharField(max_length=20, null=True),
        ),
        migrations.AddField(
            model_name="storedcompletion",
            name="temperature",
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name="storedcompletion",
            name="terms",
            field=models.BinaryField(
                help_text="Sorted pairs of little-endian uint32: the field's term, the value's term.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="storedcompletion",
            name="tools",
            field=models.JSONField(help_text="Names of the tools that were called.", null=True),
        ),
        migrations.AlterField(
            model_name="term",
            name="key",
            field=models.CharField(blank=True, max_length=220),
        ),
        migrations.AlterField(
            model_name="term",
            name="kind",
            field=models.CharField(
                choices=[
                    ("metadata", "Metadata"),
                    ("model", "Model"),
                    ("flag", "Flag"),
                    ("finish", "Finish reason"),
                    ("tool", "Called tool"),
                    ("language", "Language"),
                    ("format", "Response format"),
                    ("field", "Field"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="storedcompletion",
            index=models.Index(
                condition=models.Q(("change__isnull", False)),
                fields=["connection", "change"],
                name="sc_changed",
            ),
        ),
        migrations.AddIndex(
            model_name="storedcompletion",
            index=models.Index(
                condition=models.Q(("request_id", ""), _negated=True),
                fields=["connection", "request_id"],
                name="sc_request",
            ),
        ),
        migrations.AddField(
            model_name="columnsegment",
            name="connection",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="segments", to="portal.connection"
            ),
        ),
        migrations.AddField(
            model_name="removed",
            name="connection",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="removed",
                to="portal.connection",
            ),
        ),
        migrations.AddConstraint(
            model_name="removed",
            constraint=models.UniqueConstraint(
                fields=("connection", "change"), name="one_removal_per_change"
            ),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel(name="Posting")],
            database_operations=[migrations.RunPython(drop_postings, make_postings)],
        ),
        migrations.RunPython(keep_blobs_whole, migrations.RunPython.noop),
        migrations.RunPython(begin_mirrors, migrations.RunPython.noop),
    ]
