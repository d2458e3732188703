"""Addresses below /audit/."""

from django.urls import path

from portal import audit_views

app_name = "audit"
urlpatterns = [
    path("", audit_views.index, name="list"),
    path("verify/", audit_views.verify, name="verify"),
]
