"""Where this server may connect to: known providers over https, and what the operator allowed by name.

An address in a form is an address that *this server* will call, with a credential; so the rule is a short
list, and every resolved address must be a public one.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from portal.upstream.errors import UpstreamError

SUFFIXES = (
    ".openai.azure.com",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
    ".openai.azure.us",
    ".cognitiveservices.azure.us",
)
HOSTS = (
    "api.openai.com",
    "eu.api.openai.com",
    "us.api.openai.com",
    "management.azure.com",
    "management.usgovcloudapi.net",
)
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")


@dataclass(frozen=True)
class Origin:
    """A scheme, host and port that passed the rule."""

    scheme: str
    host: str
    port: int
    excepted: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{host}" + ("" if self.port == default else f":{self.port}")


def exceptions() -> frozenset[tuple[str, int]]:
    """The host:port pairs of UPSTREAM_ALLOW."""
    pairs = set()
    for entry in settings.UPSTREAM_ALLOW:
        host, colon, port = str(entry).strip().lower().rpartition(":")
        if colon and port.isascii() and port.isdigit():
            pairs.add((host.strip("[]"), int(port)))
    return frozenset(pairs)


def allowed_origin(url: str) -> Origin:
    """The origin of `url` if the rule allows it; raises UpstreamError("blocked") saying why not."""
    if not url.isascii() or any(character <= " " or character in "\\\x7f" for character in url):
        raise _blocked("The address holds characters that no web address has.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise _blocked("This is not a web address.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _blocked("The address must begin with https:// and name a host.")
    if "@" in parts.netloc:
        raise _blocked("The address must not hold a user name or password.")
    if "?" in url or "#" in url:
        raise _blocked("The address must not hold a query or a fragment.")
    port = port if port is not None else {"http": 80, "https": 443}[parts.scheme]
    if (host, port) in exceptions():
        return Origin(parts.scheme, host, port, excepted=True)
    if parts.scheme != "https":
        raise _blocked("The address must begin with https://.")
    if not _HOST.fullmatch(host) or "xn--" in host or _is_literal(host):
        raise _blocked(f"{_shown(host)} is not the name of a known provider.")
    if port != 443:
        raise _blocked("Only port 443 is allowed.")
    if host not in HOSTS and not host.endswith(SUFFIXES):
        raise _blocked(
            f"{_shown(host)} is not the name of a known provider.",
            f"The operator can allow it: add {_shown(host)}:{port} to UPSTREAM_ALLOW and restart.",
        )
    return Origin("https", host, port, excepted=False)


def checked_addresses(origin: Origin) -> list[tuple[int, str]]:
    """(family, address) for `origin`, every one of them public unless the operator made an exception.

    One private address among public ones refuses the host: that is how a name is bent towards an inner
    machine.
    """
    try:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UpstreamError(
            "dns",
            f"The name {_shown(origin.host)} could not be resolved.",
            code="dns",
            hint="Check the spelling of the host, and that this machine can resolve names.",
        ) from error
    addresses = list(dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found))
    if not origin.excepted:
        for _, address in addresses:
            if not is_public(address):
                raise _blocked(
                    f"{_shown(origin.host)} resolves to {address}, which is not a public address.",
                    f"If that is meant, add {_shown(origin.host)}:{origin.port} to UPSTREAM_ALLOW.",
                )
    return addresses


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet; IPv4 hidden inside IPv6 counts only behind NAT64."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip in _NAT64_LOCAL:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_loopback or ip.is_link_local)


def _is_literal(host: str) -> bool:
    """Whether the host is an IP address in any spelling, `0x7f.1` and `2130706433` included."""
    return bool(re.fullmatch(r"(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d+))*", host)) or ":" in host


def _shown(host: str) -> str:
    return host[:120]


def _blocked(message: str, hint: str = "") -> UpstreamError:
    return UpstreamError(
        "blocked",
        message,
        code="blocked",
        hint=hint or "Azure OpenAI, Foundry and api.openai.com are allowed; others need UPSTREAM_ALLOW.",
    )
