"""Fine-tuning jobs as a function of the clock: nothing moves, each look works out where the job would be."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from portal.sandbox.draw import digest, share
from portal.sandbox.personality import Json, Personality
from portal.sandbox.training import Lesson, skill

WAITING = 0.15  # of a job's time: validation and queue
TURNING = 0.03  # of a job's time: pausing and resuming
MOST_STEPS = 120


@dataclass(slots=True)
class Job:
    """What was asked for, what its file is worth, and what was done to it since."""

    id: str
    created_at: float
    seconds: float
    model: str
    training_file: str
    validation_file: str | None
    seed: int
    suffix: str | None
    metadata: dict[str, str] | None
    method: Json
    training_type: Any  # Azure takes names, and has been seen to take a number
    lesson: Lesson
    controls: list[tuple[float, str]] = field(default_factory=list)  # pause, resume, cancel

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Json) -> "Job":
        data = {**data, "lesson": Lesson(**data["lesson"])}
        data["controls"] = [(at, what) for at, what in data["controls"]]
        return cls(**data)

    # course

    def course(self, now: float) -> "Course":
        """Where the job is at ``now``."""
        worked, since, state = 0.0, self.created_at, "working"
        for at, control in [*self.controls, (now, "look")]:
            at = min(at, now)
            if state == "working":
                worked += at - since
                if worked >= self.end:
                    return Course(self.end, "ended", since + self.end - (worked - (at - since)))
            if control == "look":
                break
            if control == "cancel":
                return Course(worked, "cancelled", at)
            since, state = at, "stopped" if control == "pause" else "working"
        return Course(worked, state, since)

    @property
    def end(self) -> float:
        """Seconds of work until the job ends by itself."""
        return self.seconds * (WAITING * 0.6 if self.failure else 1.0)

    @property
    def failure(self) -> str | None:
        return self.lesson.error()

    def status(self, now: float, *, azure: bool) -> str:
        course = self.course(now)
        if course.state == "ended":
            return "failed" if self.failure else "succeeded"
        if course.state == "cancelled":
            return "cancelled"
        turning = now - course.since < self.seconds * TURNING
        if course.state == "stopped":
            return "pausing" if azure and turning else "paused"
        if azure and turning and any(control == "resume" for _, control in self.controls):
            return "resuming"
        part = course.worked / self.seconds
        if part >= WAITING:
            return "running"
        if azure:
            return "pending"
        return "validating_files" if part < WAITING * 0.6 else "queued"

    def finished_at(self, now: float) -> float | None:
        course = self.course(now)
        return course.since if course.state in ("ended", "cancelled") else None

    def succeeded(self, now: float) -> bool:
        return self.failure is None and self.course(now).state == "ended"

    # numbers

    def option(self, name: str) -> Any:
        kind = self.method.get("type", "supervised")
        return ((self.method.get(kind) or {}).get("hyperparameters") or {}).get(name, "auto")

    @property
    def epochs(self) -> int:
        asked, examples = self.option("n_epochs"), self.lesson.examples
        if isinstance(asked, int):
            return asked
        if 3 * examples < 100:
            return min(25, 100 // max(1, examples))
        return max(1, 25000 // examples) if 3 * examples > 25000 else 3

    @property
    def batch_size(self) -> int:
        asked = self.option("batch_size")
        return asked if isinstance(asked, int) else max(1, min(256, self.lesson.examples // 100))

    @property
    def steps(self) -> int:
        return max(1, min(MOST_STEPS, math.ceil(self.lesson.examples * self.epochs / self.batch_size)))

    def steps_done(self, now: float) -> int:
        worked = self.course(now).worked
        part = (worked / self.seconds - WAITING) / (0.97 - WAITING)
        return 0 if self.failure else max(0, min(self.steps, int(part * self.steps)))

    def time_of_step(self, step: int) -> float:
        """When it was (or will be) done, ignoring pauses after it."""
        work = self.seconds * (WAITING + (0.97 - WAITING) * step / self.steps)
        for at, control in self.controls:
            if control == "pause" and at - self.created_at < work:
                resumed = next((t for t, c in self.controls if c == "resume" and t >= at), at)
                work += resumed - at
        return self.created_at + work

    def metrics(self, step: int) -> Json:
        learnt = skill(self.model, self.lesson).otherwise
        known = dict(skill(self.model, self.lesson).kinds)
        quality = max([learnt, *known.values()])
        floor = 1.6 - 1.35 * quality
        loss = floor + (2.4 - floor) * math.exp(-4 * step / self.steps) + 0.08 * (share(self.id, step) - 0.5)
        metrics: Json = {
            "step": step,
            "train_loss": round(loss, 4),
            "train_mean_token_accuracy": round(min(0.995, max(0.2, 1 - loss / 3.2)), 4),
        }
        if self.validation_file and (step % 5 == 0 or step == self.steps):
            valid = loss * 1.06 + 0.05 * share(self.id, "valid", step)
            metrics["valid_loss"] = round(valid, 4)
            metrics["valid_mean_token_accuracy"] = round(min(0.99, max(0.2, 1 - valid / 3.2)), 4)
        if step % max(1, self.steps // self.epochs) == 0 and self.validation_file:
            metrics["full_valid_loss"] = round(loss * 1.05, 4)
            metrics["full_valid_mean_token_accuracy"] = round(max(0.2, 1 - loss * 1.05 / 3.2), 4)
        return metrics

    # names

    def fine_tuned_model(self, personality: Personality) -> str:
        key = f"{digest('model', self.id):016x}"
        if personality.azure:
            return f"{self.model.split('.ft-')[0]}.ft-{key * 2}" + (f"-{self.suffix}" if self.suffix else "")
        base = self.model.split(":")[1] if self.model.startswith("ft:") else self.model
        return f"ft:{base}:sandbox:{self.suffix or ''}:{key[:8]}"

    @property
    def result_file(self) -> str:
        return f"file-{digest('result', self.id):016x}"

    def results_csv(self) -> str:
        names = (
            "step,train_loss,train_mean_token_accuracy,valid_loss,validation_mean_token_accuracy,"
            "full_valid_loss,full_valid_mean_token_accuracy"
        )
        lines = [names]
        for step in range(1, self.steps + 1):
            metrics = self.metrics(step)
            columns = [
                name if name != "validation_mean_token_accuracy" else "valid_mean_token_accuracy"
                for name in names.split(",")
            ]
            lines.append(",".join(str(metrics.get(column, "")) for column in columns))
        return "\n".join(lines) + "\n"

    # as the service shows it

    def view(self, now: float, personality: Personality, *, hide_marks: bool = False) -> Json:
        status = self.status(now, azure=personality.azure)
        done = self.succeeded(now)
        finished = self.finished_at(now)
        kind = self.method.get("type", "supervised")
        hyperparameters: Json = {
            name: self.option(name) for name in ("batch_size", "learning_rate_multiplier", "n_epochs")
        }
        if status not in ("validating_files", "queued", "pending") and self.failure is None:
            hyperparameters = {
                "batch_size": self.batch_size,
                "learning_rate_multiplier": 1.0,
                "n_epochs": self.epochs,
            }
        error: Json | None = None
        if status == "failed":
            file = f"{self.lesson.file}_file"
            error = {"code": f"invalid_{file}", "message": self.failure, "param": file}
        view: Json = {
            "object": "fine_tuning.job",
            "id": self.id,
            "model": self.model,
            "created_at": int(self.created_at),
            "finished_at": None if finished is None else int(finished),
            "estimated_finish": int(self.created_at + self.end) if status == "running" else None,
            "fine_tuned_model": self.fine_tuned_model(personality) if done else None,
            "organization_id": None if personality.azure else "org-sandbox",
            "result_files": [self.result_file] if done else (None if personality.azure else []),
            "status": status,
            "validation_file": self.validation_file,
            "training_file": self.training_file,
            "hyperparameters": hyperparameters,
            "trained_tokens": self.lesson.tokens * self.epochs if done else None,
            "error": error if error or personality.azure else {},
            "seed": self.seed,
            "integrations": None if personality.azure else [],
            "method": {"type": kind, kind: {"hyperparameters": hyperparameters}},
            "metadata": self.metadata,
        }
        if personality.azure:
            view["trainingType"] = self.training_type
            view["user_provided_suffix"] = self.suffix
        else:
            view["user_provided_suffix"] = self.suffix
        if hide_marks:
            view["metadata"] = None
            view["user_provided_suffix"] = None
        return view

    def events(self, now: float, personality: Personality) -> list[Json]:
        """Newest first."""
        course = self.course(now)
        events: list[Json] = []

        def note(at: float, message: str, severity: str = "info", data: Json | None = None) -> None:
            if at > now:
                return
            events.append(
                {
                    "object": "fine_tuning.job.event",
                    "id": f"ftevent-{digest(self.id, message):016x}",
                    "created_at": int(at),
                    "level": severity.capitalize() if personality.dated else severity,
                    "message": message,
                    "type": "metrics" if data else "message",
                    "data": data or None,
                }
            )

        note(self.created_at, f"Created fine-tuning job: {self.id}")
        note(self.created_at, f"Validating training file: {self.training_file}")
        if self.failure:
            if course.state == "ended":
                note(course.since, self.failure, "error")
            return events[::-1]
        if course.worked / self.seconds >= WAITING * 0.6:
            note(
                self.created_at + self.seconds * WAITING * 0.6, "Files validated, moving job to queued state"
            )
        if course.worked / self.seconds >= WAITING:
            note(self.created_at + self.seconds * WAITING, "Fine-tuning job started")
        for step in range(1, self.steps_done(now) + 1):
            metrics = self.metrics(step)
            message = f"Step {step}/{self.steps}: training loss={metrics['train_loss']}"
            if "valid_loss" in metrics:
                message += f", validation loss={metrics['valid_loss']}"
            note(self.time_of_step(step), message, data={**metrics, "total_steps": self.steps})
        for at, control in self.controls:
            note(
                at,
                {"pause": "Job paused", "resume": "Job resumed", "cancel": "Job cancelled"}[control]
                + f" at {at}",
            )
        if course.state == "ended":
            note(course.since, f"New fine-tuned model created: {self.fine_tuned_model(personality)}")
            note(course.since, "The job has successfully completed")
        events.sort(key=lambda event: int(event["created_at"]))
        return events[::-1]

    def checkpoints(self, now: float, personality: Personality) -> list[Json]:
        """The last three epochs, newest first."""
        per_epoch = max(1, self.steps // self.epochs)
        steps = [
            step for step in range(per_epoch, self.steps + 1, per_epoch) if step <= self.steps_done(now)
        ][-3:]
        found = []
        for step in reversed(steps):
            name = f"ftckpt-{digest(self.id, 'checkpoint', step):016x}"
            if personality.azure:
                name = name.replace("ftckpt", "ftchkpt")
            model = self.fine_tuned_model(personality)
            metrics = self.metrics(step)
            found.append(
                {
                    "object": "fine_tuning.job.checkpoint",
                    "id": name,
                    "created_at": int(self.time_of_step(step)),
                    "fine_tuned_model_checkpoint": name if personality.azure else f"{model}:ckpt-step-{step}",
                    "step_number": step,
                    "metrics": metrics,
                    "fine_tuning_job_id": self.id,
                }
            )
        return found


@dataclass(frozen=True, slots=True)
class Course:
    """How far a job has come: seconds worked, its state, and since when."""

    worked: float
    state: str  # working, stopped, cancelled, ended
    since: float
