"""Addresses of deletions, of changes of metadata, and of their results."""

from django.urls import path

from completions.views import changes, deleting, write_back

urlpatterns = [
    path("delete/<uuid:selection>/", deleting.delete, name="delete"),
    path("metadata/<uuid:selection>/", write_back.many, name="metadata"),
    path("metadata/row/<int:pk>/", write_back.one, name="metadata_of_row"),
    path("changes/", changes.index, name="changes"),
    path("changes/<int:pk>/", changes.change, name="change"),
    path("changes/<int:pk>/again/", changes.again, name="change_again"),
    path("changes/<int:pk>/receipt.jsonl", changes.receipt, name="receipt"),
    path("changes/<int:pk>/receipt.sha256", changes.checksum, name="receipt_checksum"),
]
