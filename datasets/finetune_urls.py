"""Where fine-tunes and deployments live; part of the addresses of `datasets`."""

from django.urls import path

from datasets.views import deployments, finetune_lists, finetunes, lineage, measuring, trying

_JOB = "fine-tunes/<int:pk>/"
_SWEEP = "fine-tunes/sweeps/<int:pk>/"
_DEPLOYMENT = "deployments/<int:pk>/"

urlpatterns = [
    path("fine-tunes/", finetune_lists.list_all, name="finetunes"),
    path(_JOB, finetunes.detail, name="finetune"),
    path(f"{_JOB}cancel/", finetunes.cancel, name="finetune_cancel"),
    path(f"{_JOB}decide/", finetunes.decide, name="finetune_decide"),
    path(f"{_JOB}again/", finetunes.again, name="finetune_again"),
    path(f"{_JOB}refresh/", finetunes.refresh, name="finetune_refresh"),
    path(f"{_JOB}pause/", finetunes.hold, name="finetune_pause"),
    path(f"{_JOB}resume/", finetunes.resume, name="finetune_resume"),
    path(f"{_JOB}adopt/", finetunes.adopt, name="finetune_adopt"),
    path(f"{_JOB}files/remove/", finetunes.remove_file, name="finetune_remove_file"),
    path(f"{_JOB}results/<int:number>/", finetunes.results, name="finetune_results"),
    path(f"{_JOB}deploy/", deployments.new, name="deploy"),
    path(f"{_JOB}checkpoints/<int:checkpoint>/try/", deployments.use_checkpoint, name="checkpoint_use"),
    path("fine-tunes/elsewhere/", finetune_lists.look_elsewhere, name="elsewhere"),
    path("fine-tunes/retiring/", finetune_lists.retiring, name="radar"),
    path(f"{_JOB}checkpoints/<int:checkpoint>/evaluate/", measuring.checkpoint, name="checkpoint_evaluate"),
    path(_SWEEP, finetune_lists.sweep, name="sweep"),
    path(f"{_SWEEP}evaluate/", measuring.sweep, name="sweep_evaluate"),
    path("lineage/<slug:kind>/<int:pk>/", lineage.lineage, name="lineage"),
    path(_DEPLOYMENT, deployments.detail, name="deployment"),
    path(f"{_DEPLOYMENT}decide/", deployments.decide, name="deployment_decide"),
    path(f"{_DEPLOYMENT}evaluate/", measuring.deployment, name="deployment_evaluate"),
    path(f"{_DEPLOYMENT}delete/", deployments.delete, name="deployment_delete"),
    path(f"{_DEPLOYMENT}look/", deployments.look, name="deployment_look"),
    path(f"{_DEPLOYMENT}try/", trying.page, name="try"),
    path(f"{_DEPLOYMENT}try/sides/", trying.sides, name="try_sides"),
    path(f"{_DEPLOYMENT}try/answer/", trying.answer, name="try_answer"),
]
