"""A worker knows every kind of work, whichever page began it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_process_without_pages_knows_every_module_with_a_handler() -> None:
    found = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for app in ("portal", "completions", "datasets")
        for path in (ROOT / app).rglob("*.py")
        if "\n@operations.handler(" in path.read_text()
    ]
    assert len(found) > 10
    code = (
        "import django, json, sys; django.setup(); from portal.celery import app;"
        " app.loader.import_default_modules(); print(json.dumps([*sys.modules]))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    missing = [name for name in found if f'"{name}"' not in said.stdout]
    assert not missing
