"""An endpoint that keeps stored completions, and how to reach it."""

from typing import Any

from django.db import models

from portal.encryption import EncryptedTextField
from portal.querysets import ConnectionQuerySet


class Kind(models.TextChoices):
    AZURE_V1 = "azure_v1", "Azure OpenAI (v1)"
    AZURE_DATED = "azure_dated", "Azure OpenAI (dated API version)"
    OPENAI = "openai", "OpenAI"
    COMPATIBLE = "compatible", "OpenAI-compatible"
    FILES = "files", "Files"  # filled by imports; there is nobody to ask


class Auth(models.TextChoices):
    KEY = "key", "API key"
    ENTRA_DEFAULT = "entra_default", "Microsoft Entra ID: default chain"
    ENTRA_SECRET = "entra_secret", "Microsoft Entra ID: client secret"
    ENTRA_MANAGED = "entra_managed", "Microsoft Entra ID: managed identity"
    ENTRA_WORKLOAD = "entra_workload", "Microsoft Entra ID: workload identity"
    NONE = "none", "Nothing"


class Connection(models.Model):
    """One resource or account upstream; its rows, jobs and rights all hang on this row."""

    class State(models.TextChoices):
        CONNECTED = "connected", "Connected"
        ATTENTION = "attention", "Needs attention"
        DISCONNECTED = "disconnected", "Disconnected"
        DELETING = "deleting", "Being deleted"

    name = models.CharField(max_length=80, unique=True)
    slug = models.SlugField(max_length=80, unique=True, help_text="Stands in the address of its completions.")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    base_url = models.CharField(max_length=300, blank=True)
    api_version = models.CharField(max_length=40, blank=True)

    auth = models.CharField(max_length=16, choices=Auth.choices, default=Auth.KEY)
    tenant_id = models.CharField(max_length=80, blank=True)
    client_id = models.CharField(max_length=80, blank=True)
    scope = models.CharField(
        max_length=200, blank=True, help_text="Empty means the default of the API surface."
    )
    secret = EncryptedTextField(blank=True, default="", editable=False)
    secret_last4 = models.CharField(max_length=4, blank=True, editable=False)
    secret_set_at = models.DateTimeField(null=True, blank=True, editable=False)

    # Azure's management plane, needed only to deploy a model.
    management_url = models.CharField(max_length=300, blank=True)
    subscription_id = models.CharField(max_length=80, blank=True)
    resource_group = models.CharField(max_length=90, blank=True)
    account_name = models.CharField(max_length=64, blank=True)

    # What the mirror takes, and how often.
    scope_since = models.DateTimeField(null=True, blank=True)
    scope_model = models.CharField(max_length=120, blank=True)
    scope_metadata = models.JSONField(default=dict, blank=True)
    sync_enabled = models.BooleanField(default=True)
    sync_every_minutes = models.PositiveIntegerField(default=5)
    overlap_minutes = models.PositiveIntegerField(default=10)
    sweep_every_hours = models.PositiveIntegerField(default=24)

    state = models.CharField(max_length=16, choices=State.choices, default=State.CONNECTED)
    last_ok_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.JSONField(default=dict, blank=True, editable=False)
    last_error_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_test = models.JSONField(default=dict, blank=True, editable=False)

    created = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, blank=True, related_name="+")

    objects: Any = ConnectionQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(name="connection_kind_is_known", condition=models.Q(kind__in=Kind.values)),
            models.CheckConstraint(name="connection_auth_is_known", condition=models.Q(auth__in=Auth.values)),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def has_endpoint(self) -> bool:
        """Whether there is somebody to ask; a connection of files has only the rows that were imported."""
        return self.kind != Kind.FILES

    @property
    def is_azure(self) -> bool:
        return self.kind in (Kind.AZURE_V1, Kind.AZURE_DATED)

    @property
    def can_deploy(self) -> bool:
        """Whether the management plane is known well enough to create deployments."""
        return self.is_azure and bool(self.subscription_id and self.resource_group and self.account_name)
