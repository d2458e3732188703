"""Evaluations and their runs as the sandbox keeps them, and how far the clock has come with them."""

from dataclasses import asdict, dataclass, field

from portal.sandbox.kinds import Json

WAITING = 0.2  # of a run's time, queued


@dataclass(slots=True)
class Eval:
    """What is measured; `testing_criteria` with the ids that they were given."""

    id: str
    name: str
    created_at: float
    metadata: dict[str, str] | None
    data_source_config: Json
    testing_criteria: list[Json]


@dataclass(slots=True)
class EvalRun:
    """One measurement; its rows lie in the data folder under its id."""

    id: str
    eval_id: str
    name: str
    created_at: float
    seconds: float
    metadata: dict[str, str] | None
    data_source: Json
    rows: int
    cancelled_at: float | None = None

    def part(self, now: float) -> float:
        """How much of its time has gone, from 0 to 1."""
        return min(1.0, (now - self.created_at) / self.seconds) if self.seconds > 0 else 1.0

    def status(self, now: float) -> str:
        if self.cancelled_at is not None:
            return "canceled"
        part = self.part(now)
        return "queued" if part < WAITING else "in_progress" if part < 1.0 else "completed"

    def done(self, now: float) -> int:
        """How many of its rows have been judged."""
        part = self.part(now if self.cancelled_at is None else self.cancelled_at)
        return min(self.rows, int(self.rows * max(0.0, part - WAITING) / (1 - WAITING)))


@dataclass(slots=True)
class Evals:
    """Changed only by `apply`; `judged` is worked out from the rows when asked for, and kept."""

    evals: dict[str, Eval] = field(default_factory=dict)
    runs: dict[str, EvalRun] = field(default_factory=dict)
    judged: dict[str, list[Json]] = field(default_factory=dict)

    def apply(self, change: Json) -> None:
        what, entry = change["change"], change.get("entry", {})
        if what == "eval.add":
            self.evals[entry["id"]] = Eval(**entry)
        elif what == "eval.update":
            held = self.evals[change["id"]]
            held.name, held.metadata = change["name"], change["metadata"]
        elif what == "eval.delete":
            self.evals.pop(change["id"], None)
            for run in [run for run in self.runs.values() if run.eval_id == change["id"]]:
                self.runs.pop(run.id)
        elif what == "eval.run.add":
            self.runs[entry["id"]] = EvalRun(**entry)
        elif what == "eval.run.cancel":
            self.runs[change["id"]].cancelled_at = change["at"]
        elif what == "eval.run.delete":
            self.runs.pop(change["id"], None)
        else:
            raise ValueError(f"unknown change {what!r}")

    def runs_of(self, eval_id: str) -> list[EvalRun]:
        return [run for run in self.runs.values() if run.eval_id == eval_id]


def adding(kind: str, entry: Eval | EvalRun) -> Json:
    """The change that adds an evaluation (`eval`) or a run (`eval.run`)."""
    return {"change": f"{kind}.add", "entry": asdict(entry)}
