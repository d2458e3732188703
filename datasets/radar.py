"""Models that go: students whose base model has a day on which the provider shuts it down.

What a provider lists is remembered for a while; nothing here asks by itself on a page that people wait for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.utils import timezone

from datasets.models import Deployment, FineTune
from portal.models import Connection
from portal.upstream import ModelInfo, UpstreamError, connect

REMEMBERED = timedelta(days=14)
FRESH = timedelta(days=1)
AGAIN = timedelta(hours=1)  # after a provider did not answer
SECONDS = 10.0  # a page waits for it, in its background
SOON, WARN = 30, 180  # days


@dataclass(frozen=True)
class Retirement:
    """The day on which a base model, and with it what was made from it, stops answering."""

    model: str
    on: date
    today: date

    @property
    def days(self) -> int:
        return (self.on - self.today).days

    @property
    def tone(self) -> str:
        if self.days <= SOON:
            return "bad"
        return "warn" if self.days <= WARN else ""

    @property
    def words(self) -> str:
        """How long it is until then."""
        if self.days < 0:
            return f"shut down {-self.days:,} day{'s' * (self.days != -1)} ago"
        if self.days == 0:
            return "shuts down today"
        return f"{self.days:,} day{'s' * (self.days != 1)} left"


@dataclass(frozen=True)
class Student:
    """A model of ours that goes, and what answers by it."""

    tune: FineTune
    retirement: Retirement
    deployments: Sequence[Deployment] = ()


def remember(connection: Connection, models: Iterable[ModelInfo]) -> None:
    """Keep the days that a listing tells."""
    days = {model.id: model.shutdown_date for model in models if model.id and _day(model.shutdown_date)}
    known = {"asked": timezone.now().timestamp(), "days": days}
    cache.set(_key(connection.pk), known, int(REMEMBERED.total_seconds()))


def ask(connection: Connection) -> bool:
    """Ask the provider, unless it was asked not long ago; whether something was learnt. Never raises."""
    known = cache.get(_key(connection.pk))
    if known is not None and timezone.now().timestamp() - known["asked"] < FRESH.total_seconds():
        return False
    try:
        with connect(connection, tries=1, seconds=SECONDS) as upstream:
            remember(connection, upstream.models())
    except UpstreamError:
        # Not asked again on every page: what was known stays known.
        days = known["days"] if known is not None else {}
        asked = timezone.now() - FRESH + AGAIN
        kept = {"asked": asked.timestamp(), "days": days}
        cache.set(_key(connection.pk), kept, int(REMEMBERED.total_seconds()))
        return False
    return True


def known_days(connections: Iterable[int]) -> dict[int, Mapping[str, str]]:
    """By connection: the day of each model, as far as it was told."""
    keys = {_key(pk): pk for pk in set(connections)}
    return {keys[key]: known["days"] for key, known in cache.get_many(list(keys)).items()}


def of(tune: FineTune, days: Mapping[int, Mapping[str, str]] | None = None) -> Retirement | None:
    """When this job's base model goes; None where nobody told."""
    listed = (days if days is not None else known_days([tune.connection_id])).get(tune.connection_id, {})
    base = base_of(tune.base_model)
    told = listed.get(base) or listed.get(tune.base_model)
    on = _day(told) if told else None
    return Retirement(base, on, timezone.now().date()) if on is not None else None


def base_of(model: str) -> str:
    """The provider's own model behind a name: a fine-tuned one goes with what it was made from."""
    if model.startswith("ft:"):
        return model.split(":")[1]
    return model.split(".ft-")[0]


def students(user: Any) -> list[Student]:
    """Models that were made and go, the next first; of what the person may read."""
    made = (
        FineTune.objects.readable_by(user)
        .filter(state=FineTune.State.SUCCEEDED)
        .exclude(fine_tuned_model="")
        .select_related("connection", "version__dataset")
        .order_by("-id")[:500]
    )
    tunes = list(made)
    days = known_days(tune.connection_id for tune in tunes)
    going = [(tune, when) for tune in tunes if (when := of(tune, days)) is not None]
    ready = Deployment.objects.filter(
        fine_tune__in=[tune.pk for tune, _ in going], state=Deployment.State.READY
    ).order_by("-id")
    by_tune: dict[int, list[Deployment]] = {}
    for deployment in ready:
        by_tune.setdefault(deployment.fine_tune_id, []).append(deployment)
    found = [Student(tune, retirement, by_tune.get(tune.pk, [])) for tune, retirement in going]
    return sorted(found, key=lambda student: (student.retirement.on, -student.tune.pk))


def to_ask(user: Any) -> list[Connection]:
    """Connections with models that were made on them, and which were not asked for long."""
    usable = (Connection.State.CONNECTED, Connection.State.ATTENTION)
    made = FineTune.objects.filter(state=FineTune.State.SUCCEEDED).values("connection")
    found = Connection.objects.readable_by(user).with_endpoint().filter(state__in=usable, pk__in=made)
    now = timezone.now().timestamp()
    known = cache.get_many([_key(each.pk) for each in found])
    return [
        each
        for each in found
        if _key(each.pk) not in known or now - known[_key(each.pk)]["asked"] > FRESH.total_seconds()
    ]


def _key(connection: int) -> str:
    return f"retirements-{connection}"


def _day(text: Any) -> date | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date() if isinstance(text, str) else None  # noqa: DTZ007  # a day has no zone
    except ValueError:
        return None
