"""Where one looks at personal data before it is replaced; part of the addresses of `datasets`."""

from django.urls import path

from datasets.views import personal

urlpatterns = [path("distill/<int:pk>/personal/", personal.look, name="personal")]
