"""Addresses of import and export; included by completions.urls, whose namespace they share."""

from django.urls import path

from completions.views import exports, imports

urlpatterns = [
    path("import/", imports.index, name="imports"),
    path("import/new/", imports.new, name="import_new"),
    path("import/<uuid:pk>/", imports.detail, name="import"),
    path("import/<uuid:pk>/bad-lines.csv", imports.problems, name="import_problems"),
    path("import/<uuid:pk>/delete/", imports.delete, name="import_delete"),
    path("export/<uuid:selection>/", exports.dialog, name="export"),
    path("exports/", exports.index, name="exports"),
    path("exports/<uuid:pk>/download/", exports.download, name="export_download"),
    path("exports/<uuid:pk>/delete/", exports.delete, name="export_delete"),
]
