"""`manage.py compare`: find what belongs together among mirrored completions."""

from argparse import ArgumentParser
from time import sleep
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from completions import belonging, columns
from portal import steps
from portal.models import Connection, Operation


class Command(BaseCommand):
    help = "Find duplicates, near-duplicates, templates of system prompts and conversations that go on."

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
            operation = belonging.begin(connection)
            if options["begin"]:
                self.stdout.write(f"{operation.title}: begun.")
                continue
            while operation.is_live:
                if not steps.work_on(operation.pk):
                    sleep(0.2)  # a worker has it
                operation.refresh_from_db()
            columns.pack(connection.pk)
            if operation.state != Operation.State.DONE:
                raise CommandError(f"{operation.title}: {operation.error_text or operation.state}")
            told = ", ".join(f"{n:,} {words}" for n, words in self._words(operation))
            self.stdout.write(f"{operation.title}: {told}.")

    def _words(self, operation: Operation) -> list[tuple[int, str]]:
        result = operation.result
        return [(result["groups"], "groups"), (result["grouped"], "completions in groups")]
