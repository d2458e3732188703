"""The raw tables of datasets, jobs and evaluations, to look at; changed only where their rules are kept."""

from django.contrib import admin

from datasets.models import (
    Checkpoint,
    Dataset,
    DatasetVersion,
    Deployment,
    Evaluation,
    Example,
    FineTune,
    FineTuneEvent,
    Grader,
    Relabel,
    RelabelCall,
    Run,
    UploadedFile,
)
from portal.admin import ReadOnly


@admin.register(Dataset)
class DatasetAdmin(ReadOnly):
    list_display = ("name", "purpose", "owner", "created")
    list_filter = ("purpose",)
    search_fields = ("name",)


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnly):
    list_display = ("dataset", "number", "state", "rows", "sha256", "built")
    list_filter = ("state",)
    list_select_related = ("dataset",)


@admin.register(Example)
class ExampleAdmin(ReadOnly):
    list_display = ("version_id", "position", "line", "source_key", "excluded_reason")
    search_fields = ("=source_key",)
    show_full_result_count = False
    raw_id_fields = ("version", "completion")


@admin.register(UploadedFile)
class UploadedFileAdmin(ReadOnly):
    list_display = ("file_name", "connection", "status", "size", "remote_id", "created")
    list_filter = ("connection",)


@admin.register(FineTune)
class FineTuneAdmin(ReadOnly):
    list_display = ("base_model", "connection", "state", "status", "remote_id", "created")
    list_filter = ("state", "connection")


@admin.register(FineTuneEvent)
class FineTuneEventAdmin(ReadOnly):
    list_display = ("fine_tune_id", "created", "level", "message")
    show_full_result_count = False


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnly):
    list_display = ("fine_tune_id", "step", "model")


@admin.register(Deployment)
class DeploymentAdmin(ReadOnly):
    list_display = ("name", "connection", "model", "state", "status", "created")
    list_filter = ("state", "connection")


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnly):
    list_display = ("name", "version_id", "reference", "owner", "created")


@admin.register(Grader)
class GraderAdmin(ReadOnly):
    list_display = ("evaluation_id", "position", "name", "kind")


@admin.register(Run)
class RunAdmin(ReadOnly):
    list_display = ("evaluation_id", "number", "state", "repeated_calls", "created", "finished")
    list_filter = ("state",)


@admin.register(Relabel)
class RelabelAdmin(ReadOnly):
    list_display = ("name", "model", "state", "repeated_calls", "created", "finished")
    list_filter = ("state",)
    search_fields = ("name",)


@admin.register(RelabelCall)
class RelabelCallAdmin(ReadOnly):
    list_display = ("relabel_id", "position", "state", "tries", "verdict")
    list_filter = ("state", "verdict")
    show_full_result_count = False
    raw_id_fields = ("relabel", "completion")
