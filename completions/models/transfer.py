"""What comes in from files and goes out to them."""

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse

from completions.querysets import ExportQuerySet, ImportQuerySet


class Import(models.Model):
    """A file that somebody uploaded, on its way into the rows of a connection of files.

    Until it is begun it is a preview of its owner. `counts` is what became of its lines, written with them in
    one transaction. The file is kept until every line is dealt with, or for as long as it may be tried again.
    """

    class Shape(models.TextChoices):
        STORED = "stored", "Stored completions"
        PAIRS = "pairs", "Requests and responses"
        TUNING = "tuning", "Fine-tuning examples"
        TABLE = "table", "A table (CSV)"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    connection = models.ForeignKey(
        "portal.Connection", models.CASCADE, null=True, related_name="imports", help_text="Once it is begun."
    )
    file_name = models.CharField(max_length=200, help_text="As the browser named it; only shown.")
    path = models.CharField(
        max_length=200, blank=True, help_text="Among the artifacts; empty once it is gone."
    )
    size = models.BigIntegerField(default=0)
    shape = models.CharField(max_length=8, choices=Shape.choices)
    mapping = models.JSONField(default=dict, help_text="Of a table: its delimiter, and what each column is.")
    counts = models.JSONField(default=dict)
    operation = models.ForeignKey("portal.Operation", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    objects: Any = ImportQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="import_shape_is_known",
                condition=models.Q(shape__in=["stored", "pairs", "tuning", "table"]),
            ),
        ]

    def __str__(self) -> str:
        return self.file_name

    def get_absolute_url(self) -> str:
        return reverse("completions:import", args=[self.pk])

    @property
    def begun(self) -> bool:
        return self.connection_id is not None


class ImportProblem(models.Model):
    """A line of an import that could not be taken. The first 10,000 are kept, all are counted."""

    source = models.ForeignKey(Import, models.CASCADE, related_name="problems")
    line = models.BigIntegerField()
    reason = models.CharField(max_length=300)

    objects: Any = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_problem_per_line", fields=["source", "line"]),
        ]

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class Export(models.Model):
    """A file of completions that were selected: written by an operation, kept for some days, then deleted."""

    class Form(models.TextChoices):
        STORED = "stored", "Stored completions (JSONL)"
        CHAT = "chat", "Chat examples (JSONL)"
        TABLE = "table", "Table (CSV)"
        PARQUET = "parquet", "Table (Parquet)"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    selection = models.ForeignKey("completions.FrozenSelection", models.SET_NULL, null=True, related_name="+")
    connections = models.ManyToManyField("portal.Connection", related_name="exports")
    title = models.CharField(max_length=120)
    form = models.CharField(max_length=8, choices=Form.choices)
    options = models.JSONField(
        default=dict, help_text="Columns, and whether reviews and corrections go along."
    )
    selected = models.IntegerField(default=0)
    rows = models.IntegerField(default=0)
    left_out = models.JSONField(default=dict, help_text="Rows that are not in the file, by why.")
    path = models.CharField(max_length=200, blank=True, help_text="Among the artifacts, once it is complete.")
    size = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    operation = models.ForeignKey("portal.Operation", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField()

    objects: Any = ExportQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="export_form_is_known",
                condition=models.Q(form__in=["stored", "chat", "table", "parquet"]),
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("completions:exports")

    @property
    def ready(self) -> bool:
        return bool(self.path)

    @property
    def extension(self) -> str:
        return {"table": "csv", "parquet": "parquet"}.get(self.form, "jsonl")
