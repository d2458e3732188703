from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class CompletionsConfig(AppConfig):
    name = "completions"
    verbose_name = "Stored completions"

    def ready(self) -> None:
        # Importing registers what workers can do.
        from completions import (  # noqa: F401
            belonging,
            bulk_review,
            deleting,
            freezing,
            one_of_each,
            queue_making,
            removal,
            sync,
            write_back,
        )
        from completions.exporting import run as exports  # noqa: F401
        from completions.importing import run as imports  # noqa: F401

        post_migrate.connect(_empty_the_index_of_nothing, sender=self)


def _empty_the_index_of_nothing(*, using: str, **_: Any) -> None:
    """No model owns the text indexes, so `flush` leaves them; without completions they mean nothing."""
    from completions import search  # models are there only now
    from completions.models import StoredCompletion
    from completions.search import reviews

    tables = connections[using].introspection.table_names()
    if "completions_textindex" not in tables or StoredCompletion.objects.using(using).exists():
        return
    search.empty(using=using)
    if "completions_reviewindex" in tables:
        reviews.empty(using=using)
