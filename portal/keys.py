"""Secrets from the environment, from a file, or made once for the embedded site."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.core.exceptions import ImproperlyConfigured


def given(name: str, environment: Mapping[str, str]) -> str:
    """The value of NAME, or the content of the file that NAME_FILE names, or an empty string."""
    if value := environment.get(name):
        return value
    if path := environment.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error}") from error
    return ""


def made_once(path: Path, make: Callable[[], str]) -> str:
    """The secret in `path`, created with mode 0600 by whichever process comes first.

    The text is complete before it gets its name, and a hard link refuses to replace a file, so two
    processes that start together agree on one secret.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, encoding="utf-8") as draft:  # created with mode 0600
            draft.write(make())
            draft.flush()
            os.fsync(draft.fileno())
            try:
                os.link(draft.name, path)
            except FileExistsError:
                pass
    return path.read_text(encoding="utf-8").strip()
