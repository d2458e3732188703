"""Where the Distill wizard lives; part of the addresses of `datasets`."""

from django.urls import path

from datasets.views import distill

urlpatterns = [
    path("distill/new/<uuid:selection>/", distill.start, name="distill_start"),
    path("distill/<int:pk>/<slug:step>/", distill.step, name="distill"),
]
