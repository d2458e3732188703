"""What an order would do, counted before it is given."""

from dataclasses import dataclass

from django.db.models import Count

from completions import dependents
from completions.dependents import Dependent
from completions.ledger import ids_of
from completions.models import FrozenSelection, ReviewState, StoredCompletion
from completions.querysets import holding
from portal.models import Connection


@dataclass(frozen=True, slots=True)
class Source:
    """The selected rows of one connection."""

    connection: Connection
    rows: int
    gone: int


@dataclass(frozen=True, slots=True)
class DryRun:
    """A selection as a deletion would meet it now."""

    sources: list[Source]
    reviewed: int
    dependents: list[Dependent]
    selected: int

    @property
    def rows(self) -> int:
        return sum(source.rows for source in self.sources)

    @property
    def gone(self) -> int:
        """Those that the provider lists no longer."""
        return sum(source.gone for source in self.sources)

    @property
    def missing(self) -> int:
        """Those that have left the mirror since they were selected."""
        return self.selected - self.rows

    @property
    def askable(self) -> bool:
        """Whether any of them has a provider."""
        return any(source.connection.has_endpoint for source in self.sources)

    @property
    def blocked(self) -> bool:
        return any(found.blocks for found in self.dependents)


def of(frozen: FrozenSelection) -> DryRun:
    """Count what is there, what people said of it, and what hangs on it."""
    ids = ids_of(frozen)
    rows = StoredCompletion.objects.filter(holding(ids))
    counted = rows.order_by().values_list("connection").annotate(n=Count("pk"), gone=Count("gone_at"))
    found = {connection: (n, gone) for connection, n, gone in counted}
    connections = frozen.connections.order_by("name").defer("secret")
    return DryRun(
        [Source(each, *found.get(each.pk, (0, 0))) for each in connections],
        ReviewState.objects.filter(holding(ids)).count(),
        dependents.of(ids),
        frozen.count,
    )
