"""The calls of a run, as datasets.asking makes them: items of a version put to each fresh target."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from django.db.models import QuerySet

from datasets.asking import CALL_SECONDS, Asked, Unsendable
from datasets.evaluate.items import Items
from datasets.evaluate.targets import Target
from datasets.models import Call, Run
from portal.upstream import ChatAnswer, Upstream


class Paused(Exception):
    """Somebody asked for a pause."""


class RunLedger:
    """What the ledgers of a run share; a context, as it reads items from the version's file."""

    text = "output_text"

    def __init__(self, run: Run, targets: Sequence[Target]) -> None:
        self.run = run
        self.targets = {target.key: target for target in targets}
        self.items = Items(run.evaluation)

    def __enter__(self) -> Self:
        self.items.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.items.__exit__(kind, error, trace)

    def owner(self) -> "QuerySet[Run]":
        found: QuerySet[Run] = Run.objects.filter(pk=self.run.pk)
        return found

    def halted(self) -> Paused | None:
        mine = Run.objects.filter(pk=self.run.pk, state=Run.State.PAUSED)
        return Paused() if mine.exists() else None


class Calls(RunLedger):
    """The ledger of a run's fresh answers."""

    name = "run"

    @property
    def asked(self) -> list[Asked]:
        """Whom it asks."""
        return [
            Asked(key, target.connection, target.model)
            for key, target in self.targets.items()
            if target.connection is not None
        ]

    def calls(self) -> "QuerySet[Call]":
        found: QuerySet[Call] = Call.objects.filter(run=self.run, grader="")
        return found

    def pending(self, key: str, most: int) -> list[Call]:
        mine = self.calls().filter(state=Call.State.PENDING, target=key)
        return list(mine.select_related("example").order_by("id")[:most])

    def waiting(self) -> set[str]:
        pending = self.calls().filter(state=Call.State.PENDING)
        return set(pending.order_by().values_list("target", flat=True).distinct())

    def item(self, call: Call) -> dict[str, Any]:
        return self.items.of(call.example)

    def ask(self, upstream: Upstream, asked: Asked, item: dict[str, Any]) -> ChatAnswer:
        return ask(upstream, self.targets[asked.key], item, CALL_SECONDS)


def ask(upstream: Upstream, target: Target, item: dict[str, Any], timeout: float) -> ChatAnswer:
    """A fresh answer to an item; never stored upstream: it would turn up among what is measured.

    Raises UpstreamError or Unsendable.
    """
    if reason := item.get("unsendable"):
        raise Unsendable(f"This conversation cannot be sent again. {reason}.")
    params: dict[str, Any] = dict(target.params)
    for name in ("tools", "response_format"):
        if item.get(name):
            params[name] = item[name]
    return upstream.chat(target.model, item["input"], store=False, timeout=timeout, **params)
