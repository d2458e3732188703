"""``manage.py sandbox``: serve the stand-in for Azure OpenAI and OpenAI on this machine."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from portal.sandbox import main
from portal.sandbox.sandbox import OPTIONS


class Command(BaseCommand):
    """A thin wrapper: the sandbox itself knows nothing of Django."""

    help = "Serve the sandbox: a stand-in for Azure OpenAI and OpenAI, over HTTP on loopback."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        for flag, settings in OPTIONS.items():
            parser.add_argument(flag, **settings)

    def handle(
        self, *args: Any, **options: Any
    ) -> None:  # Any: Django passes whatever was on the command line
        argv: list[str] = []
        for flag in OPTIONS:
            value = options[flag.strip("-").replace("-", "_")]
            if value is not None:
                argv += [flag, str(value)]
        main(argv)
