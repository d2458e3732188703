"""What upstream calls cost: prices with their date, budgets, and what is reserved and spent.

Written by portal.spending alone. Amounts are decimals in the currency of the price; one installation counts
in one currency, the setting CURRENCY.
"""

from typing import Any

from django.db import models

from portal.querysets import OnConnectionQuerySet


class Price(models.Model):
    """What one model costs, as somebody read it somewhere on a day. The longest matching `model` wins."""

    class Kind(models.TextChoices):
        TRAINING = "training", "Training, per million tokens"
        INPUT = "input", "Input, per million tokens"
        OUTPUT = "output", "Output, per million tokens"
        HOSTING = "hosting", "Hosting, per hour"

    model = models.CharField(max_length=120, help_text="A model's name or how it begins: gpt-4.1-mini.")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    provider = models.CharField(
        max_length=20, blank=True, help_text="azure, openai, or empty for every provider."
    )
    training_type = models.CharField(
        max_length=40, blank=True, help_text="Azure's: Standard, GlobalStandard, Developer; empty for any."
    )
    amount = models.DecimalField(max_digits=14, decimal_places=6)
    as_of = models.DateField(help_text="The day on which the price was read.")
    source = models.CharField(max_length=300, blank=True, help_text="Where it was read.")

    objects: Any = models.Manager()

    class Meta:
        ordering = ["model", "kind", "provider", "training_type"]
        constraints = [
            models.UniqueConstraint(
                name="one_price_per_model", fields=["model", "kind", "provider", "training_type"]
            ),
            models.CheckConstraint(name="price_is_not_negative", condition=models.Q(amount__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.kind}"


class Budget(models.Model):
    """The most that may be spent through a connection in a month; without a month, in all others."""

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="budgets")
    month = models.DateField(null=True, blank=True, help_text="Its first day.")
    amount = models.DecimalField(max_digits=14, decimal_places=6)
    allow_unknown = models.BooleanField(
        default=False, help_text="Whether calls whose price nobody entered may be made."
    )
    changed_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    changed = models.DateTimeField(auto_now=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_budget_per_month", fields=["connection", "month"]),
            models.UniqueConstraint(
                name="one_standing_budget", fields=["connection"], condition=models.Q(month__isnull=True)
            ),
            models.CheckConstraint(name="budget_is_not_negative", condition=models.Q(amount__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.amount} on {self.connection}"


class Spending(models.Model):
    """What one piece of work may cost (reserved before) or did cost (settled after)."""

    class State(models.TextChoices):
        RESERVED = "reserved", "Reserved"
        SETTLED = "settled", "Settled"
        RELEASED = "released", "Released"

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="spendings")
    month = models.DateField(help_text="First day of the month that it counts for.")
    # What it is for, as an operation names its subject: ("datasets.finetune", "17"). One at a time.
    subject_type = models.CharField(max_length=60)
    subject_id = models.CharField(max_length=60)
    what = models.CharField(max_length=200, help_text="In words.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RESERVED)
    reserved = models.DecimalField(
        max_digits=14, decimal_places=6, null=True, help_text="Null where a price is not known."
    )
    settled = models.DecimalField(max_digits=14, decimal_places=6, null=True)
    requested_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_spending_per_subject", fields=["subject_type", "subject_id"])
        ]
        indexes = [
            # What a month's budget has left.
            models.Index(fields=["connection", "month", "state"], name="spending_of_month")
        ]

    def __str__(self) -> str:
        return self.what
