"""`manage.py find "FILTER"`: what the pane finds, from a terminal."""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from completions.filters import Filter
from completions.listing import Listing
from completions.models import StoredCompletion
from portal.models import User

BATCH = 500
READS = ("connection__slug", "upstream_id", "created", "model", "prompt_preview")


class Command(BaseCommand):
    help = "Count the stored completions that a filter matches, and list the newest of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "filter",
            nargs="?",
            default="",
            help="as typed above the table; write -- before one that begins with a minus",
        )
        parser.add_argument("--user", help="only what this person may read; otherwise every connection")
        parser.add_argument("--limit", type=int, help="list so many (20, with --ids all)")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--count", action="store_true", help="only count")
        what.add_argument("--ids", action="store_true", help="only connection/id, one a line")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = Filter.parse(options["filter"])
        if wanted.broken:
            raise CommandError("\n".join(map(_reason, wanted.broken)), returncode=2)
        # Whoever runs commands can read the database; a person that is nowhere stored stands for that.
        person = User(is_superuser=True) if options["user"] is None else _named(options["user"])
        ids = Listing(person, wanted).everything()[0]
        if not options["ids"]:
            self.stdout.write(f"{len(ids):,} stored completions: {_plain(wanted.describe())}")
        if options["count"]:
            return
        limit = options["limit"]
        if limit is None:
            limit = len(ids) if options["ids"] else 20
        for slug, name, created, model, preview in _rows(ids[: max(0, limit)].tolist()):
            if options["ids"]:
                self.stdout.write(_plain(f"{slug}/{name}"))
            else:
                moment = f"{datetime.fromtimestamp(created, UTC):%Y-%m-%d %H:%M:%S}"
                self.stdout.write(_plain(f"{slug}/{name}  {moment}  {model}  {preview}"))


def _reason(broken: Any) -> str:
    instead = f" Perhaps: {broken.instead}" if broken.instead else ""
    return _plain(f"{broken.describe()}. {broken.problem}{instead}")


def _named(name: str) -> User:
    found: User | None = User.objects.filter(username=name).first()
    if found is None:
        raise CommandError(f"There is nobody called “{name}”.")
    return found


def _rows(ids: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        found = {
            pk: rest for pk, *rest in StoredCompletion.objects.filter(pk__in=some).values_list("pk", *READS)
        }
        yield from (tuple(found[pk]) for pk in some if pk in found)


def _plain(text: str) -> str:
    """On one line, and without what a terminal would obey: models and users wrote it."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
