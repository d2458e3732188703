"""The items of a built version, read line by line from its file."""

import json
from types import TracebackType
from typing import Any, Self

from datasets.build import files
from datasets.models import DatasetVersion, Example


class Items:
    """The version's file, opened once: `items.of(example)`."""

    def __init__(self, version: DatasetVersion) -> None:
        self._version = version
        self._file: Any = None

    def __enter__(self) -> Self:
        self._file = files.open_file(self._version)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def of(self, example: Example) -> dict[str, Any]:
        """What graders call `item`."""
        assert example.offset is not None
        assert example.length is not None
        self._file.seek(example.offset)
        line = json.loads(self._file.read(example.length))
        item = line.get("item") if isinstance(line, dict) else None
        if not isinstance(item, dict):
            raise files.FileDiffers(f"line {example.line} of {self._version.path} holds no item")
        return item
