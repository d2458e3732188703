from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class CompletionsConfig(AppConfig):
    name = "completions"
    verbose_name = "Stored completions"

    def ready(self) -> None:
        # Importing registers what workers can do.
        from completions import bulk_review, freezing, removal, sync  # noqa: F401

        post_migrate.connect(_empty_the_index_of_nothing, sender=self)


def _empty_the_index_of_nothing(*, using: str, **_: Any) -> None:
    """No model owns the text index, so `flush` leaves its words; without completions they mean nothing."""
    from completions import search  # models are there only now
    from completions.models import StoredCompletion

    if "completions_textindex" not in connections[using].introspection.table_names():
        return
    if not StoredCompletion.objects.using(using).exists():
        search.empty(using=using)
