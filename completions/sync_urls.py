"""Addresses of sync health; included by completions.urls, whose namespace they share."""

from django.urls import path

from completions.views import sync

urlpatterns = [
    path("sync-status/", sync.sync_status, name="sync_status"),
    path("<slug:slug>/health/", sync.health, name="health"),
    path("<slug:slug>/health/sync/", sync.sync_now, name="sync_now"),
    path("<slug:slug>/health/sweep/", sync.sweep_now, name="sweep_now"),
    path("<slug:slug>/health/quarantine/<int:pk>/", sync.quarantined, name="quarantined"),
]
