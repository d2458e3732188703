"""Addresses below /completions/ of corrections and comparisons."""

from django.urls import path

from completions.views import comparing, correcting

urlpatterns = [
    path("correct/<int:pk>/", correcting.correct, name="correct"),
    path("compare/", comparing.compare, name="compare"),
]
