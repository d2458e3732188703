"""Where datasets and their versions live; part of the addresses of `datasets`."""

from django.urls import path

from datasets.views import datasets, downloads, received, version_changes, versions

_VERSION = "datasets/<int:pk>/v<int:number>/"

urlpatterns = [
    path("datasets/", datasets.list_all, name="list"),
    path("datasets/upload/", received.upload, name="upload"),
    path("datasets/upload/<slug:slug>/", received.from_provider, name="upload_from"),
    path("datasets/<int:pk>/", datasets.dataset, name="dataset"),
    path(_VERSION, datasets.version, name="version"),
    path(f"{_VERSION}changes/", version_changes.changes, name="changes"),
    path(f"{_VERSION}exclude/", versions.exclude, name="version_exclude"),
    path(f"{_VERSION}take-back/", versions.take_back, name="version_take_back"),
    path(f"{_VERSION}renew/", versions.renew, name="version_renew"),
    path(f"{_VERSION}download/", downloads.file, name="download"),
    path(f"{_VERSION}download/<slug:what>/", downloads.other, name="download_other"),
    path(f"{_VERSION}delete/", datasets.delete, name="version_delete"),
]
