"""What is made from a selection: datasets, fine-tunes, deployments, evaluations."""

from datasets.models.dataset import Dataset, DatasetVersion, Example, Part, Purpose
from datasets.models.evaluation import Call, Evaluation, Grader, Result, Run
from datasets.models.finetune import Checkpoint, Deployment, FineTune, FineTuneEvent, Sweep, UploadedFile
from datasets.models.relabel import Relabel, RelabelCall

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
    "Part",
    "Purpose",
    "Relabel",
    "RelabelCall",
    "Result",
    "Run",
    "Sweep",
    "UploadedFile",
]
