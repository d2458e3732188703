"""Where this app's pages live, one file of addresses for each part of the work."""

from django.urls import URLPattern, URLResolver, include, path

app_name = "datasets"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("datasets.dataset_urls")),
    path("", include("datasets.contamination_urls")),
    path("", include("datasets.personal_urls")),  # before the steps of the wizard, which take any word
    path("", include("datasets.distill_urls")),
    path("", include("datasets.finetune_urls")),
    path("", include("datasets.evaluate_urls")),
    path("", include("datasets.library_urls")),
    path("", include("datasets.comparison_urls")),
    path("", include("datasets.relabel_urls")),
]
