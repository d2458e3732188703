"""Addresses below /operations/."""

from django.urls import path

from portal import operation_views

app_name = "operations"
urlpatterns = [
    path("", operation_views.index, name="list"),
    path("<int:pk>/", operation_views.detail, name="detail"),
    path("<int:pk>/card/", operation_views.card, name="card"),
    path("<int:pk>/cancel/", operation_views.cancel, name="cancel"),
    path("<int:pk>/retry/", operation_views.retry, name="retry"),
]
