"""The verdicts of Python graders: they come from boxes (datasets.evaluate.box), never from this process."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Self

from django.conf import settings

from datasets.evaluate import box_trust
from datasets.evaluate.box import Box, Limits, Stopped, Ungraded
from datasets.evaluate.box_walls import Impossible
from datasets.evaluate.graders import Verdict
from datasets.evaluate.judges import Defined, parts_of
from datasets.models import Grader

OPEN_AT_A_TIME = 6  # processes
IN_A_ROW = 5  # answers over which a grader may have to be stopped, before it is asked no more
TURNED_OFF = "Python graders are turned off here. Whoever operates the site can set PYTHON_GRADERS."


def off_because() -> str:
    """Why Python graders do not run here; empty if they do."""
    if not settings.PYTHON_GRADERS:
        return TURNED_OFF
    problem = box_trust.problem()
    return (
        f"Python graders cannot be locked away on this machine, so they are off. {problem}" if problem else ""
    )


def refusal(graders: Iterable[Defined]) -> str:
    """Why these graders cannot judge here; empty if they can, or if none of them is Python."""
    parts = (part for grader in graders for part in parts_of(grader.kind, grader.params))
    return off_because() if any(part.kind == Grader.Kind.PYTHON for part in parts) else ""


class Boxes:
    """Boxes as they are needed, one for each source; a context, for one thread.

    A grader that has to be stopped over several answers in a row gives no verdict on the rest.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._open: OrderedDict[str, Box] = OrderedDict()
        self._stopped: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for box in self._open.values():
            box.close()

    def beside(
        self, kind: str, params: Mapping[str, Any], item: Mapping[str, Any], sample: Mapping[str, Any]
    ) -> dict[str, Verdict]:
        """The verdicts of a grader's Python parts on one answer by their names; graders.grade takes them."""
        return {
            part.name: self.verdict(part.params, item, sample)
            for part in parts_of(kind, params)
            if part.kind == Grader.Kind.PYTHON
        }

    def verdict(
        self, params: Mapping[str, Any], item: Mapping[str, Any], sample: Mapping[str, Any]
    ) -> Verdict:
        """What one Python grader says about one answer; what keeps it from it is an error of this answer."""
        source = str(params["source"])
        if off := off_because():
            return Verdict(None, None, "", off[:300])
        if self._stopped.get(source, 0) >= IN_A_ROW:
            return Verdict(
                None, None, "", f"It was stopped {IN_A_ROW} times in a row, so it was not asked again."
            )
        try:
            score = self._box(source).score(sample, item)
        except Stopped as problem:
            self._stopped[source] = self._stopped.get(source, 0) + 1
            return Verdict(None, None, "", str(problem)[:300])
        except Ungraded as problem:
            self._stopped[source] = 0
            return Verdict(None, None, "", str(problem)[:300])
        except Impossible as problem:
            return Verdict(None, None, "", str(problem)[:300])
        self._stopped[source] = 0
        wanted = params["pass_threshold"]
        passed = score >= wanted
        return Verdict(
            score, passed, f"The source gives {score:g}, {'at least' if passed else 'below'} {wanted:g}."
        )

    def _box(self, source: str) -> Box:
        box = self._open.pop(source, None) or Box(source, self.limits)
        self._open[source] = box
        while len(self._open) > OPEN_AT_A_TIME:
            self._open.popitem(last=False)[1].close()
        return box
