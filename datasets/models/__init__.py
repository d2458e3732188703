"""What is made from a selection: datasets, fine-tunes, deployments, evaluations."""

from datasets.models.dataset import Dataset, DatasetVersion, Example, Purpose
from datasets.models.evaluation import Call, Evaluation, Grader, Result, Run
from datasets.models.finetune import Checkpoint, Deployment, FineTune, FineTuneEvent, UploadedFile

__all__ = [
    "Call",
    "Checkpoint",
    "Dataset",
    "DatasetVersion",
    "Deployment",
    "Evaluation",
    "Example",
    "FineTune",
    "FineTuneEvent",
    "Grader",
    "Purpose",
    "Result",
    "Run",
    "UploadedFile",
]
