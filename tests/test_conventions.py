"""What holds everywhere, checked everywhere: imports, templates, addresses, settings."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

ROOT = settings.BASE_DIR
APPS = ("portal", "completions", "datasets")
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
MODULES = sorted(
    path
    for app in APPS
    for path in (ROOT / app).rglob("*.py")
    if not {"migrations", "sandbox"} & set(path.relative_to(ROOT).parts[:-1])
)
# The web layer: what may know requests, views, forms and tasks.
WEB = re.compile(
    r"(^|\.)(\w*views|\w*urls|\w*forms|admin|htmx|headers|health|accounts|permissions|templatetags|apps|management)(\.|$)"
)
OPEN_TO_STRANGERS = re.compile(r"^/(healthz|readyz|favicon.ico|accounts/.*|admin/login/|admin/jsi18n/)$")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def patterns() -> list[tuple[str, URLPattern]]:
    """Every address, with something plausible in the place of each parameter."""

    def walk(resolver: URLResolver, before: str) -> Iterator[tuple[str, URLPattern]]:
        for entry in resolver.url_patterns:
            route = before + example(str(entry.pattern))
            if isinstance(entry, URLResolver):
                yield from walk(entry, route)
            else:
                yield route, entry

    return list(walk(get_resolver(), "/"))


def example(route: str) -> str:
    route = re.sub(r"<int:\w+>", "1", route)
    route = re.sub(r"<uuid:\w+>", "00000000-0000-0000-0000-000000000001", route)
    route = re.sub(r"<(?:\w+:)?\w+>", "x", route)
    route = re.sub(r"\(\?P<\w+>[^)]*\)", "x", route)
    return route.replace("^", "").replace("$", "").replace("\\Z", "").replace("\\", "")


@pytest.mark.parametrize("path", [p for p in MODULES if not WEB.search(name_of(p))], ids=name_of)
def test_domain_modules_know_nothing_of_the_web(path: Path) -> None:
    forbidden = re.compile(
        rf"^(django\.(http|shortcuts|forms)|(?:{'|'.join(APPS)})\.(\w*views|\w*forms|\w*urls|admin))(\.|$)"
    )
    assert [name for name in imports_of(path) if forbidden.match(name)] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_celery_imports_tasks(path: Path) -> None:
    tasks = re.compile(rf"^(?:{'|'.join(APPS)})\.tasks(\.|$)")
    assert [name for name in imports_of(path) if tasks.match(name)] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "helpers", "common", "core", "services", "managers", "mixins", "misc"}
    assert [name_of(path) for path in MODULES if empty & set(name_of(path).split("."))] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_no_template_trusts_text(path: Path) -> None:
    assert re.findall(r"\|\s*safe\b|autoescape off|safeseq", path.read_text()) == []


def test_every_static_file_that_a_template_names_exists() -> None:
    named = {
        name for path in TEMPLATES for name in re.findall(r"{% static ['\"]([^'\"]+)['\"]", path.read_text())
    }
    assert sorted(name for name in named if finders.find(name) is None) == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "static" / "js").glob("*.js")), ids=lambda path: str(path.name)
)
def test_a_script_is_short_and_needs_nothing_that_the_policy_forbids(path: Path) -> None:
    text = path.read_text()
    unsafe = r"\beval\(|new Function\(|\.(?:inner|outer)HTML\b|insertAdjacentHTML|document\.write"
    assert re.findall(unsafe, text) == []
    # One behaviour each. A list with its keys, its pointer and its requests in one place needs some 150.
    assert len(text.splitlines()) <= 160


@pytest.mark.parametrize("route", sorted({route for route, _ in patterns()}))
def test_strangers_see_nothing(route: str, client: Client, db: None) -> None:
    if OPEN_TO_STRANGERS.match(route):
        return
    for method in (client.get, client.post):
        answer = method(route)
        assert answer.status_code in (301, 302, 404, 405), f"{route}: {answer.status_code}"
        if answer.status_code in (301, 302):
            assert "/login/" in answer["Location"] or answer["Location"].startswith("/completions/"), route


def test_no_migration_is_missing(db: None) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_every_setting_from_the_environment_is_documented() -> None:
    source = (ROOT / "portal" / "settings.py").read_text()
    read = set(re.findall(r"env\.\w+\(\s*[\"']([A-Z_]+)", source)) | set(
        re.findall(r"given\(\"([A-Z_]+)\"", source)
    )
    table = (ROOT / "docs" / "operating.md").read_text().partition("## Settings")[2]
    names = re.findall(r"^\|([^|]*)\|", table, re.MULTILINE)
    documented = {name for cell in names for name in re.findall(r"`([A-Z_]+)`", cell)}
    assert read == documented


def test_nothing_blank_is_left_for_later() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX)\b|# type: ignore(?!\[)|# noqa(?!:)")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [
            *MODULES,
            *sorted((ROOT / "tests").rglob("*.py")),
            *sorted((ROOT / "portal/sandbox").rglob("*.py")),
        ]
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if unfinished.search(line)
    ]
    assert found == []


def test_a_worker_knows_every_kind_of_work() -> None:
    """A worker loads no view, so whatever registers a kind of work is imported by an app or its tasks."""
    registering = [name_of(path) for path in MODULES if "@operations.handler(" in path.read_text()]
    assert len(registering) > 20
    worker = "import sys, django; django.setup(); import completions.tasks, datasets.tasks, portal.tasks"
    missing = f"print(*sorted(set({registering!r}) - set(sys.modules)))"
    told = subprocess.run(
        [sys.executable, "-c", f"{worker}; {missing}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == []
