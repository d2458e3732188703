"""Which graders ask a model, and which calls that takes. Pure.

A judge is a grader, or one within a grader of several, whose verdict is an answer of upstream: a label, a
score, a preference, or the nearness of two embeddings.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from datasets.evaluate.targets import Target
from datasets.models import Grader

Kind = Grader.Kind
AB, BA = "ab", "ba"  # whose answer a judge of preference sees first: the first target's, or the other one's


class Defined(Protocol):
    """A grader as a row has it, or as one within others."""

    @property
    def pk(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def params(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Part:
    """A grader that gives verdicts by itself: `name` is empty, or what a grader of several calls it."""

    name: str
    kind: str
    params: Mapping[str, Any]

    @property
    def asks(self) -> bool:
        """Whether its verdict is an answer of upstream."""
        if self.kind == Kind.TEXT_SIMILARITY:
            return self.params.get("evaluation_metric") == "cosine"
        return self.kind in (Kind.LABEL_MODEL, Kind.SCORE_MODEL, Kind.PAIRWISE)


@dataclass(frozen=True, slots=True)
class Judge:
    """A part that is asked; `key` is what its calls are known by."""

    key: str
    grader: int
    part: Part

    @property
    def connection(self) -> int:
        return int(self.part.params["connection"])

    @property
    def model(self) -> str:
        return str(self.part.params["model"])

    @property
    def compares(self) -> bool:
        """Whether it is shown the first target's answer beside another one's."""
        return self.part.kind == Kind.PAIRWISE

    def orders(self, example: int, target: str, repetition: int) -> tuple[str, ...]:
        """In which orders it is asked about one answer; where one is enough, a hash draws it."""
        if not self.compares:
            return ("",)
        if self.part.params.get("both_orders"):
            return AB, BA
        drawn = blake2b(f"{self.key}/{example}/{target}/{repetition}".encode(), digest_size=1).digest()[0]
        return (AB, BA)[drawn % 2 : drawn % 2 + 1]

    def times(self, targets: Sequence[Target], repetitions: int) -> int:
        """How many calls it takes for one item, if every answer is there."""
        compared = targets[1:] if self.compares else targets
        answers = sum(repetitions if target.is_fresh else 1 for target in compared)
        return answers * (2 if self.compares and self.part.params.get("both_orders") else 1)


def parts_of(kind: str, params: Mapping[str, Any]) -> Iterator[Part]:
    """The grader itself, or the graders within one of several, in the names that it gives them."""
    if kind != Kind.MULTI:
        yield Part("", kind, params)
        return
    for name, inner in params.get("graders", {}).items():
        yield Part(name, inner["kind"], inner["params"])


def judges_of(graders: Iterable[Defined]) -> list[Judge]:
    """Every judge among these graders."""
    return [
        Judge(f"{grader.pk}/{part.name}" if part.name else str(grader.pk), grader.pk, part)
        for grader in graders
        for part in parts_of(grader.kind, grader.params)
        if part.asks
    ]


def connections_of(graders: Iterable[Defined]) -> set[int]:
    """The connections whose models these graders ask."""
    return {judge.connection for judge in judges_of(graders)}


def is_judged(grader: Defined, target: str, targets: Sequence[str]) -> bool:
    """Whether a grader says anything of a target: a preference does not of the one it compares with."""
    return grader.kind != Kind.PAIRWISE or target != targets[0]
