"""What a run measures: the stored answers, or fresh ones of a deployment. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

STORED = "stored"
FRESH_KEYS = ("first", "second", "third", "fourth", "fifth", "sixth")
SELF_MEASURE = (
    "The stored answers would be measured against themselves, and every one would pass. Take a metadata key"
    " as the reference, or measure fresh answers only."
)


@dataclass(frozen=True)
class Target:
    """One column of a report. `params` are sampling parameters in the names of the create call."""

    key: str
    kind: Literal["stored", "fresh"]
    label: str
    connection: int | None = None
    model: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_fresh(self) -> bool:
        return self.kind == "fresh"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "params": dict(self.params)}


def stored() -> Target:
    return Target(STORED, "stored", "Stored answers")


def read(saved: Iterable[Mapping[str, Any]]) -> tuple[Target, ...]:
    """Targets as a row keeps them."""
    return tuple(
        Target(
            key=entry["key"],
            kind="fresh" if entry["kind"] == "fresh" else "stored",
            label=entry["label"],
            connection=entry.get("connection"),
            model=entry.get("model", ""),
            params=entry.get("params") or {},
        )
        for entry in saved
    )


def problem_of(reference: str, targets: Iterable[Target]) -> str:
    """Why these targets cannot be measured against this reference; empty if they can."""
    if reference == "answer" and any(not target.is_fresh for target in targets):
        return SELF_MEASURE
    return ""
