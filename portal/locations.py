"""Where processes of one site meet: a folder whose socket paths fit the system's limit."""

import hashlib
import os
import tempfile
from pathlib import Path

SOCKET_PATH_LIMIT = 100  # the system allows 104 to 108 bytes, the terminating zero included


def runtime_folder(data_dir: Path) -> Path:
    """The folder for sockets of the site in `data_dir`: inside it where the path is short enough.

    The name depends on `data_dir` alone, so that a second terminal finds the same broker.
    """
    inside = data_dir / "run"
    if len(os.fsencode(inside / "broker.sock")) <= SOCKET_PATH_LIMIT:
        return inside
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"portal-{os.getuid()}-{digest}"


def make_private(folder: Path) -> Path:
    """Create `folder` for this account alone, or refuse a folder that belongs to somebody else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another account")
    if status.st_mode & 0o077:
        folder.chmod(0o700)
    return folder
