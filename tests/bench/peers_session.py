"""A session of the reader of a benchmark's site, as JSON: `python -m tests.bench.peers_session`."""

import json

import django


def main() -> None:
    from django.conf import settings
    from django.test import Client

    from portal.models import User

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(username="sees-all"))
    name = settings.SESSION_COOKIE_NAME
    print(json.dumps({"cookie": f"{name}={client.cookies[name].value}"}))


if __name__ == "__main__":
    django.setup()
    main()
