"""Static files with the hash of their content in the name, collected only when a source has changed."""

import hashlib
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from whitenoise.storage import CompressedManifestStaticFilesStorage

MARK = ".collected"


class HashedStaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # whitenoise has no types
    """Hashes the imports of our ES modules too, so that no module loads under two names.

    Ours alone: scripts of other packages mention files in their comments that they do not ship.
    """

    patterns = (
        *CompressedManifestStaticFilesStorage.patterns,
        ("js/*.js", CompressedManifestStaticFilesStorage._js_module_import_aggregation_patterns[1]),
    )


def fingerprint() -> str:
    """Changes whenever a source file is added, removed or edited."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list([]):
            digest.update(name.encode())
            digest.update(Path(storage.path(name)).read_bytes())
    return digest.hexdigest()


def collect_if_changed() -> bool:
    """Bring STATIC_ROOT up to date; returns whether there was something to do."""
    if not settings.STATIC_HASHED:
        return False
    mark, now = Path(settings.STATIC_ROOT) / MARK, fingerprint()
    if mark.exists() and mark.read_text() == now:
        return False
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    mark.write_text(now)
    return True
