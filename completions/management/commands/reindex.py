"""`manage.py reindex`: read mirrored rows again from the bytes that upstream sent, and index them anew."""

from argparse import ArgumentParser
from time import sleep
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from completions import columns, rederive
from completions.models import Mirror
from portal import steps
from portal.models import Connection, Operation


class Command(BaseCommand):
    help = "Derive again what rows can be filtered by, from what is stored; nothing is asked of upstream."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--connection", help="only this connection, by its short name")
        parser.add_argument("--begin", action="store_true", help="leave the work to the workers")

    def handle(self, *args: Any, **options: Any) -> None:
        found = Connection.objects.exclude(state=Connection.State.DELETING).filter(mirror__isnull=False)
        if slug := options["connection"]:
            found = found.filter(slug=slug)
            if not found:
                raise CommandError(f"There is no connection “{slug}” with mirrored rows.")
        for connection in found.order_by("name"):
            Mirror.objects.filter(pk=connection.pk).update(derived=0)
            operation = rederive.begin(connection)
            if options["begin"]:
                self.stdout.write(f"{operation.title}: begun.")
            else:
                self._work(operation)
                columns.pack(connection.pk)

    def _work(self, operation: Operation) -> None:
        while operation.is_live:
            if not steps.work_on(operation.pk):
                sleep(0.2)  # a worker has it
            operation.refresh_from_db()
        told = f"{operation.title}: {operation.get_state_display().lower()}, {operation.done:,} rows."
        if operation.state != Operation.State.DONE:
            raise CommandError(f"{told} {operation.error_text}".strip())
        self.stdout.write(told)
