"""What trying graders costs: one share of each connection's budget, kept before calls and settled after."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.urls import reverse

from datasets.models import Evaluation
from datasets.purse import NOTHING, rates_of
from portal import spending
from portal.models import Connection
from portal.prices import Rates
from portal.spending_subjects import subject

SUBJECT = "datasets.try_graders"
TOKENS_EACH = 2  # of a message or text, beside its letters
LETTERS = 3  # to a token, as a rough number that is rather too small


@dataclass(frozen=True, slots=True)
class Used:
    """What one call used; `cost` is None where nobody entered a price."""

    prompt: int = 0
    completion: int = 0
    cost: Decimal | None = None


@dataclass
class Bill:
    """One connection's part of a trial."""

    connection: Connection
    number: str
    what: str
    user: Any
    spent: Decimal = NOTHING
    is_known: bool = True
    sent: int = 0
    prompt: int = 0
    completion: int = 0
    refusal: str = ""
    _kept: bool = False
    _rates: dict[str, Rates] = field(default_factory=dict)

    @classmethod
    def of(cls, connection: Connection, evaluation: Evaluation, user: Any) -> "Bill":
        number = f"{evaluation.pk}/{uuid4().hex[:24]}"
        return cls(connection, number, f"Try graders of {evaluation.name}"[:200], user)

    def expected(self, model: str, sent: Any, most: int) -> Decimal | None:
        """What one call may cost that sends this and is answered with `most` tokens."""
        letters = len(json.dumps(sent, ensure_ascii=False))
        return self._of(model).of(letters // LETTERS + TOKENS_EACH, most)

    def keep(self, expected: Sequence[Decimal | None]) -> bool:
        """Reserve these calls beside what was spent so far; False if the budget has not got that."""
        unknown = any(each is None for each in expected)
        amount = (
            None if unknown else self.spent + sum((each for each in expected if each is not None), NOTHING)
        )
        try:
            spending.reserve(self.connection, SUBJECT, self.number, self.what, amount, self.user)
        except spending.OverBudget as over:
            self.refusal = str(over)
            return False
        self._kept = True
        return True

    def paid(self, model: str, usage: Mapping[str, Any], expected: Decimal | None) -> Used:
        """An answer came. Without a usage it is taken to have cost what was expected."""
        prompt, completion = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
        cost = self._of(model).of(prompt, completion) if prompt or completion else expected
        self.prompt += prompt
        self.completion += completion
        self._add(cost)
        return Used(prompt, completion, cost)

    def lost(self, expected: Decimal | None) -> None:
        """A call went out, and nobody knows whether it was answered."""
        self._add(expected)

    def settle(self) -> None:
        """Write down what it did cost; what was kept beyond that is free again."""
        if not self._kept:
            return
        if not self.sent:
            spending.release(SUBJECT, self.number)
        else:
            spending.settle(SUBJECT, self.number, self.spent if self.is_known else None)

    @property
    def cost(self) -> Decimal | None:
        """What all of it did cost; None where a price is missing."""
        return self.spent if self.is_known else None

    def _add(self, cost: Decimal | None) -> None:
        self.sent += 1
        if cost is None:
            self.is_known = False
        else:
            self.spent += cost

    def _of(self, model: str) -> Rates:
        if model not in self._rates:
            found = rates_of(self.connection, model)
            # What gives nothing out, as embeddings do, has no price for that.
            self._rates[model] = Rates(found.input, found.output or found.input)
        return self._rates[model]


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else 0


@subject(SUBJECT, "graders that were tried")
def addresses(user: Any, ids: Sequence[str]) -> Mapping[str, str]:
    """Where graders were tried."""
    found = Evaluation.objects.readable_by(user).filter(pk__in=ids).values_list("pk", flat=True)
    return {str(pk): reverse("datasets:evaluation", args=[pk]) for pk in found}
