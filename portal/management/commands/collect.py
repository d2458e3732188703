from typing import Any

from django.core.management.base import BaseCommand

from portal.static_files import collect_if_changed


class Command(BaseCommand):
    help = "Collect the static files if one has changed, as `up` does; an image does it while it is built."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write("static files collected" if collect_if_changed() else "nothing to collect")
