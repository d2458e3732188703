"""Where the Distill wizard lives; part of the addresses of `datasets`."""

from django.urls import path

from datasets.views import distill, distill_check, distill_data

urlpatterns = [
    path("distill/new/<uuid:selection>/", distill_data.start, name="distill_start"),
    path("distill/<int:pk>/mend/", distill_check.mend, name="distill_mend"),
    path("distill/<int:pk>/<slug:step>/", distill.step, name="distill"),
]
