"""What calls may cost while they are being made: never more on its way than the budget has left.

A purse is one connection's share of one subject. It counts what answers did cost by the usage that upstream
reported, and takes the dearest answer so far (before there is one, the estimate) for each that is on its
way. So the budget is kept unless one call is dearer than any before it; then the next is not made.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from datasets.models import Deployment
from portal import prices, spending
from portal.models import Connection
from portal.prices import Rates

NOTHING = Decimal(0)


def rates_of(connection: Connection, model: str) -> Rates:
    """What calls of a deployment cost: by its own name, else by that of the model behind it."""
    provider = prices.provider_of(connection)
    found = prices.rates(model, provider)
    if found.known:
        return found
    behind = (
        Deployment.objects.filter(connection=connection, name=model)
        .exclude(state=Deployment.State.DELETED)
        .values_list("model", flat=True)
        .first()
    )
    return prices.rates(behind, provider) if behind else found


@dataclass
class Purse:
    """`rates` and `each` (the cost of one call) by the key of a deployment."""

    connection: Connection
    subject_type: str
    subject_id: str
    what: str
    user: Any
    rates: Mapping[str, Rates]
    each: dict[str, Decimal | None]
    spent: Decimal = NOTHING
    reserved: Decimal | None = None
    refusal: str = ""
    untold: int = 0  # answers that came without a word on what they used
    _dearest: dict[str, Decimal] = field(default_factory=dict)
    _paid: dict[str, Decimal] = field(default_factory=dict)
    _answered: dict[str, int] = field(default_factory=dict)
    _asked: bool = False
    _unknown_allowed: bool = False

    def keep(self, amount: Decimal | None) -> None:
        """Reserve so much altogether. Raises spending.OverBudget."""
        row = spending.reserve(
            self.connection, self.subject_type, self.subject_id, self.what, amount, self.user
        )
        self.reserved = row.reserved

    def cost_of(self, still: Mapping[str, int]) -> Decimal | None:
        """What it did cost and so many more calls will, on average; None where a price is missing."""
        total = self.spent
        for key, calls in still.items():
            each = self.each[key]
            if self._answered.get(key):
                each = self._paid[key] / self._answered[key]
            if each is None:
                return None
            total += each * calls
        return total

    def paid(self, key: str, usage: Mapping[str, Any] | None) -> None:
        """An answer came, and says what it used."""
        self._asked = True
        cost = self._cost(key, usage)
        if cost is not None:
            self.spent += cost
            self._paid[key] = self._paid.get(key, NOTHING) + cost
            self._answered[key] = self._answered.get(key, 0) + 1
            self._dearest[key] = max(cost, self._dearest.get(key, NOTHING))

    def remember(self, key: str, usages: Iterable[Mapping[str, Any] | None], repeated: int = 0) -> None:
        """Count what was answered before this step; `repeated` calls may have been paid without an answer."""
        for usage in usages:
            self.paid(key, usage)
        self.spent += repeated * self._worst(key)
        self._asked |= repeated > 0

    def room(self, key: str, wanted: int, flying: int) -> int:
        """How many of `wanted` calls may be made beside `flying` ones; reserves more where there is more."""
        rates = self.rates[key]
        if not rates.known:
            # Allowed once is allowed for as long as this step lasts.
            self._unknown_allowed = self._unknown_allowed or self._keep_or_not(None)
            return wanted if self._unknown_allowed else 0
        if not self._answered and spending.state_of(self.connection).budget is not None:
            # What an answer costs is only guessed: let one come before the others are sent.
            wanted = min(wanted, max(0, 1 - flying))
        worst = max([self._worst(each) for each in self.rates] or [NOTHING])
        need = self.spent + (flying + wanted) * worst
        if self.reserved is not None and need <= self.reserved:
            return wanted
        try:
            self.keep(need)
        except spending.OverBudget as over:
            self.refusal = str(over)
            # What is kept already counts too, whichever step kept it: it is the subject's own.
            most = spending.most_for(self.connection, self.subject_type, self.subject_id) or NOTHING
            wanted = max(0, min(wanted, int((most - self.spent) / worst) - flying)) if worst else 0
            if wanted and not self._keep_or_not(self.spent + (flying + wanted) * worst):
                return 0
        return wanted

    def settle(self) -> None:
        """Write down what it did cost, or give everything back where nothing was asked."""
        if not self._asked:
            spending.release(self.subject_type, self.subject_id)
        elif not all(rates.known for rates in self.rates.values()) or (
            self.untold and None in self.each.values()
        ):
            spending.settle(self.subject_type, self.subject_id, None)
        else:
            spending.settle(self.subject_type, self.subject_id, self.spent)

    def _keep_or_not(self, amount: Decimal | None) -> bool:
        try:
            self.keep(amount)
        except spending.OverBudget as over:
            self.refusal = str(over)
            return False
        return True

    def _worst(self, key: str) -> Decimal:
        return self._dearest.get(key) or self.each.get(key) or NOTHING

    def _cost(self, key: str, usage: Mapping[str, Any] | None) -> Decimal | None:
        prompt, completion = (_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
        if not prompt and not completion:
            self.untold += 1
            return self._worst(key) if self.rates[key].known else None
        return self.rates[key].of(prompt, completion)


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40 else 0
