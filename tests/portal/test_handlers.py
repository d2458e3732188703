"""A worker knows every kind of work, whichever page began it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ("portal", "completions", "datasets")


def test_a_process_without_pages_knows_every_module_with_a_handler() -> None:
    found = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        if "\n@operations.handler(" in path.read_text()
    ]
    assert len(found) > 10
    # As a worker begins; looking at the addresses would load the pages too.
    apps = ", ".join(f"{app}.tasks" for app in APPS)
    code = f"import django, json, sys; django.setup(); import {apps}; print(json.dumps([*sys.modules]))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    missing = [name for name in found if f'"{name}"' not in said.stdout]
    assert not missing
