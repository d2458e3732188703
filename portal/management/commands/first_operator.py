from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from portal import accounts
from portal.models import User


class Command(BaseCommand):
    help = "Print the link that makes the first operator, for when the terminal of `up` is out of reach."

    def handle(self, *args: Any, **options: Any) -> None:
        if User.objects.exists():
            raise CommandError("There is an account already. An operator can add others in the admin.")
        self.stdout.write(settings.SITE_URL + accounts.first_operator_path())
