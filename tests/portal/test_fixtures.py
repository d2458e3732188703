"""The test bed itself: what every other test stands on."""

import socket
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from portal.models import Connection, Heartbeat, User
from portal.sandbox import Sandbox
from tests.environment import OutsideWorld
from tests.workers import Worker


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_no_test_leaves_the_machine(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as outward, pytest.raises(OutsideWorld):
        outward.connect((host, 80))


def test_no_test_asks_for_a_foreign_name() -> None:
    with pytest.raises(OutsideWorld):
        socket.getaddrinfo("example.org", 443)


def test_the_sandbox_answers_with_the_key_of_the_connection(
    sandbox: Sandbox, connect_to: Callable[..., Connection]
) -> None:
    connection = connect_to(sandbox, "azure-v1")
    where = urlsplit(connection.base_url)
    with closing(HTTPConnection(where.netloc)) as http:
        http.request("GET", f"{where.path}/chat/completions?limit=1", headers={"api-key": connection.secret})
        assert http.getresponse().status == 200


def test_the_cast_holds_roles_in_order(
    reader: User, reviewer: User, builder: User, manager: User, operator: User, outsider: User
) -> None:
    made = Connection.objects.create(
        name="One", slug="one", kind="openai", base_url="https://api.openai.com/v1"
    )
    rights = {
        person.username: [
            verb
            for verb in ("readable_by", "reviewable_by", "actionable_by", "manageable_by")
            if getattr(Connection.objects, verb)(person).contains(made)
        ]
        for person in (reader, reviewer, builder, manager, operator, outsider)
    }
    assert [len(verbs) for verbs in rights.values()] == [1, 2, 3, 4, 4, 0]


@pytest.mark.engines
def test_a_worker_process_works_on_the_database_of_the_test(worker: Worker) -> None:
    worker.wait_for(lambda: Heartbeat.objects.filter(name="worker").exists())


@pytest.mark.engines
def test_a_killed_worker_starts_again(worker: Worker) -> None:
    worker.kill()
    Heartbeat.objects.all().delete()
    worker.start()
    worker.wait_for(lambda: Heartbeat.objects.filter(name="worker").exists())
