"""Evaluations: items, graders, runs, and one row per call and per verdict."""

from typing import Any, Self

from django.db import models

from datasets.models.grader_params import GraderParamsField
from portal.querysets import FromConnectionsQuerySet


class EvaluationQuerySet(FromConnectionsQuerySet):
    """Evaluations; one that is being deleted is nobody's any more."""

    def _on_every_source(self, user: Any, role: str) -> Self:
        return super()._on_every_source(user, role).filter(deleting=False)


class RunQuerySet(FromConnectionsQuerySet):
    """Runs; they go with their evaluation."""

    def _on_every_source(self, user: Any, role: str) -> Self:
        return super()._on_every_source(user, role).filter(evaluation__deleting=False)


class Evaluation(models.Model):
    """What is measured and how: the items (a dataset version), the reference, the graders."""

    name = models.CharField(max_length=120)
    version = models.ForeignKey("datasets.DatasetVersion", models.PROTECT, related_name="evaluations")
    connections = models.ManyToManyField("portal.Connection", related_name="evaluations")
    reference = models.CharField(
        max_length=220, blank=True, help_text="meta:<key>, answer (the stored answer), or empty for none."
    )
    setup = models.JSONField(
        default=dict,
        help_text="What the wizard was told so far: steps, targets, tried; then the next run's default.",
    )
    owner = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    deleting = models.BooleanField(default=False, help_text="An operation removes it with all its rows.")

    objects: Any = EvaluationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class Grader(models.Model):
    """One testing criterion. `params` holds the fields of its kind, as the API names them.

    Where a model judges, `params["connection"]` says which connection has it.
    """

    class Kind(models.TextChoices):
        STRING_CHECK = "string_check", "String check"
        TEXT_SIMILARITY = "text_similarity", "Text similarity"
        LABEL_MODEL = "label_model", "Judge that labels"
        SCORE_MODEL = "score_model", "Judge that scores"
        PYTHON = "python", "Python"
        MULTI = "multi", "Several together"
        CHECK = "check", "Ready-made check"
        PAIRWISE = "pairwise", "Preference of a judge"

    evaluation = models.ForeignKey(Evaluation, models.CASCADE, related_name="graders")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    params = GraderParamsField(default=dict)
    taken_from = models.ForeignKey(
        "datasets.LibraryGraderVersion", models.SET_NULL, null=True, related_name="used_as"
    )

    objects: Any = models.Manager()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(name="one_grader_per_position", fields=["evaluation", "position"]),
            models.UniqueConstraint(name="one_grader_per_name", fields=["evaluation", "name"]),
        ]

    def __str__(self) -> str:
        return self.name


class Run(models.Model):
    """One measurement. `targets` is a list of {key, kind: stored|fresh, connection, model, label, params}.

    `goal` is {grader: its name or "" for all together, at_least: share or null, no_worse: bool}; `misses`
    says in words what of it does not hold once the run is done: with any, it is red. `upstream` holds the ids
    that the provider gave, where it does the work.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    class Backend(models.TextChoices):
        HERE = "here", "Here"
        PROVIDER = "provider", "At the provider"

    evaluation = models.ForeignKey(Evaluation, models.CASCADE, related_name="runs")
    connections = models.ManyToManyField("portal.Connection", related_name="runs")
    number = models.PositiveIntegerField()
    targets = models.JSONField(default=list)
    repetitions = models.PositiveSmallIntegerField(default=1, help_text="Fresh answers to each item.")
    goal = models.JSONField(default=dict)
    misses = models.JSONField(default=list)
    schedule = models.ForeignKey("datasets.Schedule", models.SET_NULL, null=True, related_name="runs")
    backend = models.CharField(max_length=10, choices=Backend.choices, default=Backend.HERE)
    upstream = models.JSONField(default=dict)
    state = models.CharField(max_length=12, choices=State.choices, default=State.WAITING)
    operation = models.ForeignKey("portal.Operation", models.SET_NULL, null=True, related_name="+")
    repeated_calls = models.PositiveIntegerField(default=0, help_text="Calls made again after a worker died.")
    summary = models.JSONField(default=dict)
    created_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    finished = models.DateTimeField(null=True)

    objects: Any = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(name="one_run_per_number", fields=["evaluation", "number"])]

    def __str__(self) -> str:
        return f"{self.evaluation} run {self.number}"


class Call(models.Model):
    """One model call. `grader` and `order` are empty for the answer itself, never null.

    `grader` is the key of a judge (datasets.evaluate.judges); `order` says whose answer a judge of preference
    saw first: "ab" the first target's, "ba" this one's.
    """

    class State(models.TextChoices):
        PENDING = "pending", "To be made"
        SENT = "sent", "In flight"
        DONE = "done", "Answered"
        FAILED = "failed", "Failed"

    run = models.ForeignKey(Run, models.CASCADE, related_name="calls")
    example = models.ForeignKey("datasets.Example", models.CASCADE, related_name="calls")
    target = models.CharField(max_length=20)
    repetition = models.PositiveSmallIntegerField(default=0)
    grader = models.CharField(max_length=80, default="", blank=True)
    order = models.CharField(max_length=4, default="", blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    tries = models.PositiveSmallIntegerField(default=0)
    output_text = models.TextField(blank=True)
    answer = models.JSONField(default=dict, help_text="The choice's message, finish reason and usage.")
    latency_ms = models.IntegerField(null=True)
    error = models.JSONField(default=dict)

    objects: Any = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="one_call_per_item",
                fields=["run", "example", "target", "repetition", "grader", "order"],
            )
        ]
        indexes = [models.Index(fields=["run", "state", "id"], name="call_to_make")]

    def __str__(self) -> str:
        return f"call of {self.target} for example {self.example_id}"


class Result(models.Model):
    """One grader's verdict on one answer. `error` set means ungraded: counted apart, never as a failure."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="results")
    example = models.ForeignKey("datasets.Example", models.CASCADE, related_name="results")
    target = models.CharField(max_length=20)
    repetition = models.PositiveSmallIntegerField(default=0)
    grader = models.ForeignKey(Grader, models.CASCADE, related_name="results")
    score = models.FloatField(null=True)
    passed = models.BooleanField(null=True)
    reason = models.TextField(blank=True)
    error = models.CharField(max_length=300, blank=True)

    objects: Any = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="one_result_per_verdict", fields=["run", "example", "target", "repetition", "grader"]
            )
        ]
        indexes = [models.Index(fields=["run", "grader", "target", "passed"], name="result_of_run")]

    def __str__(self) -> str:
        return f"verdict of grader {self.grader_id} on example {self.example_id}"
