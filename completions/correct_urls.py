"""Addresses below /completions/ of corrections."""

from django.urls import path

from completions.views import correcting

urlpatterns = [
    path("correct/<int:pk>/", correcting.correct, name="correct"),
]
