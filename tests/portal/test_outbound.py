"""Where this server may call: a list of tricks, none of which reaches a listener inside."""

import itertools
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from portal.models import Connection
from portal.upstream import UpstreamError, connect
from portal.upstream.addresses import api_root
from portal.upstream.outbound import Origin, allowed_origin, checked_addresses, is_public
from portal.upstream.wire import Wire
from tests.portal.upstream_bed import sentinel

KNOWN = "one.openai.azure.com"
SCHEMES = ("http", "https", "HTTP", "ftp", "file", "gopher", "ws", "wss", "javascript", "data", "", "//")
LOOPBACK = (
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001",
    "0", "0.0.0.0", "localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "[::1]", "[::]",
    "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]",
    "[::127.0.0.1]", "127.127.127.127", "127.0.0.1%00", "127。0。0。1", "①②⑦.⓪.⓪.①", "localtest.me",
    "127.0.0.1.nip.io", "spoofed.burpcollaborator.net", "ip6-localhost", "[fe80::1%25eth0]",
)  # fmt: skip
INSIDE = (
    "169.254.169.254", "[fd00:ec2::254]", "metadata.google.internal", "metadata.azure.internal",
    "168.63.129.16", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "198.18.0.1", "192.0.2.1",
    "224.0.0.1", "255.255.255.255", "[fc00::1]", "[fe80::1]", "[ff02::1]", "2852039166", "0xa9fea9fe",
    "kubernetes.default.svc", "redis", "postgres", "intranet.corp", "8.8.8.8", "[2606:4700::1111]",
)  # fmt: skip
LOOKALIKES = (
    "openai.azure.com", "one.openai.azure.com.evil.example", "evilopenai.azure.com",
    "api.openai.com.evil.example",
    "xapi.openai.com", "api-openai.com", "one.openai.azure.com@evil.example",
    "one.openai.azure.com#.evil.example",
    "evil.example#.openai.azure.com", "evil.example?.openai.azure.com", "evil.example/.openai.azure.com",
    "evil.example\\.openai.azure.com", "evil.example%2f.openai.azure.com", "evil.example%23.openai.azure.com",
    "one.openai.azure.com%00.evil.example", "one.openai.azure.com\u3002evil.example", "\uff41pi.openai.com",
    "api.opena\u0131.com", "\u0430pi.openai.com", "xn--pi-7kc.openai.com", "xn--80ak6aa92e.openai.azure.com",
    "-a.openai.azure.com", "a-.openai.azure.com", "a..openai.azure.com", ".openai.azure.com",
    "a_b.openai.azure.com", "*.openai.azure.com", "a b.openai.azure.com", "a\t.openai.azure.com",
    "a\n.openai.azure.com", "a\r\nHost: evil.example\r\n.openai.azure.com", "127.0.0.1 .openai.azure.com",
    "api.openai.com.", "one.openai.azure.com.", "api.openai.com:22", "api.openai.com:8443",
    "api.openai.com:0",
    "api.openai.com:99999", "api.openai.com:-1", "api.openai.com:443:80", "api.openai.com:٤٤٣",
    "[api.openai.com]",
    "user@api.openai.com", "user:password@api.openai.com", ":@api.openai.com", "@api.openai.com",
    "api.openai.com@", "login.microsoftonline.com", "graph.microsoft.com", "one.blob.core.windows.net",
    "one.vault.azure.net", "a" * 64 + ".openai.azure.com",
)  # fmt: skip


def tricks() -> Iterator[str]:
    """Addresses of which none may be called; the port is filled in."""
    for scheme, host in itertools.product(("http", "https"), LOOPBACK):
        yield f"{scheme}://{host}:PORT/openai/v1"
    for scheme, host in itertools.product(("http", "https"), INSIDE):
        yield f"{scheme}://{host}/openai/v1"
    for host in LOOKALIKES:
        yield f"https://{host}/openai/v1"
    for scheme in SCHEMES:
        if scheme != "https":
            yield f"{scheme}://{KNOWN}/openai/v1"
    yield from (
        "",
        " ",
        "https://",
        "https:///",
        "https:",
        KNOWN,
        f"//{KNOWN}",
        f"/{KNOWN}",
        "not an address",
    )
    yield from (f"https://{KNOWN}/?x=1", f"https://{KNOWN}/#x", f"https:\\\\{KNOWN}", f"https://{KNOWN}\x00")
    yield from (f"http://{KNOWN}:443", f"https://{KNOWN}:80", f"http://{KNOWN}:80", f"https:{KNOWN}")


TRICKS = list(tricks())


def test_the_list_is_long_enough() -> None:
    assert len(set(TRICKS)) >= 150


def test_no_trick_reaches_a_listener(settings: Any) -> None:
    settings.UPSTREAM_ALLOW = ["127.0.0.1:1", "broken", ":443", "127.0.0.1:", "127.0.0.1:x"]
    with sentinel() as (port, met):
        for trick in TRICKS:
            url = trick.replace("PORT", str(port))
            for build in (lambda u: u, lambda u: api_root("azure_v1", u)):
                with pytest.raises(UpstreamError) as caught:
                    Wire(build(url))
                assert caught.value.kind == "blocked", url
            with pytest.raises(UpstreamError):
                connect(Connection(kind="compatible", base_url=url, secret="key-of-a-test"))
        assert met == []


