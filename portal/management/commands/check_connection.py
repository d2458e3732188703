"""Test a connection from the terminal."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal import connections
from portal.models import Connection

MARKS = {True: "✓", False: "✗", None: "?"}


class Command(BaseCommand):
    help = "Asks an endpoint for one of everything and says in words what works and what is missing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the connection, as it is called in its address")

    def handle(self, *args: Any, **options: Any) -> None:
        connection = Connection.objects.defer("secret").filter(slug=options["slug"]).first()
        if connection is None:
            known = ", ".join(Connection.objects.order_by("slug").values_list("slug", flat=True))
            raise CommandError(
                f"There is no connection {options['slug']!r}. There are: {known or 'none yet'}."
            )
        findings = connections.try_out(connection, None)
        self.stdout.write(f"{connection.name} ({connections.shown_root(connection)})")
        for finding in findings:
            style = {True: self.style.SUCCESS, False: self.style.ERROR, None: self.style.WARNING}[finding.ok]
            self.stdout.write(f"  {style(MARKS[finding.ok])} {finding.text}")
            if finding.hint:
                self.stdout.write(f"    {finding.hint}")
        for twin in connections.twins_of(connection):
            self.stdout.write(f"  ! {twin.name} means the same resource: its rows would be mirrored twice.")
        if not connections.all_well(findings) or any(finding.ok is False for finding in findings):
            raise CommandError("Something is missing.", returncode=1)
