"""Addresses of comparisons, and of the calibration of a grader; part of the addresses of `datasets`."""

from django.urls import path

from datasets.views import calibration, comparison_choice, comparison_files, comparisons

_ONE = "comparisons/<int:pk>/"
_CALIBRATE = "evaluations/<int:pk>/runs/<int:number>/calibrate/"

urlpatterns = [
    path("comparisons/", comparisons.list_all, name="comparisons"),
    path("comparisons/new/", comparison_choice.new, name="comparison_new"),
    path(_ONE, comparisons.comparison, name="comparison"),
    path(f"{_ONE}items/<int:line>/", comparisons.item, name="comparison_item"),
    path(f"{_ONE}items/<slug:form>/", comparison_files.items, name="comparison_export"),
    path(f"{_ONE}page/", comparison_files.page, name="comparison_page"),
    path(f"{_ONE}columns/", comparison_choice.columns, name="comparison_columns"),
    path(f"{_ONE}remove/", comparison_choice.remove, name="comparison_remove"),
    path(f"{_ONE}baseline/", comparison_choice.baseline, name="comparison_baseline"),
    path(f"{_ONE}rename/", comparison_choice.rename, name="comparison_rename"),
    path(f"{_ONE}delete/", comparison_choice.delete, name="comparison_delete"),
    path(_CALIBRATE, calibration.calibrate, name="calibrate"),
    path(f"{_CALIBRATE}threshold/", calibration.take, name="calibrate_take"),
]
