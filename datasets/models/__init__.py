"""What is made from a selection: datasets, fine-tunes, deployments, evaluations."""

from datasets.models.comparison import Comparison
from datasets.models.counts import Counts
from datasets.models.dataset import Dataset, DatasetVersion, Example, Part, Purpose
from datasets.models.evaluation import Call, Evaluation, Grader, Result, Run
from datasets.models.finetune import Checkpoint, Deployment, FineTune, FineTuneEvent, Sweep, UploadedFile
from datasets.models.library import LibraryGrader, LibraryGraderVersion
from datasets.models.relabel import Relabel, RelabelCall
from datasets.models.schedule import Schedule

__all__ = [
    "Call",
    "Checkpoint",
    "Comparison",
    "Counts",
    "Dataset",
    "DatasetVersion",
    "Deployment",
    "Evaluation",
    "Example",
    "FineTune",
    "FineTuneEvent",
    "Grader",
    "LibraryGrader",
    "LibraryGraderVersion",
    "Part",
    "Purpose",
    "Relabel",
    "RelabelCall",
    "Result",
    "Run",
    "Schedule",
    "Sweep",
    "UploadedFile",
]
