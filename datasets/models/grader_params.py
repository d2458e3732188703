"""The column of a grader's parameters: the API's fields, its parts in the order they were written."""

from collections.abc import Mapping
from typing import Any

from django.db import models

PARTS = "graders"  # of several graders together: {name: part}


class GraderParamsField(models.JSONField[Any, Any]):
    """JSON, as in the API. A database may sort the names of an object (PostgreSQL does), so the parts of
    several graders together are kept as a list of name and part, and are an object again when they are read.
    Rows written before that hold the object itself.
    """

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        """To migrations it is any JSON: how its content is laid out changes no column."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if isinstance(value, Mapping) and isinstance(value.get(PARTS), Mapping):
            return {**value, PARTS: [[name, part] for name, part in value[PARTS].items()]}
        return value

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        found = super().from_db_value(value, expression, connection)
        if isinstance(found, dict) and isinstance(found.get(PARTS), list):
            found[PARTS] = dict(found[PARTS])
        return found
