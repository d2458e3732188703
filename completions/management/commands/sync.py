"""`manage.py sync <connection>`: mirror a connection from a terminal, with or without workers running."""

from argparse import ArgumentParser
from time import sleep
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from completions import schedule
from completions.models import StoredCompletion
from portal import steps
from portal.models import Connection, Operation


class Command(BaseCommand):
    help = "Mirror the stored completions of a connection, and wait until that is done."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("connection", help="the connection's short name, as in its address")
        parser.add_argument("--sweep", action="store_true", help="compare every row instead")

    def handle(self, *args: Any, **options: Any) -> None:
        connection = Connection.objects.filter(slug=options["connection"]).first()
        if connection is None:
            known = ", ".join(Connection.objects.values_list("slug", flat=True)) or "none"
            raise CommandError(f"There is no connection “{options['connection']}”. Known: {known}.")
        begin = schedule.sweep_now if options["sweep"] else schedule.sync_now
        failed = False
        told = ""
        operation: Operation | None = begin(connection, None)
        while operation is not None:
            if not steps.work_on(operation.pk):
                sleep(0.2)  # a worker has it, or it waits to be tried again
            operation.refresh_from_db()
            line = f"{operation.title}: {operation.get_state_display().lower()}, {operation.done} rows"
            if operation.error_text and not operation.is_live:
                failed = True
            line += f". {operation.error_text}" if operation.error_text else ""
            if line != told:
                self.stdout.write(line)
                told = line
            if not operation.is_live:
                operation = self._next(connection)
        self.stdout.write(f"{StoredCompletion.objects.filter(connection=connection).count()} rows are here.")
        if failed:
            raise CommandError("Not everything could be read; the lines above say why.")

    def _next(self, connection: Connection) -> Operation | None:
        live = Operation.objects.live().filter(connection=connection, kind__startswith="sync.")
        found: Operation | None = live.order_by("id").first()
        return found
