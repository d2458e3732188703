"""Addresses of relabelling."""

from django.urls import path

from datasets.views import relabels

urlpatterns = [
    path("relabels/", relabels.list_all, name="relabels"),
    path("relabels/start/<uuid:selection>/", relabels.start, name="relabel_start"),
    path("relabels/<int:pk>/", relabels.relabel, name="relabel"),
    path("relabels/<int:pk>/begin/", relabels.begin, name="relabel_begin"),
    path("relabels/<int:pk>/pause/", relabels.pause, name="relabel_pause"),
    path("relabels/<int:pk>/go-on/", relabels.go_on, name="relabel_go_on"),
    path("relabels/<int:pk>/cancel/", relabels.cancel, name="relabel_cancel"),
    path("relabels/<int:pk>/retry/", relabels.retry, name="relabel_retry"),
    path("relabels/<int:pk>/delete/", relabels.delete, name="relabel_delete"),
    path("relabels/<int:pk>/accept/", relabels.accept_all, name="relabel_accept_all"),
    path("relabels/<int:pk>/accept/undo/", relabels.undo_all, name="relabel_undo_all"),
    path("relabels/<int:pk>/<int:call>/judge/", relabels.judge, name="relabel_judge"),
]
