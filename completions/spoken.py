"""The language that a text is written in, told without any network: an ISO 639-1 code, or `und`.

Short, mixed and unclear texts are `und`: a filter by language may miss a row, it should not show a wrong one.
"""

import re
from collections.abc import Iterable
from functools import cache
from threading import Lock
from typing import Any

UNKNOWN = "und"
SURE = 0.6  # below it the answers are mostly wrong
LEAST_BYTES = 16  # of UTF-8: about three words, or five characters of Chinese
SAMPLE_CHARS = 160  # more of them cost time and change no verdict
_LOOKED_AT = 2_000  # within which code and addresses are skipped to find a sample
_MARKUP = ("`", "://", "<")
# Fenced code, addresses, tags and runs without a letter say nothing about a language.
_NO_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\bhttps?://\S+|<[^<>\n]{1,200}>|[\d\W_]{4,}", re.DOTALL)
_BROKEN = re.compile("[\x00\ud800-\udfff]")
_loading = Lock()


def language(text: str) -> str:
    """The language of a text, as far as its beginning tells."""
    beginning = text[:_LOOKED_AT]
    if not any(mark in beginning for mark in _MARKUP):
        beginning = beginning[: SAMPLE_CHARS * 3]
    if len(beginning.encode("utf-8", "replace")) < LEAST_BYTES:
        return UNKNOWN
    sample = _NO_PROSE.sub(" ", beginning)[:SAMPLE_CHARS].strip()
    if _BROKEN.search(sample):
        sample = _BROKEN.sub(" ", sample)
    if len(sample.encode()) < LEAST_BYTES:
        return UNKNOWN
    with _loading:  # threads that read answers meet here once
        model = _model()
    code, sure = model.classify(sample)
    return str(code) if sure >= SURE and len(code) == 2 else UNKNOWN


def strings(value: Any, most: int = _LOOKED_AT) -> str:
    """The texts inside a JSON value, one to a line: what is written in it in some language."""
    found: list[str] = []
    size = 0
    waiting: list[Iterable[Any]] = [iter((value,))]
    while waiting and size < most:
        for one in waiting[-1]:
            if isinstance(one, str):
                found.append(one)
                size += len(one) + 1
            elif isinstance(one, dict | list):
                waiting.append(iter(one.values() if isinstance(one, dict) else one))
            if size >= most or isinstance(one, dict | list):
                break
        else:
            waiting.pop()
    return "\n".join(found)


@cache
def _model() -> Any:
    """The model, read on first use: it costs most of a second and some 75 MB."""
    import numpy as np
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    whole = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Those with a two-letter code, and the class of texts in no language at all.
    whole.set_languages([code for code in whole.labels if len(code) == 2 or code == "zxx"])
    # Row after row and in numbers that need no conversion, which nearly halves the time of an answer.
    table = np.ascontiguousarray(whole.nb_ptc, dtype=np.float32)
    return LanguageIdentifier(
        table, whole.nb_pc, whole.nb_classes, whole.tk_nextmove, whole.tk_output, True, tk_row=whole.tk_row
    )
