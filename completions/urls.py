"""Addresses below /completions/."""

from django.urls import URLPattern, URLResolver, include, path

app_name = "completions"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("completions.sync_urls")),
]
