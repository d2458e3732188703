"""Addresses of what belongs together; included by completions.urls, whose namespace they share."""

from django.urls import path

from completions.views import belonging

urlpatterns = [
    path("alike/", belonging.alike, name="alike"),
    path("alike/<slug:slug>/compare/", belonging.compare, name="alike_compare"),
    path("one-of-each/<uuid:selection>/", belonging.one_of_each, name="one_of_each"),
]
