"""Numbers of a run or a comparison that take long to count, kept until they are counted anew."""

from typing import Any

from django.db import models


class Counts(models.Model):
    """What was counted under `key`, which names all that the numbers depend on but what completions say of
    themselves; `seen` has up to which change of each mirror that was read.
    """

    key = models.CharField(max_length=64, unique=True)
    run = models.ForeignKey("datasets.Run", models.CASCADE, null=True, related_name="+")
    comparison = models.ForeignKey("datasets.Comparison", models.CASCADE, null=True, related_name="+")
    seen = models.JSONField(default=dict)
    data = models.BinaryField()
    made = models.DateTimeField(auto_now=True)

    objects: Any = models.Manager()

    def __str__(self) -> str:
        return f"counts {self.key[:12]}"
