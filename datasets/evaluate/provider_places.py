"""Which connections have an evals API of their own: asked once, and remembered with the connection's test.

Only Azure's is offered. A connection that answers 403, 404 or 410 is not, and its page says why.
"""

from typing import Any, Final

from portal.models import Connection
from portal.upstream import Finding, UpstreamError, connect
from portal.upstream.checkup import evaluating

CHECK: Final = "evals"
_CLOSED = frozenset({403, 404, 410})


def finding_of(connection: Connection) -> dict[str, Any] | None:
    """What is known; None where nobody has asked yet."""
    findings = connection.last_test.get("findings", [])
    return next((finding for finding in findings if finding.get("check") == CHECK), None)


def has_evals(connection: Connection) -> bool:
    found = finding_of(connection)
    return connection.is_azure and found is not None and found.get("ok") is True


def reason_of(connection: Connection) -> str:
    """Why it is not offered, in the words that were found out."""
    found = finding_of(connection)
    if found is None or found.get("ok") is True:
        return ""
    return f"{found.get('text', '')} {found.get('hint', '')}".strip()


def offered_to(user: Any) -> list[Connection]:
    """The connections at which this person may let a run be done."""
    return [place for place in _azure(user) if has_evals(place)]


def unasked_by(user: Any) -> list[Connection]:
    """Azure connections of which nobody knows it yet."""
    return [place for place in _azure(user) if _is_open(finding_of(place))]


def closed_to(user: Any) -> list[Connection]:
    """Azure connections that said no."""
    return [place for place in _azure(user) if (finding_of(place) or {}).get("ok") is False]


def _is_open(found: dict[str, Any] | None) -> bool:
    return found is None or found.get("ok") is None


def _azure(user: Any) -> list[Connection]:
    found = Connection.objects.actionable_by(user).with_endpoint().defer("secret").order_by("name")
    return [place for place in found if place.is_azure]


def probe(connection: Connection) -> Finding:
    """Ask the connection, and remember what it says. Changes nothing upstream."""
    try:
        with connect(connection, tries=2, seconds=10.0) as upstream:
            found = evaluating(upstream)
    except UpstreamError as error:
        found = Finding(CHECK, None, "Whether it runs evaluations is not known.", error.message)
    _remember(connection, found)
    return found


def learn(connection: Connection, error: UpstreamError) -> None:
    """What a refused request says of the API as a whole."""
    if error.http_status in _CLOSED and error.code != "DeploymentNotFound":
        probe(connection)


def _remember(connection: Connection, found: Finding) -> None:
    row = Connection.objects.get(pk=connection.pk)
    others = [each for each in row.last_test.get("findings", []) if each.get("check") != CHECK]
    row.last_test = {**row.last_test, "findings": [*others, found.as_dict()]}
    Connection.objects.filter(pk=row.pk).update(last_test=row.last_test)
    connection.last_test = row.last_test
