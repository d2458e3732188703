"""The round that finds what nobody works on although somebody should.

Running it twice at once, or in two places, is harmless: every change it makes names what it expects to find.
"""

import logging

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from portal import operations
from portal.leases import from_now
from portal.models import Operation

log = logging.getLogger(__name__)
State = Operation.State
AT_ONCE = 500


def tick() -> int:
    """Free expired leases and ring for everything that is due; returns how many operations it touched."""
    expired = Operation.objects.filter(state=State.RUNNING, lease_until__lt=Now())
    due = Operation.objects.filter(
        Q(state=State.READY) & (Q(next_run_at__isnull=True) | Q(next_run_at__lte=Now()))
        | Q(state=State.WAITING, next_run_at__lte=Now())
    )
    touched = 0
    for found, heal in ((expired, _free), (due, _ring_again)):
        for operation in list(found.order_by("next_run_at", "id")[:AT_ONCE]):
            try:
                touched += heal(operation)
            except Exception:  # one bad row must not keep the others waiting
                log.exception("The tick could not look after operation %s.", operation.pk)
    _forget_old()
    return touched


def _forget_old() -> None:
    """Let go of operations that ended long ago, a few with every round."""
    ended = Operation.objects.exclude(state__in=Operation.LIVE).filter(
        finished__lt=from_now(-settings.OPERATION_KEEP_DAYS * 86400)
    )
    old = list(ended.values_list("pk", flat=True)[:AT_ONCE])
    if old:
        Operation.objects.filter(pk__in=old).delete()


def _free(operation: Operation) -> bool:
    """Make an operation ready again whose worker is gone, or end it if that happened too often."""
    if operation.attempts > operations.MAX_ATTEMPTS:
        return operations.end(
            operation.pk,
            State.FAILED,
            fence=operation.fence,
            error_code="worker_lost",
            error_text=f"Its worker stopped {operation.attempts} times without any progress. "
            "Look into the worker's log, then try again: the work goes on from the last saved point.",
        )
    with transaction.atomic():
        freed = Operation.objects.filter(
            pk=operation.pk, fence=operation.fence, state=State.RUNNING, lease_until__lt=Now()
        ).update(state=State.READY, lease_owner="", lease_until=None, next_run_at=_ring_again_at())
        if freed and operation.cancel_requested:
            operations.end(operation.pk, State.CANCELLED, states=(State.READY,))
        elif freed:
            operations.ring(operation)
    return bool(freed)


def _ring_again(operation: Operation) -> bool:
    with transaction.atomic():
        rung = Operation.objects.filter(
            pk=operation.pk, fence=operation.fence, state=operation.state, next_run_at=operation.next_run_at
        ).update(state=State.READY, next_run_at=_ring_again_at())
        if rung:
            operations.ring(operation)
    return bool(rung)


def _ring_again_at() -> object:
    return from_now(3 * settings.OPERATION_TICK_SECONDS)
