"""Addresses of what is said of many completions at once; included below /completions/."""

from django.urls import path

from completions.views import bulk_review

urlpatterns = [
    *(
        path(f"select/<uuid:selection>/{what}/", bulk_review.dialog, {"what": what}, name=f"bulk_{what}")
        for what in ("label", "approve", "reject", "state", "rating")
    ),
    path("bulk/<int:pk>/", bulk_review.progress, name="bulk_progress"),
    path("bulk/<int:pk>/undo/", bulk_review.undo, name="bulk_undo"),
]
