"""Stored completions as mirrored: a light row to list, a body to show and search, postings to count."""

from datetime import UTC, datetime
from typing import Any

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
            # The pane over one connection, and each branch of the pane over several.
            models.Index(
                models.F("connection"), models.F("created").desc(), models.F("id").desc(), name="sc_newest"
            ),
            # The pane over every connection.
            models.Index(models.F("created").desc(), models.F("id").desc(), name="sc_newest_everywhere"),
            # model:… in the pane.
            models.Index(
                models.F("connection"),
                models.F("model"),
                models.F("created").desc(),
                models.F("id").desc(),
                name="sc_newest_of_model",
            ),
            # Sync health and the messages step: rows whose messages are missing.
            models.Index(
                fields=["connection", "id"],
                name="sc_missing_messages",
                condition=models.Q(messages_state="pending"),
            ),
            # has:gone in the pane.
            models.Index(
                fields=["connection", "-created", "-id"],
                name="sc_gone",
                condition=models.Q(gone_at__isnull=False),
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

    Kinds: metadata (key, value), model, flag. Labels join with review.
    """

    class Kind(models.TextChoices):
        METADATA = "metadata", "Metadata"
        MODEL = "model", "Model"
        FLAG = "flag", "Flag"

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="terms", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    key = models.CharField(max_length=200, blank=True)
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


class Posting(models.Model):
    """One completion holding one term, in the order of every list.

    The table is made by SQL per vendor: WITHOUT ROWID and descending on SQLite, an ascending key read
    backwards on PostgreSQL. It is written in batches and never altered. No cascade reaches it, as it has no
    index on `completion`: who removes a completion removes its postings by whole keys (completions.terms).
    """

    pk = models.CompositePrimaryKey("term", "created", "completion")
    term = models.ForeignKey(
        Term, models.DO_NOTHING, related_name="postings", db_index=False, db_constraint=False
    )
    created = models.BigIntegerField()
    completion = models.ForeignKey(
        StoredCompletion, models.DO_NOTHING, related_name="postings", db_index=False, db_constraint=False
    )

    objects: Any = models.Manager()

    def __str__(self) -> str:
        return f"{self.completion_id} holds {self.term_id}"
