"""The provider's own tokenizer, where the package and the file of its vocabulary are on this machine.

Nothing is ever downloaded: without the file in TIKTOKEN_CACHE_DIR there is no exact count.
https://github.com/openai/tiktoken
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

_URL: Final = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
# The package fetches a file anew that differs from what it expects, so only these are handed to it.
_SHA256: Final = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
_OLDER: Final = ("gpt-4-", "gpt-35", "gpt-3.5")
_NEWER: Final = ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "chatgpt-4o", "o1", "o3", "o4")


def encoding_of(model: str) -> str:
    """The name of the model's vocabulary; "" for models of others."""
    model = model.removeprefix("ft:")
    if model == "gpt-4" or model.startswith(_OLDER):
        return "cl100k_base"
    return "o200k_base" if model.startswith(_NEWER) else ""


def counter_of(model: str) -> Callable[[str], int] | None:
    """What counts the tokens of a text exactly as the model does; None where this machine cannot."""
    name = encoding_of(model)
    return _counter(name, os.environ.get("TIKTOKEN_CACHE_DIR", "")) if name else None


@cache
def _counter(name: str, folder: str) -> Callable[[str], int] | None:
    if not is_present(name, folder) or find_spec("tiktoken") is None:
        return None
    import tiktoken

    encoding: Any = tiktoken.get_encoding(name)
    return lambda text: len(encoding.encode_ordinary(text))


def is_present(name: str, folder: str) -> bool:
    """Whether the folder has the vocabulary, whole and unchanged."""
    if not folder:
        return False
    path = Path(folder) / hashlib.sha1(_URL.format(name).encode(), usedforsecurity=False).hexdigest()
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == _SHA256[name]
    except OSError:
        return False
