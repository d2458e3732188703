"""The raw tables of datasets, jobs and evaluations, to look at; changed only where their rules are kept."""

from django.contrib import admin

from datasets.models import (
    Call,
    Checkpoint,
    Comparison,
    Counts,
    Dataset,
    DatasetVersion,
    Deployment,
    Evaluation,
    Example,
    FineTune,
    FineTuneEvent,
    Grader,
    LibraryGrader,
    LibraryGraderVersion,
    Relabel,
    RelabelCall,
    Result,
    Run,
    Schedule,
    Sweep,
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


@admin.register(Sweep)
class SweepAdmin(ReadOnly):
    list_display = ("name", "connection", "version_id", "created")
    list_filter = ("connection",)


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


@admin.register(Call)
class CallAdmin(ReadOnly):
    list_display = ("run_id", "example_id", "target", "repetition", "grader", "state", "tries", "latency_ms")
    list_filter = ("state",)
    show_full_result_count = False
    raw_id_fields = ("run", "example")


@admin.register(Result)
class ResultAdmin(ReadOnly):
    list_display = ("run_id", "example_id", "target", "repetition", "grader_id", "score", "passed", "error")
    list_filter = ("passed",)
    show_full_result_count = False
    raw_id_fields = ("run", "example", "grader")


@admin.register(Schedule)
class ScheduleAdmin(ReadOnly):
    list_display = ("evaluation", "every", "next_at", "enabled", "owner", "problem")
    list_filter = ("enabled",)
    list_select_related = ("evaluation", "owner")


@admin.register(Comparison)
class ComparisonAdmin(ReadOnly):
    list_display = ("name", "owner", "created")
    list_select_related = ("owner",)
    search_fields = ("name",)


@admin.register(Counts)
class CountsAdmin(ReadOnly):
    list_display = ("key", "run", "comparison", "made")
    list_select_related = ("run", "comparison")
    exclude = ("data",)


@admin.register(LibraryGrader)
class LibraryGraderAdmin(ReadOnly):
    list_display = ("name", "connection", "archived", "created_by", "created")
    list_filter = ("connection", "archived")
    list_select_related = ("connection", "created_by")
    search_fields = ("name",)


@admin.register(LibraryGraderVersion)
class LibraryGraderVersionAdmin(ReadOnly):
    list_display = ("grader", "number", "kind", "created_by", "created")
    list_select_related = ("grader", "created_by")


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
