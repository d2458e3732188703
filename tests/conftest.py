"""Fixtures for everybody: the cast, the sandbox, a broker and a worker, and the ban on the outside world."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import hypothesis
import pytest

from tests import environment, servers

# On a busy machine an example may take long: what is found is looked at, not how fast.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

DATA_FOLDER = environment.prepare()  # before anything reads Django's settings
environment.stay_home()
django.setup()

from django.core.cache import cache  # noqa: E402  # models and settings are there only now
from django.test import Client  # noqa: E402

from portal.models import Connection, Kind, User  # noqa: E402
from portal.sandbox import Sandbox, access, management  # noqa: E402
from portal.sandbox.personality import PERSONALITIES  # noqa: E402
from tests import factories  # noqa: E402
from tests.workers import Worker  # noqa: E402

KINDS = {"azure-v1": Kind.AZURE_V1, "azure-dated": Kind.AZURE_DATED, "openai": Kind.OPENAI}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last, whatever the random order: Playwright keeps a loop running in this thread."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """A file, so that a worker process can open the same database."""
    from django.conf import settings

    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database["TEST"] = {**database.get("TEST", {}), "NAME": str(DATA_FOLDER / "test.sqlite3")}


@pytest.fixture(autouse=True)
def _fast_and_fresh(settings: Any) -> None:
    """Cheap password hashes, and no counters left by another test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    if os.environ.get("CACHE_URL") == "filesystem:":
        cache.clear()


@pytest.fixture
def own_artifacts(settings: Any, tmp_path: Path) -> None:
    """Files that are built or taken go to a folder of this test alone."""
    options = settings.STORAGES["artifacts"]["OPTIONS"] | {"location": str(tmp_path / "files")}
    artifacts = settings.STORAGES["artifacts"] | {"OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {"artifacts": artifacts}


# The cast: a role on every connection; the outsider is signed in and has none.


@pytest.fixture
def reader(db: None) -> User:
    return factories.user("reader", "reader")


@pytest.fixture
def reviewer(db: None) -> User:
    return factories.user("reviewer", "reviewer")


@pytest.fixture
def builder(db: None) -> User:
    return factories.user("builder", "builder")


@pytest.fixture
def manager(db: None) -> User:
    return factories.user("manager", "manager")


@pytest.fixture
def operator(db: None) -> User:
    return factories.user("operator", "operator")


@pytest.fixture
def outsider(db: None) -> User:
    return factories.user("outsider")


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    """A test client that is signed in as the given person."""

    def sign_in(person: User) -> Client:
        client = Client()
        client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    return sign_in


# The provider's stand-in, over real HTTP.


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, tmp_path: Path, settings: Any) -> Iterator[Sandbox]:
    """A stand-in provider that answers at once; connections may reach it.

    `@pytest.mark.sandbox(rows=300, job_seconds=2)` sets what its class takes.
    """
    marker = request.node.get_closest_marker("sandbox")
    options = {"rows": 40, "rows_elsewhere": 20, "job_seconds": 1} | (marker.kwargs if marker else {})
    with Sandbox(tmp_path / "sandbox", **options) as running:
        settings.UPSTREAM_ALLOW = [*settings.UPSTREAM_ALLOW, f"127.0.0.1:{running.port}"]
        with pytest.MonkeyPatch.context() as patch:  # for a worker that starts later, and for azure-identity
            patch.setenv("UPSTREAM_ALLOW", ",".join(settings.UPSTREAM_ALLOW))
            patch.setenv("IDENTITY_ENDPOINT", f"{running.url}/identity/token")
            patch.setenv("IDENTITY_HEADER", access.IDENTITY_HEADER)
            yield running


@pytest.fixture
def connect_to(db: None) -> Callable[..., Connection]:
    """`connect_to(sandbox, "azure-v1", key=…, **fields)`: a saved connection to that personality."""

    def connect(running: Sandbox, personality: str = "azure-v1", **fields: Any) -> Connection:
        values: dict[str, Any] = {
            "kind": KINDS[personality],
            "base_url": running.url + PERSONALITIES[personality].prefix,
            "secret": fields.pop("key", f"sandbox-{personality}-key"),
        }
        if personality != "openai":
            values |= {
                "management_url": f"{running.url}/management",
                "subscription_id": management.SUBSCRIPTION,
                "resource_group": management.RESOURCE_GROUP,
                "account_name": personality,
            }
        return factories.connection(**values | fields)

    return connect


# Background work as it runs in earnest.


@pytest.fixture(scope="session")
def _broker_server() -> Iterator[str]:
    url = os.environ["BROKER_URL"]
    if not url.startswith(f"redis+socket://{DATA_FOLDER}"):
        yield url  # the second pass brings its own server
        return
    try:
        server = servers.start_valkey(DATA_FOLDER / "broker.sock")
    except servers.Unavailable as reason:
        pytest.skip(str(reason))
    yield server.url
    server.stop()


@pytest.fixture
def broker(_broker_server: str) -> str:
    """The address of an empty broker."""
    import redis

    address = _broker_server.replace("redis+socket:", "unix:", 1)
    with redis.Redis.from_url(address) as server:
        server.flushdb()
    return _broker_server


@pytest.fixture
def worker(transactional_db: None, broker: str) -> Iterator[Worker]:
    """A running worker with beat, processes of their own: `worker.kill()`, `.start()`, `.wait_for(…)`."""
    running = Worker().start()
    yield running
    running.destroy()
