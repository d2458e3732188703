"""Where fine-tunes and deployments live; part of the addresses of `datasets`."""

from django.urls import path

from datasets.views import deployments, finetunes

_JOB = "fine-tunes/<int:pk>/"

urlpatterns = [
    path("fine-tunes/", finetunes.list_all, name="finetunes"),
    path(_JOB, finetunes.detail, name="finetune"),
    path(f"{_JOB}cancel/", finetunes.cancel, name="finetune_cancel"),
    path(f"{_JOB}decide/", finetunes.decide, name="finetune_decide"),
    path(f"{_JOB}again/", finetunes.again, name="finetune_again"),
    path(f"{_JOB}refresh/", finetunes.refresh, name="finetune_refresh"),
    path(f"{_JOB}deploy/", deployments.new, name="deploy"),
    path("deployments/<int:pk>/", deployments.detail, name="deployment"),
    path("deployments/<int:pk>/decide/", deployments.decide, name="deployment_decide"),
]
