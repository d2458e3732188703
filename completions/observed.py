"""What completions hold, to be proposed while somebody types: values of a field, metadata keys and labels.

The dictionary of terms is asked, by its own index and never for more than a window, so that a field with a
million values answers as fast as one with three.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from completions.models import Term

WINDOW = 900  # terms looked at in one go, on all connections together
LEAST = 50


class Observed(NamedTuple):
    """A value or a key, and how many completions hold it."""

    text: str
    n: int


def values(
    connections: Iterable[int], kind: str, key: str = "", typed: str = "", limit: int = 12
) -> list[Observed]:
    """Values that begin with what is typed, then those that hold it; the most frequent first."""
    return [] if "\x00" in key else _proposed(connections, _of(kind, key), "value", typed, limit)


def keys(
    connections: Iterable[int], typed: str = "", limit: int = 12, kind: str = Term.Kind.METADATA
) -> list[Observed]:
    """Metadata keys, likewise; or labels that have answers."""
    return _proposed(connections, _of(Term.Kind.FIELD), "key", typed, limit, f"{kind}.")


def _of(kind: str, key: str | None = None) -> Callable[[int], Any]:
    def terms(connection: int) -> Any:
        found = Term.objects.filter(connection=connection, kind=kind, n__gt=0)
        return found if key is None else found.filter(key=key)

    return terms


def _proposed(
    connections: Iterable[int],
    terms: Callable[[int], Any],
    column: str,
    typed: str,
    limit: int,
    before: str = "",
) -> list[Observed]:
    if "\x00" in typed:  # nothing that is stored holds it, and PostgreSQL cannot be asked about it
        return []
    on = list(connections)
    window = max(LEAST, WINDOW // max(1, len(on)))
    wanted = typed.casefold()

    def look(start: str) -> Counter[str]:
        """The terms from a place of the index onwards."""
        n: Counter[str] = Counter()
        for connection in on:
            # Only where to begin: where to end depends on the collation, and the window ends it anyway.
            rows = terms(connection).filter(**{f"{column}__gte": before + start})  # a column of ours
            for text, held in rows.order_by(column).values_list(column, "n")[:window]:
                if text.startswith(before):
                    n[text.removeprefix(before)] += held
        return n

    found = {text: n for text, n in look(typed).items() if text.startswith(typed)}
    if typed and len(found) < limit:
        # In another case, or in the middle of a value: looked for among the first ones.
        found |= {text: n for text, n in look("").items() if wanted in text.casefold()}
    order = sorted(
        found,
        key=lambda text: (
            not text.startswith(typed), not text.casefold().startswith(wanted), -found[text], text,
        ),
    )  # fmt: skip
    return [Observed(text, found[text]) for text in order[:limit]]
