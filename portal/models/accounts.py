"""Who works here, and which role each person or group holds on which connection."""

from django.contrib.auth.models import AbstractUser, Group
from django.db import models


class User(AbstractUser):
    """A person who signs in."""


class Role(models.TextChoices):
    """What a person may do on a connection; each role includes the ones before it."""

    READER = "reader", "Reader"
    REVIEWER = "reviewer", "Reviewer"
    BUILDER = "builder", "Builder"
    MANAGER = "manager", "Manager"
    OPERATOR = "operator", "Operator"


class Grant(models.Model):
    """One role of one person or group, on one connection or (null) on all of them."""

    user = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="grants")
    group = models.ForeignKey(Group, models.CASCADE, null=True, blank=True, related_name="grants")
    connection = models.ForeignKey(
        "portal.Connection",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="grants",
        help_text="Empty means every connection, those made later included.",
    )
    role = models.CharField(max_length=16, choices=Role.choices)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="grant_names_a_user_or_a_group",
                condition=models.Q(user__isnull=False, group__isnull=True)
                | models.Q(user__isnull=True, group__isnull=False),
            ),
            models.CheckConstraint(name="grant_role_is_known", condition=models.Q(role__in=Role.values)),
            models.UniqueConstraint(
                name="one_grant_per_user_and_connection",
                fields=["user", "connection"],
                condition=models.Q(user__isnull=False),
            ),
            models.UniqueConstraint(
                name="one_grant_per_user_everywhere",
                fields=["user"],
                condition=models.Q(user__isnull=False, connection__isnull=True),
            ),
            models.UniqueConstraint(
                name="one_grant_per_group_and_connection",
                fields=["group", "connection"],
                condition=models.Q(group__isnull=False),
            ),
            models.UniqueConstraint(
                name="one_grant_per_group_everywhere",
                fields=["group"],
                condition=models.Q(group__isnull=False, connection__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user or self.group}: {self.role} on {self.connection or 'every connection'}"
