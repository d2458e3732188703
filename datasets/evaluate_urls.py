"""Where evaluations live; part of the addresses of `datasets`."""

from django.urls import path

from datasets.views import (
    evaluate,
    evaluate_data,
    evaluate_new,
    evaluations,
    report_files,
    reports,
    runs,
    schedules,
)

_RUN = "evaluations/<int:pk>/runs/<int:number>/"

urlpatterns = [
    path("evaluate/new/", evaluate_new.choose, name="evaluate_new"),
    path("evaluate/new/version/<int:pk>/", evaluate_new.version, name="evaluate_version"),
    path("evaluate/new/file/", evaluate_new.upload, name="evaluate_file"),
    path("evaluate/new/<uuid:selection>/", evaluate_data.start, name="evaluate_start"),
    path("evaluate/<int:pk>/<slug:step>/", evaluate.step, name="evaluate"),
    path("evaluations/", evaluations.list_all, name="evaluations"),
    path("evaluations/<int:pk>/", evaluations.evaluation, name="evaluation"),
    path("evaluations/<int:pk>/copy/", evaluations.evaluation_copy, name="evaluation_copy"),
    path("evaluations/<int:pk>/delete/", evaluations.evaluation_delete, name="evaluation_delete"),
    path("evaluations/<int:pk>/run/", runs.new, name="run_new"),
    path("evaluations/<int:pk>/schedule/", schedules.edit, name="schedule"),
    path("evaluations/<int:pk>/schedule/switch/", schedules.switch, name="schedule_switch"),
    path("evaluations/<int:pk>/schedule/delete/", schedules.delete, name="schedule_delete"),
    path(_RUN, reports.run, name="run"),
    path(f"{_RUN}slices/", reports.run_slices, name="run_slices"),
    path(f"{_RUN}page/", report_files.page, name="run_page"),
    path(f"{_RUN}again/", runs.again, name="run_again"),
    path(f"{_RUN}retry/", runs.retry, name="run_retry"),
    path(f"{_RUN}pause/", runs.pause, name="run_pause"),
    path(f"{_RUN}cancel/", runs.cancel, name="run_cancel"),
    path(f"{_RUN}rows/<int:line>/", reports.run_row, name="run_row"),
    path(f"{_RUN}rows/<slug:form>/", report_files.rows, name="run_export"),
]
