"""Where two versions are compared row by row; part of the addresses of `datasets`."""

from django.urls import path

from datasets.views import contamination

urlpatterns = [
    path("datasets/<int:pk>/v<int:number>/contamination/", contamination.contamination, name="contamination"),
]
