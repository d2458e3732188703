"""Addresses below /completions/."""

from django.urls import include, path

from completions.views import drawer, pane, selection

app_name = "completions"
urlpatterns = [
    path("", pane.pane, name="pane"),
    path("news/", pane.news, name="news"),
    path("select/", selection.select, name="freeze"),
    path("", include("completions.sync_urls")),
    # An id from upstream may hold a slash.
    path("<slug:connection>/<path:upstream_id>/", drawer.drawer, name="drawer"),
]
