"""Fine-tuning jobs as followed upstream, the files they use and the deployments they lead to."""

from typing import TYPE_CHECKING, Any

from django.db import models

from portal.querysets import OnConnectionQuerySet

if TYPE_CHECKING:
    from datasets.models.dataset import DatasetVersion


class UploadedFile(models.Model):
    """One upload per connection and content, reused by every job that trains on the same bytes."""

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="uploaded_files")
    sha256 = models.CharField(max_length=64)
    purpose = models.CharField(max_length=20, default="fine-tune")
    file_name = models.CharField(max_length=80)
    size = models.BigIntegerField()
    action = models.ForeignKey("portal.RemoteAction", models.SET_NULL, null=True, related_name="+")
    remote_id = models.CharField(max_length=120, blank=True)
    status = models.CharField(max_length=30, blank=True, help_text="As upstream says it.")
    error = models.TextField(blank=True)
    leftovers = models.JSONField(
        default=list, help_text="Ids of files upstream that this upload left behind: broken or doubled ones."
    )
    created = models.DateTimeField(auto_now_add=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_upload_per_content", fields=["connection", "sha256", "purpose"])
        ]

    def __str__(self) -> str:
        return self.file_name


class Sweep(models.Model):
    """Several jobs from one form on one upload, to be compared."""

    name = models.CharField(max_length=120)
    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="sweeps")
    version = models.ForeignKey("datasets.DatasetVersion", models.PROTECT, related_name="sweeps")
    created_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class FineTune(models.Model):
    """One fine-tuning job: prepared here, launched once, followed until it ends.

    A job that was started elsewhere has no version; it is read-only until somebody adopts it.
    """

    class Method(models.TextChoices):
        SUPERVISED = "supervised", "Supervised"
        DPO = "dpo", "Direct preference optimisation"
        REINFORCEMENT = "reinforcement", "Reinforcement"

    class State(models.TextChoices):
        DRAFT = "draft", "Being set up"
        UPLOADING = "uploading", "Uploading the training file"
        PROCESSING = "processing", "Waiting for the file to be processed"
        LAUNCHING = "launching", "Creating the job"
        ASKING = "asking", "A person has to decide"
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="fine_tunes")
    version = models.ForeignKey(
        "datasets.DatasetVersion", models.PROTECT, null=True, related_name="fine_tunes"
    )
    sweep = models.ForeignKey(Sweep, models.SET_NULL, null=True, related_name="fine_tunes")
    file = models.ForeignKey(UploadedFile, models.SET_NULL, null=True, related_name="fine_tunes")
    validation_file = models.ForeignKey(UploadedFile, models.SET_NULL, null=True, related_name="validates")
    action = models.ForeignKey("portal.RemoteAction", models.SET_NULL, null=True, related_name="+")
    operation = models.ForeignKey("portal.Operation", models.SET_NULL, null=True, related_name="+")
    base_model = models.CharField(max_length=120, help_text="With its version, as the create call takes it.")
    method = models.CharField(max_length=20, choices=Method.choices, default=Method.SUPERVISED)
    hyperparameters = models.JSONField(default=dict)
    grader = models.JSONField(default=dict, help_text="Of reinforcement, as the create call takes it.")
    seed = models.BigIntegerField()
    suffix = models.CharField(max_length=31, blank=True, help_text="The user's part; the mark is appended.")
    training_type = models.CharField(max_length=40, blank=True)

    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT)
    remote_id = models.CharField(max_length=120, blank=True)
    status = models.CharField(max_length=40, blank=True, help_text="As upstream says it.")
    fine_tuned_model = models.CharField(max_length=300, blank=True)
    trained_tokens = models.BigIntegerField(null=True)
    result_files = models.JSONField(default=list)
    curve = models.JSONField(default=list, help_text="Rows of the result file: step and metrics.")
    error = models.JSONField(default=dict)
    raw = models.JSONField(default=dict, help_text="The job as upstream sent it last.")
    cancel_requested = models.BooleanField(default=False)
    elsewhere = models.BooleanField(default=False, help_text="Started by somebody else than this portal.")
    adopted_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    estimate = models.JSONField(default=dict, help_text="What was said before the launch: tokens, price.")
    created_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    polled = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.base_model} on {self.version}" if self.version_id else self.base_model

    @property
    def is_ours(self) -> bool:
        """Whether it may be acted on here: launched here, or adopted by somebody."""
        return not self.elsewhere or self.adopted_by_id is not None

    @property
    def trained_on(self) -> "DatasetVersion":
        """The version of a job that was launched here; a job from elsewhere has none, and raises."""
        if self.version is None:
            raise ValueError("a job that was started elsewhere has no dataset version")
        found: DatasetVersion = self.version
        return found


class FineTuneEvent(models.Model):
    fine_tune = models.ForeignKey(FineTune, models.CASCADE, related_name="events")
    upstream_id = models.CharField(max_length=120)
    created = models.BigIntegerField(help_text="Unix seconds.")
    level = models.CharField(max_length=12)
    message = models.TextField()
    kind = models.CharField(max_length=20, blank=True, help_text="message or metrics.")
    data = models.JSONField(default=dict)

    objects: Any = models.Manager()

    class Meta:
        ordering = ["created", "id"]
        constraints = [models.UniqueConstraint(name="one_event_per_id", fields=["fine_tune", "upstream_id"])]

    def __str__(self) -> str:
        return self.message


class Checkpoint(models.Model):
    fine_tune = models.ForeignKey(FineTune, models.CASCADE, related_name="checkpoints")
    upstream_id = models.CharField(max_length=120)
    step = models.IntegerField()
    model = models.CharField(max_length=300)
    metrics = models.JSONField(default=dict)
    created = models.BigIntegerField()

    objects: Any = models.Manager()

    class Meta:
        ordering = ["step"]
        constraints = [
            models.UniqueConstraint(name="one_checkpoint_per_id", fields=["fine_tune", "upstream_id"])
        ]

    def __str__(self) -> str:
        return f"step {self.step}"


class Deployment(models.Model):
    """A name under which a model answers: created on Azure; on OpenAI a fine-tuned model answers at once."""

    class State(models.TextChoices):
        CREATING = "creating", "Being created"
        WARMING = "warming", "Created, not answering yet"
        READY = "ready", "Answers"
        ASKING = "asking", "A person has to decide"
        FAILED = "failed", "Failed"
        DELETING = "deleting", "Being deleted"
        DELETED = "deleted", "Deleted"

    connection = models.ForeignKey("portal.Connection", models.CASCADE, related_name="deployments")
    fine_tune = models.ForeignKey(FineTune, models.SET_NULL, null=True, related_name="deployments")
    action = models.ForeignKey("portal.RemoteAction", models.SET_NULL, null=True, related_name="+")
    operation = models.ForeignKey("portal.Operation", models.SET_NULL, null=True, related_name="+")
    name = models.CharField(max_length=300)
    model = models.CharField(max_length=300)
    sku = models.CharField(max_length=40, blank=True)
    capacity = models.PositiveIntegerField(null=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.CREATING)
    status = models.CharField(max_length=40, blank=True, help_text="provisioningState as upstream says it.")
    error = models.JSONField(default=dict)
    created_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    objects: Any = OnConnectionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="one_deployment_per_name",
                fields=["connection", "name"],
                condition=~models.Q(state="deleted"),
            )
        ]

    def __str__(self) -> str:
        return self.name