@pytest.mark.parametrize(
    "host",
    [
        "one.openai.azure.com",
        "ONE.OpenAI.Azure.com",
        "a-1.cognitiveservices.azure.com",
        "one.services.ai.azure.com",
        "api.openai.com",
        "eu.api.openai.com",
        "management.azure.com",
    ],
)
def test_known_providers_are_allowed(host: str) -> None:
    origin = allowed_origin(f"https://{host}/openai/v1")
    assert (origin.scheme, origin.host, origin.port, origin.excepted) == ("https", host.lower(), 443, False)
    assert allowed_origin(f"https://{host}:443") == origin


def test_an_exception_is_exact(settings: Any) -> None:
    settings.UPSTREAM_ALLOW = ["127.0.0.1:9001", "Gateway.Example:8443", "[::1]:9002"]
    assert allowed_origin("http://127.0.0.1:9001/v1").excepted
    assert allowed_origin("https://gateway.example:8443/v1").excepted
    assert allowed_origin("http://[::1]:9002").excepted
    for near in (
        "http://127.0.0.1:9002",
        "http://127.0.0.2:9001",
        "http://localhost:9001",
        "http://2130706433:9001",
        "https://gateway.example/v1",
        "https://a.gateway.example:8443/v1",
        "http://user@127.0.0.1:9001/v1",
    ):
        with pytest.raises(UpstreamError):
            allowed_origin(near)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("20.1.2.3", True),
        ("2603:1030::1", True),
        ("64:ff9b::1401:203", True),
        ("64:ff9b::a00:1", False),
        ("64:ff9b:1::1401:203", False),
        ("::ffff:20.1.2.3", False),
        ("::ffff:10.0.0.1", False),
        ("2002:1401:203::", False),
        ("2001:0:1401:203::", False),
        ("::7f00:1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("0.0.0.0", False),
        ("fe80::1%eth0", False),
        ("ff0e::1", False),
        ("not an address", False),
    ],
)
def test_public_addresses_are_told_from_all_others(address: str, public: bool) -> None:
    assert is_public(address) is public


def resolving_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to each list of addresses in turn; returns the names asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [
            (socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))
            for ip in found
        ]

    monkeypatch.setattr("portal.upstream.outbound.socket.getaddrinfo", resolve)
    return asked


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["20.1.2.3", "10.0.0.5"], ["2603:1030::1", "::1"], ["::ffff:127.0.0.1"]]
)
def test_one_inner_address_refuses_the_name(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    resolving_to(monkeypatch, addresses)
    with pytest.raises(UpstreamError) as caught:
        checked_addresses(allowed_origin(f"https://{KNOWN}"))
    assert caught.value.kind == "blocked"
    assert "UPSTREAM_ALLOW" in caught.value.hint


def test_a_name_that_turns_inward_later_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: public when it was saved, loopback when it is called."""
    asked = resolving_to(monkeypatch, ["20.1.2.3"], ["127.0.0.1"])
    checked_addresses(allowed_origin(f"https://{KNOWN}"))
    connection = Connection(kind="azure_v1", base_url=f"https://{KNOWN}", secret="key-of-a-test")
    with connect(connection) as upstream, pytest.raises(UpstreamError) as caught:
        upstream.list_stored()
    assert caught.value.kind == "blocked"
    assert asked == [KNOWN, KNOWN]


def test_the_checked_address_is_the_one_that_is_called(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The name is resolved once per connection; what a second look-up would say does not matter."""
    with sentinel() as (port, met):
        settings.UPSTREAM_ALLOW = [f"gateway.example:{port}"]
        asked = resolving_to(monkeypatch, ["127.0.0.1"], ["192.0.2.1"])
        wire = Wire(f"http://gateway.example:{port}")
        with pytest.raises(UpstreamError):
            wire.exchange("GET", "/", {}, timeout=2)
        assert len(met) == len(asked) == 1


def test_a_private_endpoint_is_allowed_by_name(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    resolving_to(monkeypatch, ["10.0.0.5"])
    settings.UPSTREAM_ALLOW = [f"{KNOWN}:443"]
    assert checked_addresses(allowed_origin(f"https://{KNOWN}")) == [(socket.AF_INET, "10.0.0.5")]


def test_the_sdk_cannot_be_led_to_another_origin(settings: Any) -> None:
    settings.UPSTREAM_ALLOW = ["127.0.0.1:1", "127.0.0.1:2"]
    with connect(
        Connection(kind="compatible", base_url="http://127.0.0.1:1/v1", secret="key-of-a-test")
    ) as upstream:
        sdk = upstream._sdk()
        with pytest.raises(UpstreamError) as caught:
            sdk.get("http://127.0.0.1:2/v1/models", cast_to=object)
    assert caught.value.kind == "blocked"


def test_an_origin_reads_like_an_address() -> None:
    assert str(Origin("https", "a.example", 443, excepted=False)) == "https://a.example"
    assert str(Origin("http", "::1", 8080, excepted=True)) == "http://[::1]:8080"
