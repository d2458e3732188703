"""A recipe: every rule and setting that turns a selection into a version, as one immutable value. Pure.

What is stored (`DatasetVersion.recipe`) holds only what differs from the default, so that two recipes are the
same rules exactly if their data are equal. The order in which rules apply is fixed and is the order of the
fields here; docs/datasets.md tells it to people.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final

from datasets.models import Purpose

LONGEST_SEED: Final = 2**31 - 1
MOST_EXCLUDED: Final = 10_000  # rows left out by hand
MOST_PATTERNS: Final = 20  # of one's own, for personal data
LONGEST_TEXT: Final = 20_000  # of a system prompt, a prefix or a note

# Rules that leave a row out by what its answer is like, in the words that people read.
DROPS: Final = {
    "refusal": "refusals",
    "truncated": "answers that were cut off (finish reason length)",
    "filtered": "answers that a content filter stopped",
    "empty": "empty answers",
    "error": "rows with an error in place of an answer",
    "not_json": "answers that are not JSON where JSON was asked for",
}
PERSONAL: Final = {
    "email": "e-mail addresses",
    "phone": "phone numbers",
    "card": "payment cards",
    "iban": "bank accounts (IBAN)",
    "ip": "IP addresses",
    "secret": "keys and tokens",
}
# What a cap, a sample or a split can go by: these, or meta.KEY or label.NAME.
GROUPS: Final = {"model": "model", "connection": "connection", "system": "system prompt"}
SPLITS: Final = ("train", "validation", "test")


class Unreadable(ValueError):
    """The data are no recipe; says which part."""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `most` rows of each group; the best are kept (see datasets.build.choose)."""

    by: str
    most: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Only `rows` of the rows, drawn by `seed`; evenly over the groups of `by` where that is set."""

    rows: int
    seed: int = 0
    by: str = ""


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """What becomes of system prompts: `do` is keep, remove or replace (then `text` takes their place)."""

    do: str = "keep"
    text: str = ""


@dataclass(frozen=True, slots=True)
class Personal:
    """What becomes of personal data: `do` is replace or leave_out; `patterns` are (name, RE2 expression)."""

    kinds: tuple[str, ...] = ()
    patterns: tuple[tuple[str, str], ...] = ()
    do: str = "replace"


@dataclass(frozen=True, slots=True)
class Split:
    """Percent of the rows for validation and test. `unit`: conversation, or near for near-duplicates too."""

    validation: int = 0
    test: int = 0
    seed: int = 0
    unit: str = "conversation"
    even: str = ""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Where preference pairs come from: corrections, ratings, or two models (`preferred` over `other`)."""

    source: str = "corrections"
    preferred: str = ""
    other: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every rule of a build; the default changes and drops nothing."""

    purpose: str = Purpose.SUPERVISED
    # 1 Which rows, by what people said of them and by what their answer is like.
    only_approved: bool = False
    drop: tuple[str, ...] = ()
    shortest: int = 0  # tokens of the answer; 0 is no limit
    longest: int = 0
    excluded: tuple[tuple[str, str], ...] = ()  # (source key, why), by hand
    # 2 What a row says.
    use_corrections: bool = False
    system_prompt: SystemPrompt = field(default_factory=SystemPrompt)
    prefix: str = ""  # cut off the beginning of the first user message
    last_turns: int = 0  # keep the system prompt and so many of the last turns; 0 keeps all
    personal: Personal = field(default_factory=Personal)
    train_on: str = "all"  # or last
    pairs: Pairs = field(default_factory=Pairs)
    reference: str = ""  # correction, answer or meta:<key>: what an answer is measured against
    columns: tuple[str, ...] = ()  # meta.KEY or label.NAME as further fields of an item
    token_limit: int = 0
    leave_out_long: bool = False
    # 3 Which of the rows that are left, looking at all of them.
    duplicates: str = ""  # exact or near
    cap: Cap | None = None
    sample: Sample | None = None
    # 4 Where each row goes.
    split: Split = field(default_factory=Split)
    byte_order_mark: bool = False

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Recipe":
        """The recipe of stored data. Raises Unreadable."""
        known = {each.name for each in fields(cls)}
        strange = sorted(set(data) - known)
        if strange:
            raise Unreadable(f"The recipe holds {', '.join(strange)}, which this version does not know.")
        try:
            return cls(**{name: _value(name, value) for name, value in data.items() if value is not None})
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise Unreadable(f"The recipe cannot be read: {error}"[:300]) from error

    def as_data(self) -> dict[str, Any]:
        """What differs from the default, as JSON takes it. The purpose is always there."""
        return dict(self._changed())

    def _changed(self) -> Iterator[tuple[str, Any]]:
        for each in fields(self):
            value = getattr(self, each.name)
            default = each.default_factory() if each.default_factory is not MISSING else each.default
            if each.name == "purpose" or value != default:
                yield each.name, _plain(value)

    @property
    def is_split(self) -> bool:
        return bool(self.split.validation or self.split.test)

    @property
    def chooses(self) -> bool:
        """Whether a rule looks at all rows, so that a row may still go after it was written."""
        pairs = self.purpose == Purpose.PREFERENCE and self.pairs.source != "corrections"
        return bool(self.duplicates or self.cap or self.sample or self.is_split or pairs)


_PARTS: Final[Mapping[str, type]] = {
    "cap": Cap,
    "sample": Sample,
    "system_prompt": SystemPrompt,
    "personal": Personal,
    "split": Split,
    "pairs": Pairs,
}


def _value(name: str, value: Any) -> Any:
    """A stored value as the field takes it; its kind is that of the default."""
    if name in _PARTS:
        part = _PARTS[name]
        return part(**{key: _tuples(entry) for key, entry in dict(value).items()})
    return _tuples(value)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, (Cap, Sample, SystemPrompt, Personal, Split, Pairs)):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    return str(value) if isinstance(value, Purpose) else value
