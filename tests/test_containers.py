"""Dockerfile and compose.yaml name only what exists here; whether an image builds is not tested."""

import re
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import load_command_class

COMPOSE: dict[str, Any] = yaml.safe_load((settings.BASE_DIR / "compose.yaml").read_text())
DOCKERFILE = (settings.BASE_DIR / "Dockerfile").read_text()
OURS = [name for name, service in COMPOSE["services"].items() if "build" in service]


def commands() -> list[list[str]]:
    found = [COMPOSE["services"][name]["command"] for name in OURS]
    default = re.search(r"^CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    assert default is not None
    return [*found, re.findall(r'"([^"]+)"', default[1])]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_the_commands_of_the_containers_exist(command: list[str]) -> None:
    assert command[:2] == ["python", "manage.py"]
    name, *arguments = command[2:]
    parser = load_command_class("portal", name).create_parser("manage.py", name)
    parser.parse_args(arguments)


def test_the_containers_set_only_settings_that_are_read() -> None:
    source = (settings.BASE_DIR / "portal" / "settings.py").read_text()
    for name in OURS:
        for variable in COMPOSE["services"][name]["environment"]:
            assert f'"{variable}"' in source, variable


def test_the_image_copies_only_what_is_here() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert copied
    for source in " ".join(copied).split():
        assert (settings.BASE_DIR / source).exists(), source


def test_one_service_alone_migrates_and_keeps_the_schedule() -> None:
    with_schedule = [name for name in OURS if "--no-beat" not in COMPOSE["services"][name]["command"]]
    with_migrations = [name for name in OURS if "--no-migrate" not in COMPOSE["services"][name]["command"]]
    assert with_schedule == with_migrations == ["web"]
