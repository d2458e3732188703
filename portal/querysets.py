"""What a person may see and do, as words on querysets. Every query starts from one of them.

Models import this file, so it reaches them through the app registry.
"""

from collections.abc import Sequence
from typing import Any, Self

from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q

# Each role includes the ones before it (portal.models.Role, as plain text because models import this file).
ROLES = ("reader", "reviewer", "builder", "manager", "operator")


def roles_from(role: str) -> Sequence[str]:
    """The given role and every role that includes it."""
    return ROLES[ROLES.index(role) :]


def granted(user: Any, role: str) -> Q:
    """Condition on Connection: `user` holds `role` or more on it, alone or through a group."""
    if isinstance(user, AnonymousUser) or user is None or not user.is_active:
        return Q(pk__in=[])
    if user.is_superuser:
        return Q()
    grants = apps.get_model("portal", "Grant")._default_manager.filter(
        Q(user=user) | Q(group__in=user.groups.all()), role__in=roles_from(role)
    )
    if grants.filter(connection__isnull=True).exists():
        return Q()
    return Q(pk__in=grants.values("connection"))


class ConnectionQuerySet(models.QuerySet[Any]):
    """Connections that a person may read, review on, act on (Azure's *action*) or manage."""

    def readable_by(self, user: Any) -> Self:
        return self.filter(granted(user, "reader"))

    def reviewable_by(self, user: Any) -> Self:
        return self.filter(granted(user, "reviewer"))

    def actionable_by(self, user: Any) -> Self:
        return self.filter(granted(user, "builder"))

    def manageable_by(self, user: Any) -> Self:
        return self.filter(granted(user, "manager"))

    def with_endpoint(self) -> Self:
        """Those that can be asked something; the others are filled from files."""
        return self.exclude(kind="files")


def _connections(user: Any, role: str) -> models.QuerySet[Any]:
    return apps.get_model("portal", "Connection")._default_manager.filter(granted(user, role)).values("pk")


class OnConnectionQuerySet(models.QuerySet[Any]):
    """Rows that hang on one connection through a column named `connection`."""

    def readable_by(self, user: Any) -> Self:
        return self.filter(connection__in=_connections(user, "reader"))

    def reviewable_by(self, user: Any) -> Self:
        return self.filter(connection__in=_connections(user, "reviewer"))

    def actionable_by(self, user: Any) -> Self:
        return self.filter(connection__in=_connections(user, "builder"))

    def manageable_by(self, user: Any) -> Self:
        return self.filter(connection__in=_connections(user, "manager"))


class FromConnectionsQuerySet(models.QuerySet[Any]):
    """Rows made from several connections (`connections`): a right counts only if held on every source."""

    def _on_every_source(self, user: Any, role: str) -> Self:
        connections = apps.get_model("portal", "Connection")._default_manager
        foreign = connections.exclude(pk__in=_connections(user, role))
        kept = self.exclude(connections__in=foreign)
        if is_operator(user):
            return kept
        # Without this, a row would become everybody's when its last source is deleted.
        return kept.filter(pk__in=self.model._default_manager.filter(connections__isnull=False).values("pk"))

    def readable_by(self, user: Any) -> Self:
        return self._on_every_source(user, "reader")

    def reviewable_by(self, user: Any) -> Self:
        return self._on_every_source(user, "reviewer")

    def actionable_by(self, user: Any) -> Self:
        return self._on_every_source(user, "builder")

    def manageable_by(self, user: Any) -> Self:
        return self._on_every_source(user, "manager")


class OperationQuerySet(OnConnectionQuerySet):
    """Operations; those without a connection are seen by whoever asked for them and by operators."""

    def readable_by(self, user: Any) -> Self:
        own = Q(connection__isnull=True, requested_by=user) if getattr(user, "pk", None) else Q(pk__in=[])
        return self.filter(Q(connection__in=_connections(user, "reader")) | own | _system(user))

    def actionable_by(self, user: Any) -> Self:
        own = Q(connection__isnull=True, requested_by=user) if getattr(user, "pk", None) else Q(pk__in=[])
        return self.filter(Q(connection__in=_connections(user, "builder")) | own | _system(user))

    def live(self) -> Self:
        return self.filter(state__in=["ready", "running", "waiting"])


def _system(user: Any) -> Q:
    return Q(connection__isnull=True) if is_operator(user) else Q(pk__in=[])


def is_operator(user: Any) -> bool:
    """Whether the person runs this installation: a superuser, or an operator of every connection."""
    if isinstance(user, AnonymousUser) or user is None or not user.is_active:
        return False
    if user.is_superuser:
        return True
    grants = apps.get_model("portal", "Grant")._default_manager
    return bool(
        grants.filter(
            Q(user=user) | Q(group__in=user.groups.all()), connection__isnull=True, role="operator"
        ).exists()
    )
