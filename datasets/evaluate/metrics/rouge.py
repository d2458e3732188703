"""ROUGE-N and ROUGE-L as F-measures (Lin 2004)."""

import re

from rapidfuzz.distance import LCSseq

from datasets.evaluate.metrics.ngrams import ngrams

_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Runs of letters and digits, in lower case; on ASCII text the tokens of the rouge-score package."""
    return _WORD.findall(text.lower())


def rouge_n(text: str, reference: str, order: int) -> float:
    """Balance of how many n-grams of each text the other one has."""
    have, want = ngrams(words(text), order), ngrams(words(reference), order)
    return _f_measure((have & want).total(), have.total(), want.total())


def rouge_l(text: str, reference: str) -> float:
    """The same for the longest common subsequence of words, which rewards keeping their order."""
    have, want = words(text), words(reference)
    return _f_measure(LCSseq.similarity(have, want), len(have), len(want))


def _f_measure(shared: int, have: int, want: int) -> float:
    if not shared:
        return 0.0
    precision, recall = shared / have, shared / want
    return 2 * precision * recall / (precision + recall)
