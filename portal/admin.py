"""The raw tables of the frame, for operators: no secret is on these pages, the audit trail is read only."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from portal import audit
from portal.models import (
    AuditEntry,
    Budget,
    Connection,
    Grant,
    Heartbeat,
    Operation,
    OperationLine,
    Price,
    RemoteAction,
    Spending,
    User,
)


class ReadOnly(admin.ModelAdmin[Any]):
    """A table that is looked at here and changed elsewhere."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class PersonAdmin(UserAdmin[User]):
    """People; what is done here stands in the audit trail as well."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        audit.record(request.user, "user.added", obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        audit.record(
            request.user,
            "user.changed",
            obj,
            active=obj.is_active,
            staff=obj.is_staff,
            superuser=obj.is_superuser,
        )
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for person in queryset:
            audit.record(request.user, "user.deleted", person)
        return super().log_deletions(request, queryset)


@admin.register(Connection)
class ConnectionAdmin(ReadOnly):
    """Changed only on its own page, where a new address drops the secret and every change is audited."""

    list_display = ["name", "kind", "auth", "state", "last_ok_at"]
    list_filter = ["kind", "state"]
    search_fields = ["name", "slug", "base_url"]
    exclude = ["secret"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("secret")


@admin.register(Grant)
class GrantAdmin(ReadOnly):
    list_display = ["__str__", "role", "created"]
    list_filter = ["role"]
    list_select_related = ["user", "group", "connection"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("connection__secret")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly):
    list_display = ["at", "actor_name", "verb", "target_name"]
    list_filter = ["verb"]
    search_fields = ["actor_name", "target_name"]
    ordering = ["-id"]
    show_full_result_count = False


class OperationLines(admin.TabularInline[Any, Any]):
    model = OperationLine
    extra = 0
    can_delete = False
    max_num = 0
    readonly_fields = ["level", "text"]


@admin.register(Operation)
class OperationAdmin(ReadOnly):
    list_display = ["title", "kind", "state", "connection", "created", "finished"]
    list_filter = ["kind", "state"]
    search_fields = ["title"]
    show_full_result_count = False
    inlines = [OperationLines]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("connection__secret")


@admin.register(RemoteAction)
class RemoteActionAdmin(ReadOnly):
    list_display = ["id", "kind", "state", "connection", "remote_id", "updated"]
    list_filter = ["kind", "state"]
    search_fields = ["remote_id"]


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnly):
    list_display = ["name", "at"]


@admin.register(Price)
class PriceAdmin(ReadOnly):
    list_display = ["model", "kind", "provider", "training_type", "amount", "as_of"]
    list_filter = ["kind", "provider"]
    search_fields = ["model"]


@admin.register(Budget)
class BudgetAdmin(ReadOnly):
    list_display = ["connection_id", "month", "amount", "allow_unknown", "changed"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("connection__secret")


@admin.register(Spending)
class SpendingAdmin(ReadOnly):
    list_display = ["what", "connection_id", "month", "state", "reserved", "settled"]
    list_filter = ["state"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("connection__secret")
