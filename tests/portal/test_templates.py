"""What every template and static file keeps to: known icons, nothing inline, vendored files as recorded."""

import re
from hashlib import sha256
from pathlib import Path

import pytest
from django.conf import settings
from django.template import Context, Template
from django.template.loader import get_template
from django.test import RequestFactory

from portal.models import User
from portal.templatetags.portal import rail

ROOT = Path(settings.BASE_DIR)
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
INLINE = re.compile(
    r"<style|\sstyle=|\son[a-z]+=|hx-on|=[\"']js:|hx-trigger=[\"'][^\"']*\[|<script(?![^>]*\ssrc=)|javascript:|\|safe\b"
)


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", TEMPLATES, ids=names(TEMPLATES))
def test_a_template_has_nothing_inline(path: Path) -> None:
    assert INLINE.findall(path.read_text()) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=names(TEMPLATES))
def test_a_template_can_be_parsed(path: Path) -> None:
    get_template(str(path.relative_to(ROOT / "templates")))


@pytest.mark.parametrize("path", TEMPLATES, ids=names(TEMPLATES))
def test_a_template_asks_no_mapping_for_its_items(path: Path) -> None:
    """A mapping from outside may hold a value of that name; the filter `pairs` asks the mapping itself."""
    assert re.findall(r"in [\w.]+\.items\b", path.read_text()) == []


def test_pairs_of_a_mapping_that_has_a_key_named_items() -> None:
    template = Template(
        "{% load portal %}{% for key, value in mapping|pairs %}{{ key }}={{ value }};{% endfor %}"
    )
    assert template.render(Context({"mapping": {"items": 185, "b": 1}})) == "items=185;b=1;"


def test_every_icon_that_is_named_exists() -> None:
    known = set(re.findall(r'<symbol id="([^"]+)"', (ROOT / "static/icons.svg").read_text()))
    used = {
        (name, path.name) for path in TEMPLATES for name in re.findall(r'{% icon "([^"]+)"', path.read_text())
    }
    assert [(name, path) for name, path in sorted(used) if name not in known] == []
    assert len(known) > 50


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/evaluations/3/", "Evaluations"),
        ("/evaluate/3/graders/", "Evaluations"),
        ("/comparisons/new/", "Evaluations"),
        ("/distill/3/check/", "Datasets"),
        ("/relabels/", "Datasets"),
        ("/deployments/3/try/", "Fine-tunes"),
        ("/prices/", "Connections"),
        ("/completions/queues/", "Review"),
        ("/account/", None),
    ],
)
def test_the_rail_marks_the_one_place_that_an_address_belongs_to(path: str, label: str | None) -> None:
    request = RequestFactory().get(path)
    request.user = User(username="ada", is_superuser=True)
    marked = [place.label for place in rail(Context({"request": request}))["places"] if place.current]
    assert marked == ([label] if label else [])


def test_vendored_files_are_the_recorded_ones() -> None:
    folder = ROOT / "static/vendor"
    recorded = re.findall(
        r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|$", (folder / "VENDORED.md").read_text(), re.MULTILINE
    )
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.suffix != ".md"} <= {
        name for name, _ in recorded
    }
    for name, digest in recorded:
        assert sha256((folder / name).read_bytes()).hexdigest() == digest, name
