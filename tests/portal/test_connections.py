"""Connections: who may do what, what happens to the secret, and the report in words."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal import connections
from portal.models import AuditEntry, Auth, Connection, Grant, Kind, Role, User
from portal.sandbox import Sandbox
from tests import factories
from tests.portal.connecting import followed, verbs
from tests.portal.sandbox_client import control
from tests.portal.upstream_bed import PERSONALITIES, free_port, journal

pytestmark = pytest.mark.django_db
SignIn = Callable[[User], Client]
ConnectTo = Callable[..., Connection]
KEY = "sandbox-azure-v1-key"


def form_of(sandbox: Sandbox, **fields: Any) -> dict[str, Any]:
    return {
        "kind": "azure_v1",
        "name": "Support",
        "base_url": sandbox.base_url("azure-v1"),
        "auth": "key",
        "api_key": KEY,
        "sync_enabled": "on",
        "sync_every_minutes": "5",
        "overlap_minutes": "10",
        "sweep_every_hours": "24",
    } | fields


@pytest.fixture
def boss(operator: User, client_of: SignIn) -> Client:
    return client_of(operator)


# Making and changing


def test_each_kind_asks_only_for_what_it_needs(boss: Client) -> None:
    url = reverse("connections:new")
    page = boss.get(url).content.decode()
    assert all(f'value="{kind}"' in page for kind in Kind.values)
    files = boss.get(url, {"kind": Kind.FILES})
    assert files["Location"] == reverse("completions:import_new")  # it begins with a file
    for kind in set(Kind.values) - {Kind.FILES}:
        page = boss.get(url, {"kind": kind}).content.decode()
        azure = kind.startswith("azure")
        for name in ("tenant_id", "client_secret", "subscription_id", "api_version"):
            assert (f'name="{name}"' in page) == azure
        assert 'name="api_key"' in page


def test_a_connection_is_made_encrypted_and_audited(boss: Client, sandbox: Sandbox) -> None:
    answer = boss.post(reverse("connections:new"), form_of(sandbox))
    made = Connection.objects.get()
    assert answer["Location"].startswith(reverse("connections:detail", args=["support"]))
    assert (made.slug, made.secret, made.secret_last4) == ("support", KEY, "-key")
    assert made.secret_set_at is not None
    assert made.created_by is not None
    assert verbs() == ["connection.created", "connection.secret_changed"]
    assert made.sync_enabled


def test_a_client_secret_connection_needs_all_three(boss: Client, sandbox: Sandbox) -> None:
    answer = boss.post(reverse("connections:new"), form_of(sandbox, auth="entra_secret", api_key=""))
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"tenant_id", "client_id", "client_secret"}
    boss.post(
        reverse("connections:new"),
        form_of(
            sandbox, auth="entra_secret", tenant_id="t", client_id="c", client_secret="very-secret-value"
        ),
    )
    made = Connection.objects.get()
    assert (made.auth, made.tenant_id, made.client_id) == (Auth.ENTRA_SECRET, "t", "c")
    assert made.secret == "very-secret-value"


def test_a_key_is_required_and_must_look_like_one(boss: Client, sandbox: Sandbox) -> None:
    for key in ("", "two words", "schlüssel"):
        answer = boss.post(reverse("connections:new"), form_of(sandbox, api_key=key))
        assert answer.status_code == 422
        assert "api_key" in answer.context["form"].errors
    assert not Connection.objects.exists()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/v1",
        "https://evil.example/v1",
        "https://169.254.169.254/",
        "http://one.openai.azure.com",
        "https://user:pw@one.openai.azure.com",
        "https://[api.openai.com]",
        "nonsense",
    ],
)
def test_an_address_that_may_not_be_called_is_not_saved(boss: Client, sandbox: Sandbox, url: str) -> None:
    answer = boss.post(reverse("connections:new"), form_of(sandbox, base_url=url))
    assert answer.status_code == 422
    assert "base_url" in answer.context["form"].errors
    assert not Connection.objects.exists()


def test_a_management_address_is_held_to_the_same_rule(boss: Client, sandbox: Sandbox) -> None:
    answer = boss.post(reverse("connections:new"), form_of(sandbox, management_url="https://evil.example/"))
    assert "management_url" in answer.context["form"].errors


@pytest.mark.parametrize(
    ("text", "pairs"),
    [("env=production\n\nteam = a=b ", {"env": "production", "team": "a=b"}), ("", {})],
)
def test_the_scope_is_read_from_lines(
    boss: Client, sandbox: Sandbox, text: str, pairs: dict[str, str]
) -> None:
    boss.post(reverse("connections:new"), form_of(sandbox, scope_metadata=text, since="2026-01-02"))
    made = Connection.objects.get()
    assert made.scope_metadata == pairs
    assert made.scope_since is not None
    assert made.scope_since.isoformat() == "2026-01-02T00:00:00+00:00"


@pytest.mark.parametrize(
    "text", ["env", "=x", "env=", "k" * 65 + "=v", "\n".join(f"k{i}=v" for i in range(17))]
)
def test_a_scope_that_cannot_be_meant_is_refused(boss: Client, sandbox: Sandbox, text: str) -> None:
    answer = boss.post(reverse("connections:new"), form_of(sandbox, scope_metadata=text))
    assert "scope_metadata" in answer.context["form"].errors


def test_slugs_are_unique_and_never_stand_for_a_page(operator: User) -> None:
    made = [
        Connection(name=name, kind=Kind.OPENAI, base_url="https://api.openai.com/v1", auth=Auth.KEY)
        for name in ("New", "Access", "Tëam A", "team-a", "!!!")
    ]
    for connection in made:
        connections.save(connection, operator, new_secret="sk-0123456789abcdef")
    slugs = [connection.slug for connection in made]
    assert len(set(slugs)) == 5
    assert not {"new", "access"} & set(slugs)


# The secret


def edit(boss: Client, connection: Connection, sandbox: Sandbox, **fields: Any) -> Any:
    url = reverse("connections:edit", args=[connection.slug])
    kept = {name: getattr(connection, name) for name in ("name", "base_url", "management_url")}
    values = form_of(sandbox, **kept, api_key="") | fields
    return followed(boss, url, values)


def test_an_empty_field_keeps_the_secret(boss: Client, sandbox: Sandbox, connect_to: ConnectTo) -> None:
    connection = connect_to(sandbox, key=KEY)
    edit(boss, connection, sandbox, name="Other name")
    connection.refresh_from_db()
    assert (connection.name, connection.secret) == ("Other name", KEY)
    assert verbs() == ["connection.changed"]
    assert AuditEntry.objects.get().details["fields"].startswith("name")


@pytest.mark.parametrize("change", ["host", "tenant", "auth", "management"])
def test_what_leads_elsewhere_drops_the_secret_and_says_so(
    boss: Client, sandbox: Sandbox, connect_to: ConnectTo, settings: Any, change: str
) -> None:
    settings.UPSTREAM_ALLOW = [*settings.UPSTREAM_ALLOW, "127.0.0.1:9"]
    connection = connect_to(
        sandbox, key=KEY, auth=Auth.ENTRA_SECRET, tenant_id="one", client_id="client", secret_last4="-key"
    )
    same = {"auth": "entra_secret", "tenant_id": "one", "client_id": "client"}
    changes: dict[str, dict[str, str]] = {
        "host": {"base_url": "http://127.0.0.1:9/openai/v1"},
        "tenant": {"tenant_id": "two"},
        "auth": {"auth": "key"},
        "management": {"management_url": "http://127.0.0.1:9/management"},
    }
    page = edit(boss, connection, sandbox, **same | changes[change])
    assert "was dropped because" in page.content.decode()
    connection.refresh_from_db()
    assert (connection.secret, connection.secret_last4, connection.secret_set_at) == ("", "", None)
    assert connection.state == Connection.State.ATTENTION
    assert "connection.secret_dropped" in verbs()


def test_an_old_test_says_nothing_about_a_new_address_or_secret(operator: User) -> None:
    told = {"at": timezone.now().isoformat(), "findings": []}
    connection = factories.connection(last_test=told)
    connection.name, connection.scope_model = "Another name", "gpt-4o"
    connections.save(connection, operator)
    assert Connection.objects.get().last_test == told
    connection.base_url = "https://another.openai.azure.com/openai/v1/"
    connections.save(connection, operator)
    assert Connection.objects.get().last_test == {}
    Connection.objects.update(last_test=told)
    connections.save(Connection.objects.get(), operator, new_secret="another-key-1234")
    assert Connection.objects.get().last_test == {}


def test_a_new_secret_with_the_new_address_is_taken(
    boss: Client, sandbox: Sandbox, connect_to: ConnectTo, settings: Any
) -> None:
    settings.UPSTREAM_ALLOW = [*settings.UPSTREAM_ALLOW, "127.0.0.1:9"]
    connection = connect_to(sandbox, key=KEY, secret_last4="-key")
    edit(boss, connection, sandbox, base_url="http://127.0.0.1:9/openai/v1", api_key="another-key-1234")
    connection.refresh_from_db()
    assert (connection.secret, connection.secret_last4) == ("another-key-1234", "1234")


def test_the_same_host_in_another_spelling_keeps_the_secret(operator: User) -> None:
    before = factories.connection(base_url="https://One.openai.azure.com/openai/v1/")
    before.base_url = "https://one.openai.azure.com"
    assert connections.save(before, operator) == ""
    assert Connection.objects.get().secret == "key-of-a-test"


def test_the_secret_is_on_no_page(
    boss: Client, sandbox: Sandbox, connect_to: ConnectTo, operator: User
) -> None:
    User.objects.filter(pk=operator.pk).update(is_staff=True, is_superuser=True)
    canary = "canary-0123456789-secret"
    connection = connect_to(sandbox, secret=canary, secret_last4=canary[-4:])
    slug = [connection.slug]
    pages = [
        reverse("connections:list"),
        *(
            reverse(f"connections:{name}", args=slug)
            for name in ("detail", "edit", "delete", "grants", "store_test")
        ),
        reverse("audit:list"),
        reverse("admin:portal_connection_changelist"),
        reverse("admin:portal_connection_change", args=[connection.pk]),
    ]
    boss.post(reverse("connections:test", args=slug))
    for url in pages:
        answer = boss.get(url)
        assert answer.status_code == 200, url
        assert canary not in answer.content.decode(), url
    connection.refresh_from_db()
    assert canary not in repr(connection.last_test) + repr(connection.last_error)


def test_an_unreadable_secret_does_not_close_the_pages(
    boss: Client, sandbox: Sandbox, connect_to: ConnectTo, settings: Any
) -> None:
    from cryptography.fernet import Fernet

    connection = connect_to(sandbox, key=KEY, secret_last4="-key")
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    for name in ("list", "detail", "edit"):
        args = [] if name == "list" else [connection.slug]
        assert boss.get(reverse(f"connections:{name}", args=args)).status_code == 200
    page = followed(boss, reverse("connections:test", args=[connection.slug])).content.decode()
    assert "cannot be read" in page
    edit(boss, connection, sandbox, api_key=KEY)
    assert Connection.objects.get().secret == KEY


# Testing


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_the_report_is_shown_and_kept(
    boss: Client, sandbox: Sandbox, connect_to: ConnectTo, personality: str
) -> None:
    connection = connect_to(sandbox, personality, key=f"sandbox-{personality}-read-only-key")
    page = followed(boss, reverse("connections:test", args=[connection.slug])).content.decode()
    assert "Stored completions can be listed (read)." in page
    assert "Stored completions may not be changed (action)." in page
    connection.refresh_from_db()
    assert connection.state == Connection.State.CONNECTED
    assert connection.last_ok_at is not None
    assert verbs()[-1] == "connection.tested"


def test_a_failed_test_asks_for_attention_and_a_good_one_ends_it(
    boss: Client, sandbox: Sandbox, connect_to: ConnectTo
) -> None:
    connection = connect_to(sandbox, key="wrong-key-000000")
    url = reverse("connections:test", args=[connection.slug])
    fragment = boss.post(url, headers={"HX-Request": "true", "HX-Target": "report"}).content.decode()
    assert fragment.lstrip().startswith("<div")
    assert "<html" not in fragment
    assert "needs attention" in fragment
    connection.refresh_from_db()
    assert connection.state == Connection.State.ATTENTION
    assert connection.last_error["message"]
    Connection.objects.filter(pk=connection.pk).update(secret=KEY)
    boss.post(url)
    connection.refresh_from_db()
    assert (connection.state, connection.last_error) == (Connection.State.CONNECTED, {})


def test_the_terminal_says_the_same(sandbox: Sandbox, connect_to: ConnectTo) -> None:
    out = StringIO()
    connection = connect_to(sandbox, key=KEY)
    call_command("check_connection", connection.slug, stdout=out)
    assert "✓ Stored completions can be listed (read)." in out.getvalue()
    Connection.objects.filter(pk=connection.pk).update(secret="wrong-key-000000")
    with pytest.raises(CommandError) as caught:
        call_command("check_connection", connection.slug, stdout=out)
    assert caught.value.returncode == 1
    assert "✗" in out.getvalue()
    with pytest.raises(CommandError, match="no connection 'nobody'"):
        call_command("check_connection", "nobody")


def test_a_resource_that_is_connected_twice_is_noticed(
    boss: Client, manager: User, client_of: SignIn
) -> None:
    one = factories.connection("One", base_url="https://same.openai.azure.com/openai/v1")
    two = factories.connection("Two", kind=Kind.AZURE_DATED, base_url="https://SAME.services.ai.azure.com")
    factories.connection("Three", base_url="https://other.openai.azure.com")
    page = boss.get(reverse("connections:detail", args=[one.slug])).content.decode()
    assert "connected more than once" in page
    assert "Two" in page
    Grant.objects.filter(user=manager).update(connection=one)
    page = client_of(manager).get(reverse("connections:detail", args=[one.slug])).content.decode()
    assert "a connection that you cannot see" in page
    assert "Two" not in page
    assert (
        "connected more than once"
        not in boss.get(
            reverse("connections:detail", args=[Connection.objects.get(name="Three").slug])
        ).content.decode()
    )
    assert connections.twins_of(two) == [one]


def test_a_test_completion_is_stored_once_and_marked(
    builder: User, client_of: SignIn, sandbox: Sandbox, connect_to: ConnectTo
) -> None:
    connection = connect_to(sandbox, key=KEY)
    client = client_of(builder)
    url = reverse("connections:store_test", args=[connection.slug])
    assert 'name="model"' in client.post(url).content.decode()  # Azure does not say what is deployed
    answer = client.post(url, {"model": "gpt-4o", "next": "/completions/"})
    assert answer["Location"] == "/completions/"
    made = [entry for entry in journal(sandbox, path="/chat/completions") if entry["method"] == "POST"]
    assert len(made) == 1
    identity = made[0]["effect"].removeprefix("created:")
    stored = control(sandbox, "GET", f"/state?resource=azure-v1&id={identity}")
    assert stored["completion"]["metadata"] == {"source": "completions-portal-test"}
    assert verbs() == ["completion.test_stored"]


def test_openai_needs_no_name_for_a_test_completion(
    builder: User, client_of: SignIn, sandbox: Sandbox, connect_to: ConnectTo
) -> None:
    connection = connect_to(sandbox, "openai", key="sandbox-openai-key")
    answer = client_of(builder).post(reverse("connections:store_test", args=[connection.slug]))
    assert answer["Location"] == reverse("connections:detail", args=[connection.slug])


def test_a_refused_test_completion_says_why(
    builder: User, client_of: SignIn, sandbox: Sandbox, connect_to: ConnectTo
) -> None:
    connection = connect_to(sandbox, key=KEY)
    url = reverse("connections:store_test", args=[connection.slug])
    answer = client_of(builder).post(url, {"model": "nobody", "next": "https://evil.example/"})
    assert answer.status_code == 422
    assert "does not exist" in answer.content.decode()


def test_the_way_back_stays_on_this_site(
    builder: User, client_of: SignIn, sandbox: Sandbox, connect_to: ConnectTo
) -> None:
    connection = connect_to(sandbox, key=KEY)
    url = reverse("connections:store_test", args=[connection.slug])
    for away in ("https://evil.example/", "//evil.example", "javascript:alert(1)", "https:evil.example"):
        answer = client_of(builder).post(url, {"model": "gpt-4o", "next": away})
        assert answer["Location"] == reverse("connections:detail", args=[connection.slug])


def test_a_dead_host_is_reported_within_the_request(boss: Client, settings: Any) -> None:
    port = free_port()
    settings.UPSTREAM_ALLOW = [f"127.0.0.1:{port}"]
    connection = factories.connection(kind=Kind.COMPATIBLE, base_url=f"http://127.0.0.1:{port}/v1")
    page = followed(boss, reverse("connections:test", args=[connection.slug])).content.decode()
    assert "cannot be reached" in page


# Rights

PAGES = ("detail", "edit", "grants", "delete", "store_test")
POSTS = ("test", "disconnect", "reconnect", "delete", "grants", "edit", "store_test")
READ = {"detail"}
ACT = {"store_test"}


@pytest.mark.parametrize("role", ["reader", "reviewer", "builder", "manager", "operator", "outsider"])
def test_each_role_reaches_its_pages_and_no_others(
    role: str, client_of: SignIn, sandbox: Sandbox, connect_to: ConnectTo
) -> None:
    connection, other = connect_to(sandbox, key=KEY), connect_to(sandbox, "openai", key="sandbox-openai-key")
    person = factories.user(role)
    if role != "outsider":
        factories.grant(person, role, connection)
    client = client_of(person)
    rank = ["outsider", "reader", "reviewer", "builder", "manager", "operator"].index(role)
    for name in PAGES:
        needed = 1 if name in READ else 3 if name in ACT else 4
        expected = 404 if rank == 0 else 200 if rank >= needed else 403
        assert client.get(reverse(f"connections:{name}", args=[connection.slug])).status_code == expected, (
            name
        )
        assert client.get(reverse(f"connections:{name}", args=[other.slug])).status_code == 404, name
    for name in POSTS:
        needed = 3 if name in ACT else 4
        answer = client.post(reverse(f"connections:{name}", args=[connection.slug]))
        refused = 404 if rank == 0 else 403
        assert (answer.status_code == refused) == (rank < needed), name
        assert client.post(reverse(f"connections:{name}", args=[other.slug])).status_code == 404, name
    listed = client.get(reverse("connections:list")).content.decode()
    assert (connection.name in listed) == (rank > 0)
    assert other.name not in listed
    assert client.get(reverse("connections:new")).status_code == 403
    assert client.get(reverse("connections:access")).status_code == 403
    assert client.get(reverse("audit:list")).status_code == 403


def test_managers_of_everything_and_operators_may_connect(
    manager: User, operator: User, builder: User, client_of: SignIn
) -> None:
    statuses = [
        client_of(person).get(reverse("connections:new")).status_code
        for person in (manager, operator, builder)
    ]
    assert statuses == [200, 200, 403]


@pytest.mark.parametrize("name", ["test", "disconnect", "reconnect"])
def test_nothing_changes_by_a_get(boss: Client, name: str) -> None:
    connection = factories.connection()
    assert boss.get(reverse(f"connections:{name}", args=[connection.slug])).status_code == 405


def test_roles_are_given_changed_and_taken(boss: Client, outsider: User) -> None:
    connection = factories.connection()
    url = reverse("connections:grants", args=[connection.slug])
    boss.post(url, {"person": "outsider", "role": "reader"})
    boss.post(url, {"person": outsider.email.upper(), "role": "builder"})
    grant = Grant.objects.get(user=outsider)
    assert (grant.role, grant.connection) == (Role.BUILDER, connection)
    boss.post(reverse("connections:take", args=[grant.pk]))
    assert not Grant.objects.filter(user=outsider).exists()
    assert verbs() == ["grant.given", "grant.changed", "grant.taken"]


def test_a_manager_cannot_make_or_unmake_an_operator(
    manager: User, client_of: SignIn, outsider: User
) -> None:
    connection = factories.connection()
    Grant.objects.filter(user=manager).update(connection=connection)
    client = client_of(manager)
    url = reverse("connections:grants", args=[connection.slug])
    assert client.post(url, {"person": "outsider", "role": "operator"}).status_code == 422
    high = factories.grant(outsider, "operator", connection)
    assert client.post(url, {"person": "outsider", "role": "reader"}).status_code == 422
    assert client.post(reverse("connections:take", args=[high.pk])).status_code == 403
    everywhere = factories.grant(factories.user("elsewhere"), "reader")
    assert client.post(reverse("connections:take", args=[everywhere.pk])).status_code == 403
    foreign = factories.grant(factories.user("far"), "reader", factories.connection())
    assert client.post(reverse("connections:take", args=[foreign.pk])).status_code == 404
    assert Grant.objects.filter(pk__in=[high.pk, everywhere.pk, foreign.pk]).count() == 3


def test_lowering_ones_own_right_is_asked_for_again(manager: User, client_of: SignIn) -> None:
    connection = factories.connection("Main")
    Grant.objects.filter(user=manager).update(connection=connection)
    client, url = client_of(manager), reverse("connections:grants", args=[connection.slug])
    page = client.get(url).content.decode()
    assert 'data-confirm="Take your own role away?"' in page
    assert "no longer change Main or who may use it" in page
    lower = {"person": "manager", "role": "reader"}
    answer = client.post(url, lower)
    assert answer.status_code == 200
    assert "This lowers your own role" in answer.content.decode()
    assert Grant.objects.get(user=manager).role == Role.MANAGER
    assert verbs() == []
    answer = client.post(url, lower | {"sure": "1"})
    assert answer["Location"] == reverse("connections:list"), "not to a page that is closed now"
    assert Grant.objects.get(user=manager).role == Role.READER
    assert client.get(url).status_code == 403


def test_who_keeps_the_right_otherwise_is_not_asked(manager: User, client_of: SignIn) -> None:
    connection = factories.connection()
    factories.grant(manager, "manager", connection)
    client, url = client_of(manager), reverse("connections:grants", args=[connection.slug])
    assert "Take your own role away?" not in client.get(url).content.decode()
    assert client.post(url, {"person": "manager", "role": "reader"}).status_code in (302, 303)
    assert Grant.objects.get(user=manager, connection=connection).role == Role.READER


def test_the_access_page_tells_who_has_a_role_everywhere(
    operator: User, reader: User, manager: User, client_of: SignIn
) -> None:
    connection = factories.connection()
    link = f'<a class="link" href="{reverse("connections:access")}">3 have one on every connection</a>'
    for name in ("grants", "detail"):
        url = reverse(f"connections:{name}", args=[connection.slug])
        assert link in client_of(operator).get(url).content.decode()
        text = client_of(manager).get(url).content.decode()
        assert "3 have one on every connection" in text
        assert link not in text


def test_nobody_unknown_gets_a_role(boss: Client) -> None:
    url = reverse("connections:grants", args=[factories.connection().slug])
    for person in ("", "nobody"):
        assert boss.post(url, {"person": person, "role": "reader"}).status_code == 422
