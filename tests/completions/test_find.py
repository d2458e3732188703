"""`manage.py find`: the language of the pane in a terminal."""

import subprocess
import sys
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from completions import reviewing
from completions.models import Label
from completions.reviewing import Said
from portal.models import User
from tests import factories
from tests.factories import make_completion

pytestmark = [pytest.mark.django_db]


def find(*arguments: str) -> list[str]:
    output = StringIO()
    call_command("find", *arguments, stdout=output)
    return output.getvalue().splitlines()


@pytest.mark.engines
def test_the_newest_matches_are_listed_below_their_number() -> None:
    where = factories.connection(slug="lab")
    for n in range(30):
        make_completion(
            where, upstream_id=f"odd-{n}", created=1_790_000_000 + n, model="m", prompt=f"zebra {n}"
        )
    make_completion(where, prompt="horse")
    for query in ("zebra", "~ebra", "model:m"):
        lines = find(query)
        assert lines[0].startswith("30 stored completions: ")
        assert len(lines) == 21
        assert lines[1] == "lab/odd-29  2026-09-21 14:13:49  m  zebra 29"
    assert [line.split()[0] for line in find("zebra", "--limit", "2")[1:]] == ["lab/odd-29", "lab/odd-28"]
    assert find("zebra", "--ids") == [f"lab/odd-{n}" for n in reversed(range(30))]
    assert find("zebra", "--count") == find("zebra")[:1]
    assert find("--", "-zebra")[0].startswith("1 stored completions")
    assert find()[0] == "31 stored completions: all stored completions"


def test_a_person_finds_what_that_person_may_read() -> None:
    here, there = factories.connection(slug="here"), factories.connection(slug="there")
    make_completion(here, upstream_id="a")
    make_completion(there, upstream_id="b", created=1)
    factories.user("of-here", "reader", here)
    assert find("--ids", "--user", "of-here") == ["here/a"]
    assert find("--ids") == ["here/a", "there/b"]
    with pytest.raises(CommandError, match="nobody called “x”"):
        find("--user", "x")
    assert not User.objects.filter(is_superuser=True).exists()


def test_a_terminal_obeys_nothing_that_a_model_wrote() -> None:
    make_completion(prompt="red \x1b[31m and\nnew line")
    lines = find()
    assert len(lines) == 2
    assert "\x1b" not in lines[1]


def test_a_broken_filter_ends_with_its_reason() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "find", "tokens:many"],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "“tokens:many” cannot be read" in done.stderr


@pytest.mark.engines
def test_what_people_said_is_found() -> None:
    where, author = factories.connection(slug="lab"), factories.user("alex", "reviewer")
    row = make_completion(where, upstream_id="odd")
    make_completion(where, upstream_id="even", created=1)
    quality = Label.objects.create(connection=where, name="quality", kind="score", options=[1, 5])
    said = [Said("state", "approved"), Said("label", "4", quality), Said("note", "wrong tone")]
    reviewing.record(row, said, author)
    for query in (
        "review:approved",
        "label.quality:>=4",
        "note:wrong*",
        "has:note reviewer:alex reviewed:1d",
    ):
        assert find(query, "--ids") == ["lab/odd"], query
    assert find("review:unreviewed", "--ids") == ["lab/even"]
    assert find("review:unreviewed")[0].endswith(": review is unreviewed")
