"""Addresses below /connections/."""

from django.urls import path

from portal import access_views, connection_views

app_name = "connections"
urlpatterns = [
    path("", connection_views.index, name="list"),
    path("new/", connection_views.new, name="new"),
    path("access/", access_views.everywhere_access, name="access"),
    path("access/<int:pk>/take/", access_views.take, name="take"),
    path("<slug:slug>/", connection_views.detail, name="detail"),
    path("<slug:slug>/edit/", connection_views.edit, name="edit"),
    path("<slug:slug>/test/", connection_views.test, name="test"),
    path("<slug:slug>/store-test/", connection_views.store, name="store_test"),
    path("<slug:slug>/disconnect/", connection_views.disconnect, name="disconnect"),
    path("<slug:slug>/reconnect/", connection_views.reconnect, name="reconnect"),
    path("<slug:slug>/delete/", connection_views.delete, name="delete"),
    path("<slug:slug>/access/", access_views.connection_access, name="grants"),
]
