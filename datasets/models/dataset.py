"""Datasets and their immutable versions. The file is the frozen copy of the text; examples point into it."""

from dataclasses import dataclass
from typing import Any

from django.db import models

from portal.querysets import FromConnectionsQuerySet


class Purpose(models.TextChoices):
    SUPERVISED = "supervised", "Supervised fine-tuning"
    PREFERENCE = "preference", "Preference pairs"
    REINFORCEMENT = "reinforcement", "Reinforcement fine-tuning"
    EVALUATION = "evaluation", "Evaluation items"


class DatasetQuerySet(models.QuerySet[Any]):
    """Datasets; the rights are those on every version's sources."""

    def _with(self, word: str, user: Any) -> "DatasetQuerySet":
        versions = DatasetVersion.objects
        refused = versions.exclude(pk__in=getattr(versions, word)(user).values("pk"))
        return self.exclude(pk__in=refused.values("dataset"))

    def readable_by(self, user: Any) -> "DatasetQuerySet":
        return self._with("readable_by", user)

    def reviewable_by(self, user: Any) -> "DatasetQuerySet":
        return self._with("reviewable_by", user)

    def actionable_by(self, user: Any) -> "DatasetQuerySet":
        return self._with("actionable_by", user)

    def manageable_by(self, user: Any) -> "DatasetQuerySet":
        return self._with("manageable_by", user)


class Dataset(models.Model):
    name = models.CharField(max_length=120)
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    owner = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    objects: Any = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Part:
    """One split of a version: a run of lines of its file, which is a file of its own upstream.

    `first_line` counts from 1 over the whole file, `offset` and `size` are bytes, `tokens` is for one epoch.
    """

    name: str
    first_line: int
    rows: int
    offset: int
    size: int
    sha256: str
    file_name: str
    tokens: int = 0


class DatasetVersion(models.Model):
    """One build of a dataset. Once ready, nothing of it changes.

    All splits stand in one file, one after the other: train, validation, test. `splits` says where each is.
    """

    class Origin(models.TextChoices):
        SELECTION = "selection", "Built from a selection"
        UPLOAD = "upload", "Uploaded"
        UPSTREAM = "upstream", "Imported from the provider's files"

    class State(models.TextChoices):
        DRAFT = "draft", "Being chosen"
        BUILDING = "building", "Being built"
        READY = "ready", "Ready"
        REFUSED = "refused", "Refused"
        FAILED = "failed", "Failed"

    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    frozen_selection = models.ForeignKey(
        "completions.FrozenSelection", models.SET_NULL, null=True, blank=True, related_name="versions"
    )
    origin = models.CharField(max_length=10, choices=Origin.choices, default=Origin.SELECTION)
    source = models.JSONField(default=dict, help_text="Of an upload or import: file name, size, upstream id.")
    parent = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="children", help_text="The version it was made from."
    )
    note = models.CharField(max_length=200, blank=True, help_text="What is new in it, in words.")
    connections = models.ManyToManyField("portal.Connection", related_name="dataset_versions")
    recipe = models.JSONField(default=dict, help_text="Every rule and setting of the build, as data.")
    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT)
    file_name = models.CharField(
        max_length=80, blank=True, help_text="Random, so that it tells nothing upstream."
    )
    path = models.CharField(max_length=200, blank=True, help_text="Name in the artifacts storage.")
    sha256 = models.CharField(max_length=64, blank=True)
    size = models.BigIntegerField(default=0, help_text="Bytes.")
    rows = models.IntegerField(default=0)
    splits = models.JSONField(default=list, help_text="Each a Part, in the order of the file.")
    counts = models.JSONField(default=dict, help_text="selected, written, tokens, left_out: {reason: n}.")
    problems = models.JSONField(default=list, help_text="What validation found: code, line, text, severity.")
    refusal = models.TextField(blank=True)
    created_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    built = models.DateTimeField(null=True)

    objects: Any = FromConnectionsQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(name="one_version_per_number", fields=["dataset", "number"])]

    def __str__(self) -> str:
        return f"{self.dataset} v{self.number}"

    @property
    def parts(self) -> list[Part]:
        """The splits of a version that is built, in the order of its file."""
        if self.splits:
            return [Part(**split) for split in self.splits]
        if not self.sha256:
            return []
        whole = self.counts.get("tokens", 0)
        return [Part("train", 1, self.rows, 0, self.size, self.sha256, self.file_name, whole)]

    def part(self, name: str) -> Part | None:
        """The split of that name, if the version has it."""
        return next((part for part in self.parts if part.name == name), None)

    @property
    def left_out_total(self) -> int:
        """How many of the selected completions have no row."""
        return sum(self.counts.get("left_out", {}).values())


class Example(models.Model):
    """One line of a version's file, or one completion that was left out (then `excluded_reason` says why)."""

    version = models.ForeignKey(DatasetVersion, models.CASCADE, related_name="examples")
    position = models.IntegerField(help_text="Order within the version, left-out ones included, from 0.")
    line = models.IntegerField(null=True, help_text="Line number in the file, from 1; null if left out.")
    completion = models.ForeignKey(
        "completions.StoredCompletion", models.SET_NULL, null=True, related_name="examples"
    )
    source_key = models.CharField(max_length=300, help_text="<connection slug>/<upstream id>.")
    content_hash = models.CharField(max_length=64, blank=True)
    offset = models.BigIntegerField(null=True, help_text="Byte offset of the line in the file.")
    length = models.IntegerField(null=True)
    tokens = models.IntegerField(null=True)
    split = models.CharField(max_length=12, default="train")
    excluded_reason = models.CharField(
        max_length=120, blank=True, help_text="A code, or a sentence; one left out by hand begins `by_hand:`."
    )
    # What choosing among rows needs to know of each; taken when the row is written.
    prompt_key = models.CharField(
        max_length=16, blank=True, help_text="The same of rows that ask the same (completions.duplicates)."
    )
    conversation = models.CharField(
        max_length=16, blank=True, help_text="The same of rows whose conversations begin alike."
    )
    stratum = models.CharField(max_length=120, blank=True, help_text="What a sample or split is even over.")
    capped_by = models.CharField(max_length=120, blank=True, help_text="The group that a cap counts.")
    side = models.CharField(max_length=1, blank=True, help_text="Of a half pair: + preferred, - the other.")
    partner = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="+", help_text="The half that completes a pair."
    )
    edited = models.BooleanField(default=False, help_text="A correction or a rule changed its text.")
    flags = models.CharField(
        max_length=200, blank=True, help_text="Codes of its warnings, each between spaces: ` truncated pii `."
    )
    doubts = models.PositiveSmallIntegerField(default=0, help_text="How bad its warnings are; worst first.")

    objects: Any = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_example_per_position", fields=["version", "position"])
        ]
        indexes = [
            # Going through the lines of a version, or to one of them.
            models.Index(
                fields=["version", "line"], name="example_by_line", condition=models.Q(line__isnull=False)
            ),
            # Looking inside a version, row by row; counting what was left out.
            models.Index(fields=["version", "excluded_reason", "position"], name="example_of_version"),
            # The worst rows first.
            models.Index(fields=["version", "-doubts", "position"], name="example_worst_first"),
        ]

    def __str__(self) -> str:
        return self.source_key
