"""Stored completions as mirrored: a light row to list, a body to show and search, columns to filter by."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.db import models

from completions.querysets import StoredCompletionQuerySet

PREVIEW_CHARS = 160


class MessagesState(models.TextChoices):
    PENDING = "pending", "Messages not fetched yet"
    OK = "ok", "Complete"
    GONE = "gone", "Messages are gone upstream"
    FAILED = "failed", "Messages could not be read"


class StoredCompletion(models.Model):
    """One stored completion; `id` is its arrival number, (connection, upstream_id) its public identity.

    Every list is ordered by (created desc, id desc). `created` is in unix seconds, as upstream sends it.
    """

    connection = models.ForeignKey(
        "portal.Connection", models.CASCADE, related_name="completions", db_index=False
    )
    upstream_id = models.CharField(max_length=200)
    created = models.BigIntegerField()
    model = models.CharField(max_length=200, blank=True)
    prompt_preview = models.CharField(max_length=PREVIEW_CHARS, blank=True)
    answer_preview = models.CharField(max_length=PREVIEW_CHARS, blank=True)
    metadata = models.JSONField(default=dict)
    prompt_tokens = models.BigIntegerField(null=True)
    completion_tokens = models.BigIntegerField(null=True)
    total_tokens = models.BigIntegerField(null=True)
    finish_reason = models.CharField(max_length=60, blank=True)
    request_id = models.CharField(max_length=200, blank=True)
    turns = models.IntegerField(null=True, help_text="User messages; null until the messages are here.")
    tool_calls = models.IntegerField(null=True)
    has_image = models.BooleanField(null=True)
    refused = models.BooleanField(default=False)
    answer_length = models.IntegerField(default=0, help_text="Characters of the first choice's text.")
    # Read from the answers too, but later than the others: null on rows that have not been read again.
    language = models.CharField(max_length=8, null=True)
    temperature = models.FloatField(null=True)
    response_format = models.CharField(max_length=20, null=True)
    answer_is_json = models.BooleanField(null=True)
    tools = models.JSONField(null=True, help_text="Names of the tools that were called.")
    terms = models.BinaryField(
        null=True, help_text="Sorted pairs of little-endian uint32: the field's term, the value's term."
    )
    change = models.BigIntegerField(null=True, help_text="Mirror.change when it last became another row.")
    messages_state = models.CharField(
        max_length=8, choices=MessagesState.choices, default=MessagesState.PENDING
    )
    messages_tries = models.PositiveSmallIntegerField(default=0)
    flags = models.JSONField(
        default=list, help_text="What was repaired or left out; also terms of kind flag."
    )
    digest = models.CharField(max_length=64, help_text="SHA-256 of the list item's bytes.")
    seen_sweep = models.IntegerField(default=0, help_text="Generation of the last sweep that listed it.")
    gone_at = models.DateTimeField(null=True)
    arrived = models.DateTimeField(auto_now_add=True)

    objects: Any = StoredCompletionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_row_per_upstream_id", fields=["connection", "upstream_id"]),
            models.CheckConstraint(
                name="messages_state_is_known", condition=models.Q(messages_state__in=MessagesState.values)
            ),
        ]
        indexes = [
            # Reading the mirror in the order of every list.
            models.Index(
                models.F("connection"), models.F("created").desc(), models.F("id").desc(), name="sc_newest"
            ),
            # What a process does not know yet, and what is not packed yet.
            models.Index(
                fields=["connection", "change"], name="sc_changed", condition=models.Q(change__isnull=False)
            ),
            # request:… in the pane.
            models.Index(
                fields=["connection", "request_id"], name="sc_request", condition=~models.Q(request_id="")
            ),
            # Sync health and the messages step: rows whose messages are missing.
            models.Index(
                fields=["connection", "id"],
                name="sc_missing_messages",
                condition=models.Q(messages_state="pending"),
            ),
        ]

    def __str__(self) -> str:
        return self.upstream_id

    def get_absolute_url(self) -> str:
        from completions.addresses import drawer_address  # it knows lists, which know this model

        return drawer_address(self.connection.slug, self.upstream_id, self.pk)

    @property
    def created_at(self) -> datetime:
        return datetime.fromtimestamp(self.created, UTC)


class Body(models.Model):
    """The heavy part of a stored completion: text for search, and the answers of upstream, byte for byte.

    `raw` is what completions.raw packs: the list item as cut from its page, then the pages of its messages.
    """

    completion = models.OneToOneField(StoredCompletion, models.CASCADE, primary_key=True, related_name="body")
    system_text = models.TextField(blank=True)
    prompt_text = models.TextField(blank=True)
    answer_text = models.TextField(blank=True)
    raw = models.BinaryField()

    def __str__(self) -> str:
        return f"body of {self.completion_id}"


class Term(models.Model):
    """One value that can be counted and filtered by, with the number of completions that hold it.

    Most kinds have no key; metadata has the pair's, a label's answer the label's name. A term of kind `field`
    stands for all values of one field ("model", "metadata.env"), and counts the completions that have any.
    """

    class Kind(models.TextChoices):
        METADATA = "metadata", "Metadata"
        MODEL = "model", "Model"
        FLAG = "flag", "Flag"
        FINISH = "finish", "Finish reason"
        TOOL = "tool", "Called tool"
        LANGUAGE = "language", "Language"
        FORMAT = "format", "Response format"
        REVIEW = "review", "Review"
        RATING = "rating", "Rating"
        LABEL = "label", "Label"
        REVIEWER = "reviewer", "Reviewer"
        SAME = "same", "Duplicates"
        NEAR = "near", "Near-duplicates"
        ALIKE = "alike", "Same system prompt"
        THREAD = "thread", "Same conversation"
        FIELD = "field", "Field"

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="terms", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    key = models.CharField(max_length=220, blank=True)
    value = models.CharField(max_length=1000, blank=True)
    n = models.BigIntegerField(default=0)

    objects: Any = models.Manager()

    class Meta:
        constraints = [
            # Look-up at ingest, and every facet.
            models.UniqueConstraint(name="one_term_per_value", fields=["connection", "kind", "key", "value"]),
        ]

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}={self.value} ({self.n})"


class Mirror(models.Model):
    """The state of one connection's rows, and of the columns that are packed from them.

    Whoever writes to what rows can be filtered by takes the next `change` in the same transaction; so a
    process knows by one look at this row whether what it holds in memory is still the truth.
    """

    connection = models.OneToOneField(
        "portal.Connection", models.CASCADE, primary_key=True, related_name="mirror"
    )
    epoch = models.UUIDField(default=uuid4, help_text="Tells this mirror from one that was here before.")
    change = models.BigIntegerField(default=0, help_text="Number of the last writing transaction.")
    packed = models.BigIntegerField(default=0, help_text="Changes up to this one are in the segments.")
    unpacked = models.IntegerField(default=0, help_text="About how many rows changed since.")
    derived = models.SmallIntegerField(default=0, help_text="Version of the derivation that all rows have.")

    objects: Any = models.Manager()

    def __str__(self) -> str:
        return f"mirror of {self.connection_id} at {self.change}"


class ColumnSegment(models.Model):
    """Some rows as columns (completions.columns.segment), packed; never altered, only replaced."""

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="segments")
    rows = models.IntegerField()
    min_id = models.BigIntegerField()
    max_id = models.BigIntegerField()
    min_created = models.BigIntegerField()
    max_created = models.BigIntegerField()
    data = models.BinaryField()

    objects: Any = models.Manager()

    def __str__(self) -> str:
        return f"{self.rows} rows of {self.connection_id}"


class Removed(models.Model):
    """Rows that one change deleted: their ids as little-endian int64."""

    connection = models.ForeignKey(
        "portal.Connection", models.CASCADE, related_name="removed", db_index=False
    )
    change = models.BigIntegerField()
    ids = models.BinaryField()

    objects: Any = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_removal_per_change", fields=["connection", "change"]),
        ]

    def __str__(self) -> str:
        return f"{len(self.ids) // 8} rows removed by change {self.change} of {self.connection_id}"
