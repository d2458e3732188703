"""Runs that begin by themselves."""

from typing import Any

from django.db import models


class Schedule(models.Model):
    """When an evaluation is run again; with the rights of its owner, and what a run needs (see Run).

    `when` is {at: "HH:MM", zone, weekday: from Monday, 0; day: of the month}.
    """

    class Every(models.TextChoices):
        DAY = "day", "Every day"
        WEEK = "week", "Every week"
        MONTH = "month", "Every month"

    evaluation = models.OneToOneField("datasets.Evaluation", models.CASCADE, related_name="schedule")
    every = models.CharField(max_length=10, choices=Every.choices)
    when = models.JSONField(default=dict)
    next_at = models.DateTimeField()
    enabled = models.BooleanField(default=True)
    targets = models.JSONField(default=list)
    repetitions = models.PositiveSmallIntegerField(default=1)
    goal = models.JSONField(default=dict)
    owner = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    problem = models.CharField(max_length=400, blank=True, help_text="Why the last time did not begin.")
    created = models.DateTimeField(auto_now_add=True)

    objects: Any = models.Manager()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["enabled", "next_at"], name="schedule_due")]

    def __str__(self) -> str:
        return f"{self.evaluation}: {self.get_every_display()}"
