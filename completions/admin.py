"""The raw tables of saved views, for operators: what a person keeps is changed where that person works."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from completions.models import SavedView
from portal import audit
from portal.admin import ReadOnly


@admin.register(SavedView)
class SavedViewAdmin(ReadOnly):
    """Looked at here; one that should not be shared can be deleted, which stands in the audit trail."""

    list_display = ("name", "owner", "shared", "changed", "deleted")
    list_filter = ("shared",)
    search_fields = ("name", "owner__username")
    list_select_related = ("owner",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for view in queryset:
            audit.record(request.user, "view.deleted", view)
        return super().log_deletions(request, queryset)
