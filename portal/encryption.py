"""Encrypted text column for credentials: write-only for people, read only by the code that calls upstream."""

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class SecretUnreadable(Exception):
    """The stored secret was encrypted with a key that FIELD_KEYS no longer holds."""


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def cipher() -> MultiFernet:
    """The cipher of FIELD_KEYS: the first key encrypts, every key decrypts."""
    return _cipher(tuple(settings.FIELD_KEYS))


class EncryptedTextField(models.TextField[str, str]):
    """Text encrypted with FIELD_KEYS before it reaches the database; empty text stays empty.

    Equality look-ups make no sense on it (each encryption differs) and are refused.
    """

    def get_prep_value(self, value: Any) -> Any:
        if not value:
            return ""
        return cipher().encrypt(str(value).encode()).decode()

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str:
        if not value:
            return ""
        try:
            return cipher().decrypt(value.encode()).decode()
        except InvalidToken as error:
            raise SecretUnreadable("FIELD_KEYS no longer holds the key of this secret") from error

    def value_to_string(self, obj: models.Model) -> str:
        """Nothing: a dump of the data is no place for a secret."""
        return ""

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise TypeError(f"an encrypted field cannot be looked up with {lookup_name!r}")
        return super().get_lookup(lookup_name)
