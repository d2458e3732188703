"""Addresses of prices, and of what a connection spends."""

from django.urls import path

from portal import price_views, spending_views

app_name = "spending"
urlpatterns = [
    path("prices/", price_views.index, name="prices"),
    path("prices/new/", price_views.new, name="price_new"),
    path("prices/suggestions/", price_views.suggestions, name="price_suggestions"),
    path("prices/import/", price_views.take_file, name="price_import"),
    path("prices/prices.csv", price_views.export, name="price_export"),
    path("prices/<int:pk>/", price_views.edit, name="price"),
    path("prices/<int:pk>/delete/", price_views.delete, name="price_delete"),
    path("connections/<slug:slug>/spending/", spending_views.of_connection, name="connection"),
    path("connections/<slug:slug>/spending/budget/", spending_views.budget, name="budget"),
    path("connections/<slug:slug>/spending/spending.csv", spending_views.export, name="export"),
]
