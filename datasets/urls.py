from django.urls import URLPattern, URLResolver, include, path

from datasets.views import datasets, deployments, distill, finetunes

app_name = "datasets"
urlpatterns: list[URLPattern | URLResolver] = [
    path("datasets/", datasets.list_all, name="list"),
    path("datasets/<int:pk>/", datasets.dataset, name="dataset"),
    path("datasets/<int:pk>/v<int:number>/", datasets.version, name="version"),
    path("datasets/<int:pk>/v<int:number>/download/", datasets.download, name="download"),
    path("datasets/<int:pk>/v<int:number>/delete/", datasets.delete, name="version_delete"),
    path("distill/new/<uuid:selection>/", distill.start, name="distill_start"),
    path("distill/<int:pk>/<slug:step>/", distill.step, name="distill"),
    path("fine-tunes/", finetunes.list_all, name="finetunes"),
    path("fine-tunes/<int:pk>/", finetunes.detail, name="finetune"),
    path("fine-tunes/<int:pk>/cancel/", finetunes.cancel, name="finetune_cancel"),
    path("fine-tunes/<int:pk>/decide/", finetunes.decide, name="finetune_decide"),
    path("fine-tunes/<int:pk>/again/", finetunes.again, name="finetune_again"),
    path("fine-tunes/<int:pk>/refresh/", finetunes.refresh, name="finetune_refresh"),
    path("fine-tunes/<int:pk>/deploy/", deployments.new, name="deploy"),
    path("deployments/<int:pk>/", deployments.detail, name="deployment"),
    path("deployments/<int:pk>/decide/", deployments.decide, name="deployment_decide"),
    path("", include("datasets.evaluate_urls")),
]
