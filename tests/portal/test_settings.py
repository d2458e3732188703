"""Settings from the environment: an empty one works, nonsense is refused in words."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings

from portal.keys import made_once
from portal.locations import SOCKET_PATH_LIMIT, make_private, runtime_folder

NAMES = (
    "ALLOWED_HOSTS CSRF_TRUSTED_ORIGINS SESSION_COOKIE_SECURE SESSION_COOKIE_NAME CSRF_COOKIE_SECURE"
    " SECURE_SSL_REDIRECT SECURE_HSTS_SECONDS SECRET_KEY FIELD_KEYS BROKER_URL UPSTREAM_ALLOW DEBUG EMBEDDED"
)
SHOW = (
    "import json; from django.conf import settings as s; d = s.DATABASES['default'];"
    f"print(json.dumps({{n: getattr(s, n) for n in '{NAMES}'.split()}} | {{'engine': d['ENGINE'], 'options':"
    " d.get('OPTIONS', {}), 'cache': s.CACHES['default']['BACKEND'],"
    " 'broker': s.CELERY_BROKER_TRANSPORT_OPTIONS}))"
)
KEYS = {"SECRET_KEY": "s" * 60, "FIELD_KEYS": Fernet.generate_key().decode()}


def start(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "portal.settings"}
    return subprocess.run(
        [sys.executable, "-c", SHOW],
        env=kept | environment,
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


def read(**environment: str) -> dict[str, Any]:
    done = start(environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refusal(**environment: str) -> str:
    done = start(environment)
    assert done.returncode != 0
    return done.stderr


def test_the_embedded_default_needs_nothing_but_a_folder(tmp_path: Path) -> None:
    found = read(DATA_DIR=str(tmp_path / "new"))
    assert found["EMBEDDED"] is True
    assert found["DEBUG"] is False
    assert found["engine"].endswith("sqlite3")
    assert found["options"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in found["options"]["init_command"]
    assert found["BROKER_URL"].endswith("broker.sock")
    assert found["UPSTREAM_ALLOW"] == []


def test_generated_keys_stay_and_are_for_this_account_alone(tmp_path: Path) -> None:
    first, second = (read(DATA_DIR=str(tmp_path / "new")) for _ in range(2))
    assert first["SECRET_KEY"] == second["SECRET_KEY"]
    assert first["FIELD_KEYS"] == second["FIELD_KEYS"]
    Fernet(first["FIELD_KEYS"][0])
    for path in (tmp_path / "new" / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    drafts = iter(range(1000))
    with ThreadPoolExecutor(16) as pool:
        found = list(
            pool.map(lambda _: made_once(tmp_path / "key", lambda: f"key {next(drafts)}"), range(64))
        )
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_database_of_its_own_needs_given_keys(tmp_path: Path) -> None:
    text = refusal(DATA_DIR=str(tmp_path), DATABASE_URL="postgres://portal@db.example/portal")
    assert "SECRET_KEY" in text
    assert "new_keys" in text
    found = read(DATA_DIR=str(tmp_path), DATABASE_URL="postgres://portal@db.example/portal", **KEYS)
    assert found["engine"].endswith("postgresql")
    assert found["EMBEDDED"] is False
    assert not (tmp_path / "keys").exists()


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    assert (
        read(DATA_DIR=str(tmp_path), SECRET_KEY_FILE=str(tmp_path / "secret"))["SECRET_KEY"] == "from a file"
    )
    assert "SECRET_KEY_FILE cannot be read" in refusal(
        DATA_DIR=str(tmp_path), SECRET_KEY_FILE="/no/such/file"
    )


def test_https_turns_on_what_depends_on_it(tmp_path: Path) -> None:
    plain = read(DATA_DIR=str(tmp_path))
    secure = read(DATA_DIR=str(tmp_path), SITE_URL="https://portal.example.com")
    for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS"):
        assert not plain[name]
        assert secure[name]
    assert secure["SESSION_COOKIE_NAME"].startswith("__Host-")
    assert set(secure["ALLOWED_HOSTS"]) == {"portal.example.com", "localhost", "127.0.0.1", "[::1]"}
    assert secure["CSRF_TRUSTED_ORIGINS"] == ["https://portal.example.com"]


@pytest.mark.parametrize(
    "url", ["portal.example.com", "ftp://portal.example.com", "https://portal.example.com/path"]
)
def test_an_address_that_cannot_be_the_sites_is_refused(tmp_path: Path, url: str) -> None:
    assert "SITE_URL must look like" in refusal(DATA_DIR=str(tmp_path), SITE_URL=url)


@pytest.mark.parametrize(
    ("broker", "cache"),
    [("redis://cache.example/0", "RedisCache"), ("filesystem://", "FileBasedCache"), ("", "RedisCache")],
)
def test_every_process_shares_one_cache(tmp_path: Path, broker: str, cache: str) -> None:
    assert read(DATA_DIR=str(tmp_path), BROKER_URL=broker)["cache"].endswith(cache)


def test_the_broker_never_hands_out_a_task_that_may_still_run(tmp_path: Path) -> None:
    options = read(DATA_DIR=str(tmp_path))["broker"]
    assert options["visibility_timeout"] > 120


@pytest.mark.parametrize("length", [10, 200])
def test_the_brokers_socket_fits_the_systems_limit(tmp_path: Path, length: int) -> None:
    folder = tmp_path / ("x" * length)
    assert len(str(runtime_folder(folder) / "broker.sock")) <= SOCKET_PATH_LIMIT
    assert runtime_folder(folder) == runtime_folder(folder)


def test_a_folder_that_others_may_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    assert stat.S_IMODE(make_private(tmp_path / "open").stat().st_mode) == 0o700


def test_a_link_put_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trap").symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        make_private(tmp_path / "trap")
