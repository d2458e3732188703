"""The items of an evaluation, read line by line from the file of its version."""

import json
from types import TracebackType
from typing import Any, Self

from datasets.build import files
from datasets.evaluate.shape import Shape
from datasets.models import Evaluation, Example


class Items:
    """The version's file, opened once: `items.of(example)`, as the evaluation reads its columns."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._version = evaluation.version
        self._shape = Shape.of(evaluation)
        self._file: Any = None

    def __enter__(self) -> Self:
        self._file = files.open_file(self._version)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def line(self, example: Example) -> dict[str, Any]:
        """The object of the line as it stands in the file."""
        assert example.offset is not None
        assert example.length is not None
        self._file.seek(example.offset)
        line = json.loads(self._file.read(example.length))
        return line if isinstance(line, dict) else {}

    def of(self, example: Example) -> dict[str, Any]:
        """What graders call `item`."""
        item = self._shape.item(self.line(example))
        if item is None:
            raise files.FileDiffers(f"line {example.line} of {self._version.path} holds no item")
        return item
