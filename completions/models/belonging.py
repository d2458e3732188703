"""What is kept of completions to find those that belong together, without reading them again."""

from typing import Any

from django.db import models

from portal.querysets import OnConnectionQuerySet


class Fingerprint(models.Model):
    """Numbers made from one completion's texts by completions.duplicates, and whom it was found to belong to.

    `digest` and `state` are those of the completion that it was made from.
    """

    completion = models.OneToOneField(
        "completions.StoredCompletion", models.CASCADE, primary_key=True, related_name="fingerprint"
    )
    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="+", db_index=False)
    version = models.SmallIntegerField()
    digest = models.CharField(max_length=64)
    state = models.CharField(max_length=8)
    same = models.CharField(max_length=16, blank=True, help_text="The key of what it says, to the letter.")
    shape = models.BigIntegerField(default=0, help_text="All its runs of words as one number.")
    bands = models.BinaryField(help_text="Little-endian uint32; empty without a word.")
    near = models.BigIntegerField(
        null=True, help_text="The completion whose text it is near to; itself if it is the first."
    )
    outline = models.CharField(max_length=16, blank=True, help_text="The system prompt without values.")
    alike = models.CharField(max_length=16, blank=True, help_text="The template that the outline belongs to.")
    whole = models.BigIntegerField(default=0, help_text="What the conversation has come to.")
    earlier = models.BinaryField(help_text="What it had come to before, as little-endian int64.")

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["connection", "completion"], name="fp_connection"),
            # The prompts that a template is made of.
            models.Index(
                fields=["connection", "alike", "completion"], name="fp_alike", condition=~models.Q(alike="")
            ),
        ]

    def __str__(self) -> str:
        return f"fingerprint of {self.completion_id}"


class PromptTemplate(models.Model):
    """One template of system prompts: the words that others are compared with, and how it is printed."""

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="prompt_templates")
    key = models.CharField(max_length=16)
    words = models.BinaryField(default=b"", help_text="Of the first prompt, as little-endian uint32.")
    parts = models.JSONField(default=list, help_text="As completions.prompt_templates.Template.as_json.")
    made_of = models.BigIntegerField(default=0, help_text="How many completions had it when it was printed.")
    newest = models.BigIntegerField(default=0, help_text="The newest of them.")

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_template_per_key", fields=["connection", "key"]),
        ]

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else "{…}" for part in self.parts)[:200]
