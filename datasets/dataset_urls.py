"""Where datasets and their versions live; part of the addresses of `datasets`."""

from django.urls import path

from datasets.views import datasets

_VERSION = "datasets/<int:pk>/v<int:number>/"

urlpatterns = [
    path("datasets/", datasets.list_all, name="list"),
    path("datasets/<int:pk>/", datasets.dataset, name="dataset"),
    path(_VERSION, datasets.version, name="version"),
    path(f"{_VERSION}download/", datasets.download, name="download"),
    path(f"{_VERSION}delete/", datasets.delete, name="version_delete"),
]
