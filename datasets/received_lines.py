"""One line of an uploaded file: taken as it is, mended, or left out with its reason."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from completions.duplicates import key_of, message_key
from datasets import reading, received
from datasets.build import files, fixes, part_items, validate
from datasets.build.lines import CannotExpress
from datasets.build.tokens import Counter
from datasets.build.writing import DOUBTS
from datasets.models import DatasetVersion, Example, Purpose
from datasets.recipe import Recipe

TOO_LONG: Final = f"The line is longer than {received.LONGEST_LINE // 2**20} MB"
_ATTEMPTS: Final = 8  # fixes of one line


class Given(NamedTuple):
    """A line of the file that is read; `data` is None for one that is too long to hold."""

    number: int
    end: int
    data: bytes | None
    key: str = ""
    completion: int | None = None
    metadata: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class Taken:
    """What became of a line: bytes to write, or why it is left out."""

    example: Example
    data: bytes = b""
    problems: Sequence[validate.Problem] = ()
    how: str = ""
    mended: bool = False


class Taker:
    """Judges lines by the rules of the version's purpose."""

    def __init__(self, version: DatasetVersion) -> None:
        self._version = version
        self._purpose = version.dataset.purpose
        self._recipe = Recipe.read(version.recipe)
        self._excluded = dict(self._recipe.excluded)
        self._mend = bool(version.source.get("mend"))
        again = "from_version" in version.source  # these are items already
        read_as = Purpose.EVALUATION if again else version.source.get("read_as", Purpose.EVALUATION)
        self._read_as = read_as if read_as != Purpose.EVALUATION else ""
        self._counter = Counter.plain()

    def __call__(self, line: Given) -> Taken | None:
        """What becomes of it; None for an empty line."""
        example = Example(version=self._version, source_key=line.key or f"line {line.number}")
        if line.data is None:
            return self._refused(example, [validate.Problem(TOO_LONG, line.number, TOO_LONG)])
        if not line.data.strip():
            return None
        example.completion_id = line.completion
        try:
            data = self._as_item(line) if self._read_as else line.data
        except CannotExpress as problem:
            example.excluded_reason = problem.reason[:120]
            return Taken(example)
        found = self._judged(line.number, data)
        if self._mend:
            data, found = self._mended(line.number, data, found)
        errors = [problem for problem in found if problem.severity == "error"]
        if errors:
            return self._refused(example, errors)
        digest = hashlib.sha256(data + b"\n").hexdigest()
        example.source_key = line.key or f"upload/{digest[:32]}"
        if example.source_key in self._excluded:
            example.excluded_reason = f"by_hand:{self._excluded[example.source_key]}"[:120]
            return Taken(example)
        mended = not self._read_as and data != line.data
        return self._kept(example, data, digest, found, mended=mended)

    def _as_item(self, line: Given) -> bytes:
        """The line of a training file as an item to measure on."""
        made = part_items.item_of(reading.parsed(line.data or b""), self._read_as, line.metadata)
        try:
            return files.as_line(made).rstrip(b"\n")
        except files.Unwritable as error:
            raise CannotExpress("unwritable") from error

    def _judged(self, number: int, data: bytes) -> list[validate.Problem]:
        return validate.of_line(number, data, self._purpose)

    def _mended(
        self, number: int, data: bytes, found: list[validate.Problem]
    ) -> tuple[bytes, list[validate.Problem]]:
        """The line with what helps against its errors, as far as anything does."""
        for _ in range(_ATTEMPTS):
            errors = [problem for problem in found if problem.severity == "error" and problem.fix]
            tried = (self._fixed(data, each) for each in errors)
            after = next((made for made in tried if made and made != data), None)
            if after is None:
                break
            data, found = after, self._judged(number, after)
        return data, found

    def _fixed(self, data: bytes, problem: validate.Problem) -> bytes | None:
        return fixes.fixed(data, problem.code, self._purpose)

    def _refused(self, example: Example, errors: Sequence[validate.Problem]) -> Taken:
        example.excluded_reason = errors[0].code[:120]
        return Taken(example, problems=errors)

    def _kept(
        self, example: Example, data: bytes, digest: str, found: Sequence[validate.Problem], *, mended: bool
    ) -> Taken:
        value = json.loads(data)
        example.tokens, how = self._counter.of_data(value)
        limit = self._recipe.token_limit
        if limit and example.tokens > limit:
            if self._recipe.leave_out_long:
                example.excluded_reason = "too_long"
                return Taken(example)
            found = [*found, validate.warning("over_long", 0)]
        example.content_hash, example.length, example.edited = digest, len(data) + 1, mended
        codes = dict.fromkeys(problem.code for problem in found)
        flags = ""
        for code in codes:
            if len(flags) + len(code) + 2 <= 200:
                flags += f"{code} "
        example.flags = f" {flags}" if flags else ""
        example.doubts = min(sum(DOUBTS.get(code, 1) for code in codes), 32_767)
        _know(example, value)
        return Taken(example, data + b"\n", found, how, mended)


def _know(example: Example, value: dict[str, Any]) -> None:
    """What tells whether another dataset holds the same prompt or conversation."""
    talks = reading.read(value).talks
    messages = talks[0].messages if talks else ()
    asked = messages[:-1] if messages and messages[-1].role == "assistant" else messages
    said = b""
    for message in asked:
        said += message_key(message)
        if message.role not in ("system", "developer"):
            break
    example.prompt_key = key_of(b"".join(message_key(message) for message in asked))
    example.conversation = key_of(said)
