"""Metadata written to the provider: read, modify, write, read again, for one completion or many.

Providers replace all pairs or merge new ones into the old; so the whole map is sent each time, and what the
provider says afterwards is what stands here. Nobody's change is overwritten without asking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from completions import absorbing, columns, ledger, receipts, rounds
from completions.fetching import from_mirror, without_messages
from completions.ledger import Refused
from completions.models import (
    Body,
    ChangeOrder,
    FrozenSelection,
    MessagesState,
    StoredCompletion,
    UpstreamChange,
)
from completions.purposes import purpose
from completions.readings import Reading
from completions.sending import Answered, Sender
from completions.terms import Dictionary
from portal import operations
from portal.crashpoints import crashpoint
from portal.models import Connection
from portal.operations import Again, Outcome, Working
from portal.upstream import Item, Upstream, UpstreamError

KIND, PURPOSE = "completions.metadata", "metadata"
# https://platform.openai.com/docs/api-reference/chat/update
MOST_PAIRS, KEY_CHARS, VALUE_CHARS = 16, 64, 512
ANSWER_SECONDS = 15.0
State = UpstreamChange.State
Pairs = dict[str, str]
SAME = "It stood so already."

purpose(PURPOSE, "Edit metadata…", "braces", url="completions:metadata", needs="builder", order=40)


@dataclass(frozen=True, slots=True)
class Wish:
    """Pairs to be there, and keys not to be there; every other pair stays as it is."""

    set: Pairs
    remove: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.set and not self.remove:
            raise Refused("Nothing would change.")
        if twice := sorted(self.set.keys() & set(self.remove)):
            raise Refused(f"“{twice[0]}” is to be set and to be removed.")
        if problem := beyond(self.set):
            raise Refused(problem)

    @property
    def keys(self) -> list[str]:
        return [*self.set, *self.remove]

    def on(self, held: Mapping[str, str]) -> Pairs:
        """The whole map as it is to be."""
        return {key: value for key, value in held.items() if key not in self.remove} | self.set


def wish_of(made: ChangeOrder) -> Wish:
    return Wish(made.wanted["set"], tuple(made.wanted["remove"]))


def beyond(pairs: Mapping[str, str]) -> str:
    """Which of the provider's limits these pairs pass, as a sentence; empty if none."""
    for key, value in pairs.items():
        if not key:
            return "A key must not be empty."
        if len(key) > KEY_CHARS:
            return f"The key “{key[:30]}…” has {len(key)} characters; the provider takes {KEY_CHARS}."
        if len(value) > VALUE_CHARS:
            return f"The value of “{key}” has {len(value)} characters; the provider takes {VALUE_CHARS}."
        if "\x00" in key + value:
            return f"“{key[:30]}” holds a NUL character, which cannot be stored."
    if len(pairs) > MOST_PAIRS:
        return f"There would be {len(pairs)} pairs; the provider takes {MOST_PAIRS}."
    return ""


# Orders.


def order(user: Any, frozen: FrozenSelection, wish: Wish) -> ChangeOrder:
    """Change the metadata of a selection."""
    ledger.check_askable(frozen.connections.defer("secret"))
    return ledger.order(_asked(wish, frozen.count), user, frozen)


def order_for_row(user: Any, row: StoredCompletion, seen: Pairs, pairs: Pairs) -> ChangeOrder:
    """Change the metadata of one completion from what the person saw to `pairs`. Raises Refused."""
    ledger.check_askable([row.connection])
    if problem := beyond(pairs):
        raise Refused(problem)
    changed = {key: value for key, value in pairs.items() if seen.get(key) != value}
    wish = Wish(changed, tuple(key for key in seen if key not in pairs))
    return ledger.order_for_row(_asked(wish, 1), user, row, seen)


def _asked(wish: Wish, count: int) -> ledger.Asked:
    wanted = {"set": wish.set, "remove": list(wish.remove)}
    return ledger.Asked(ChangeOrder.Kind.METADATA, KIND, title_of(count), wanted=wanted)


def title_of(count: int) -> str:
    return f"Change the metadata of {count:,} completion{'' if count == 1 else 's'}"


def try_again(made: ChangeOrder, user: Any, *, overwrite: bool = False) -> int:
    """Begin anew with just those that failed, or overwrite just those in conflict; returns how many."""
    states = [State.CONFLICT] if overwrite else UpstreamChange.LEFT
    left = made.changes.filter(state__in=states).count()
    return ledger.try_again(made, KIND, title_of(left), user, overwrite=overwrite)


# One completion.


@dataclass(frozen=True, slots=True)
class Told:
    """What the provider said of one completion in the end, and what that means."""

    state: State
    item: Item
    found: Pairs
    note: str = ""
    error: str = ""
    does: str = ""


def metadata_of(item: Item) -> Pairs:
    """The metadata of a completion as the provider tells it."""
    held = (item.value or {}).get("metadata")
    return dict(held) if isinstance(held, dict) else {}


