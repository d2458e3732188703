"""A session of the reader of a benchmark's site, as JSON: `python -m tests.bench.peers_session [ROLE]`.

A role is given to the reader first.
"""

import json
import sys

import django


def main() -> None:
    from django.conf import settings
    from django.test import Client

    from portal.models import Grant, User

    client, reader = Client(SERVER_NAME="localhost"), User.objects.get(username="sees-all")
    for role in sys.argv[1:]:
        Grant.objects.update_or_create(user=reader, connection=None, defaults={"role": role})
    client.force_login(reader)
    name = settings.SESSION_COOKIE_NAME
    print(json.dumps({"cookie": f"{name}={client.cookies[name].value}"}))


if __name__ == "__main__":
    django.setup()
    main()
