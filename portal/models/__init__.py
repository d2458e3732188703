"""The frame's tables: people, connections, background work and the audit trail."""

from portal.models.accounts import Grant, Role, User
from portal.models.audit import AuditEntry, AuditHead
from portal.models.connection import Auth, Connection, Kind
from portal.models.spending import Budget, Price, Spending
from portal.models.work import Heartbeat, Operation, OperationLine, RemoteAction

__all__ = [
    "AuditEntry",
    "AuditHead",
    "Auth",
    "Budget",
    "Connection",
    "Grant",
    "Heartbeat",
    "Kind",
    "Operation",
    "OperationLine",
    "Price",
    "RemoteAction",
    "Role",
    "Spending",
    "User",
]
