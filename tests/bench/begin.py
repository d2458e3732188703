"""Prepare a mirror for a worker to make."""

import sys

import django


def begin(base_url: str, key: str) -> None:
    """An empty database, a connection, and its first sync waiting for a worker."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from completions import schedule
    from tests import factories

    schedule.sync_now(factories.connection(base_url=base_url, secret=key), None)


if __name__ == "__main__":
    django.setup()
    begin(sys.argv[1], sys.argv[2])