def write_back(upstream: Upstream, row: UpstreamChange, wish: Wish) -> Told:
    """Read, modify, write, read again; nothing is written over what somebody else wrote meanwhile."""
    item = upstream.get_stored(row.upstream_id, naps=False)
    held = metadata_of(item)
    wanted = wish.on(held)
    if wanted == held:
        return Told(State.DONE, item, held, note=ledger.LOST if row.unsure else SAME)
    if not row.force and (keys := clashes(held, row.before or {}, wish)):
        return Told(State.CONFLICT, item, held, error=f"Changed by somebody else: {', '.join(keys)}")
    if problem := beyond(wanted):
        return Told(State.FAILED, item, held, error=problem)
    upstream.update_metadata(row.upstream_id, wanted)
    try:
        after = upstream.get_stored(row.upstream_id, naps=False)
    except UpstreamError as error:
        error.outcome_unknown = True  # it was written, and nobody has seen what stands there now
        raise
    return judged(after, held, wish)


def clashes(held: Mapping[str, str], before: Mapping[str, str], wish: Wish) -> list[str]:
    """Keys to be changed that hold neither what stood here nor what is wanted."""
    return [key for key in wish.keys if held.get(key) not in (before.get(key), wish.set.get(key))]


def judged(after: Item, held: Mapping[str, str], wish: Wish) -> Told:
    """Whether the provider now holds what was wanted, and what it does with pairs that are left out."""
    found = metadata_of(after)
    left_out = [key for key in wish.remove if key in held]
    kept = [key for key in left_out if key in found]
    does = "merge" if kept else "replace" if left_out else ""
    missing = [key for key, value in wish.set.items() if found.get(key) != value]
    error = ""
    if missing:
        error = f"The provider accepted it, but holds something else for {', '.join(missing)}."
    elif kept:
        error = (
            f"The provider merges metadata: it keeps {', '.join(kept)} although left out."
            " A pair can be given another value there, not taken away."
        )
    return Told(State.FAILED if error else State.DONE, after, found, error=error[:500], does=does)


# The operation.


@operations.handler(KIND, queue="remote", ended=receipts.write_later)
def run(work: Working) -> Outcome:
    """One step: plan, then one batch after the other."""
    return rounds.step(work, _carry_out)


def _carry_out(work: Working, made: ChangeOrder) -> Outcome | None:
    return rounds.go_round(work, made, _on, tries=1, seconds=ANSWER_SECONDS)


def _on(work: Working, made: ChangeOrder, connection: Connection, sender: Sender) -> Outcome | None:
    """Batches of one connection, until none is left there."""
    wish, dictionary = wish_of(made), Dictionary(connection.pk)
    while rows := ledger.next_rows(made, ledger.SENT_AT_ONCE):
        if rows[0].connection_id != connection.pk:
            return None
        if not rounds.may_go_on(work):
            return Again()
        ledger.claim(work, rows)
        answers = sender.send(rows, lambda upstream, row: write_back(upstream, row, wish))
        crashpoint("change.answered")
        try:
            with transaction.atomic():
                absorbing.lock(connection.pk)
                for answered in answers:
                    _settle(answered)
                _remember_what_it_does(made, connection, answers)
                unpacked = _absorb(connection.pk, answers, dictionary)
                ended = ledger.record(work, rows)
                crashpoint("change.before_commit")
        except BaseException:
            dictionary.forget()
            raise
        dictionary.keep()
        columns.pack_if_due(connection.pk, unpacked)
        crashpoint("change.recorded")
        error = sender.stopped
        if error is not None and error.permanent:
            ledger.refuse_rest(work, made, connection.pk, error)
            return None
        if wait := ledger.pause(rows, error, ended):
            return wait
    return None


def _settle(answered: Answered[UpstreamChange, Told]) -> None:
    told = answered.told
    if told is None:
        ledger.settle_failed(answered)
    else:
        ledger.settle(
            answered.row, told.state, status=200, found=told.found, note=told.note, error=told.error
        )


def _remember_what_it_does(
    made: ChangeOrder, connection: Connection, answers: Sequence[Answered[UpstreamChange, Told]]
) -> None:
    seen = {answered.told.does for answered in answers if answered.told is not None and answered.told.does}
    if seen:
        made.does = made.does | {str(connection.pk): "merge" if "merge" in seen else "replace"}
        made.save(update_fields=["does"])


def _absorb(
    connection_id: int, answers: Sequence[Answered[UpstreamChange, Told]], dictionary: Dictionary
) -> int:
    """Let the rows here be what the provider said last; returns how many changes are unpacked."""
    gone = [
        answered.row.upstream_id
        for answered in answers
        if answered.error is not None and answered.error.kind == "not_found"
    ]
    here = StoredCompletion.objects.filter(connection_id=connection_id)
    lost = here.filter(upstream_id__in=gone, gone_at=None)
    absorbing.mark(connection_id, list(lost.values_list("pk", flat=True)), gone_at=timezone.now())
    items = {
        answered.row.upstream_id: answered.told.item for answered in answers if answered.told is not None
    }
    known = {
        upstream_id: (pk, state)
        for pk, upstream_id, state in here.filter(upstream_id__in=items).values_list(
            "pk", "upstream_id", "messages_state"
        )
    }
    blobs = dict(Body.objects.filter(pk__in=[pk for pk, _ in known.values()]).values_list("pk", "raw"))
    readings = []
    for upstream_id, (pk, state) in known.items():
        item = items[upstream_id]
        if state == MessagesState.PENDING:
            read = without_messages(item)
        else:
            read = from_mirror(item, state, bytes(blobs[pk]))
        if isinstance(read, Reading) and read.upstream_id == upstream_id:
            readings.append(read)
    return absorbing.absorb(connection_id, readings, dictionary).unpacked
