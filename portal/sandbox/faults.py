"""Faults on request: a list of rules, matched against each call."""

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from portal.sandbox.draw import share
from portal.sandbox.kinds import Json

CUT_UPLOAD = "cut_upload"
KINDS = frozenset(
    [
        "throttle",
        "slow",
        "status",
        "drop",
        "cut",
        "html200",
        "gzip_bomb",
        "wrong_charset",
        "invalid_json",
        "redirect",
        "empty_page",
        "ignore_after",
        "vanished_cursor",
        "duplicate_ids",
        "strip",
        "poison",
        "expire_tokens",
        "revoke_key",
        "lag",
        "drop_marks",
        "refuse",
        "say",
        CUT_UPLOAD,
        "file_error",
    ]
)


class BadRule(Exception):
    """A rule that cannot be understood."""


@dataclass(slots=True)
class Rule:
    """When a fault happens; ``options`` say how."""

    kind: str
    resource: str | None
    method: str | None
    path: re.Pattern[str] | None
    probability: float
    times: int | None
    skip: int
    options: Json
    seen: int = 0
    fired: int = 0

    @classmethod
    def from_json(cls, data: Json) -> "Rule":
        data = dict(data)
        kind = data.pop("kind", None)
        if kind not in KINDS:
            raise BadRule(f"unknown kind {kind!r}; one of {', '.join(sorted(KINDS))}")
        path = data.pop("path", None)
        try:
            pattern = re.compile(_to_regex(path)) if path else None
        except re.error as error:
            raise BadRule(f"path: {error}") from error
        return cls(
            kind,
            data.pop("resource", None),
            data.pop("method", None),
            pattern,
            float(data.pop("probability", 1.0)),
            data.pop("times", None),
            int(data.pop("after", 0)),
            data,
        )

    def strikes(self, resource: str, method: str, path: str) -> bool:
        if self.resource not in (None, resource) or self.method not in (None, method):
            return False
        if self.path is not None and not self.path.fullmatch(path):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.fired >= self.times):
            return False
        if self.probability < 1.0 and share("fault", self.kind, self.seen) >= self.probability:
            return False
        self.fired += 1
        return True

    def to_json(self) -> Json:
        return {
            "kind": self.kind,
            "resource": self.resource,
            "method": self.method,
            "path": self.path.pattern if self.path else None,
            "seen": self.seen,
            "fired": self.fired,
            **self.options,
        }


def _to_regex(path: str) -> str:
    """A regular expression if it is marked as one (``^…`` or ``re:…``), otherwise a glob."""
    if path.startswith("re:"):
        return path[3:]
    return path if path.startswith("^") else fnmatch.translate(path)


@dataclass(slots=True)
class Faults:
    """The rules that struck one call."""

    struck: list[Rule] = field(default_factory=list)

    def of(self, *kinds: str) -> Iterator[Rule]:
        return (rule for rule in self.struck if rule.kind in kinds)

    def active(self, kind: str) -> bool:
        return any(rule.kind == kind for rule in self.struck)

    def option(self, kind: str, name: str, default: Any) -> Any:
        return next((rule.options.get(name, default) for rule in self.of(kind)), default)

    def seconds(self, kind: str) -> float:
        return float(self.option(kind, "seconds", 60.0)) if self.active(kind) else 0.0

    def names(self) -> str | None:
        return "+".join(rule.kind for rule in self.struck) or None


class Switchboard:
    """The active rules."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def replace(self, rules: list[Json]) -> None:
        self.rules = [Rule.from_json(rule) for rule in rules]

    def strike(self, resource: str, method: str, path: str) -> Faults:
        if not self.rules:
            return _CALM
        return Faults(
            [rule for rule in self.rules if rule.kind != CUT_UPLOAD and rule.strikes(resource, method, path)]
        )

    def cut(self, resource: str, method: str, path: str) -> float | None:
        """After which part of its body a request is cut off; None to let it in."""
        for rule in self.rules:
            if rule.kind == CUT_UPLOAD and rule.strikes(resource, method, path):
                return float(rule.options.get("fraction", 0.5))
        return None


_CALM = Faults()
