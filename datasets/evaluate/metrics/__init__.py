"""How alike two texts are, from 0 to 1, under the names of OpenAI's `text_similarity` grader.

Each metric follows one public implementation, named in FOLLOWS, and agrees with it on a thousand pairs in the
tests.
"""

from collections.abc import Callable, Mapping

from rapidfuzz import fuzz

from datasets.evaluate.metrics.meteor import meteor
from datasets.evaluate.metrics.ngrams import bleu, gleu
from datasets.evaluate.metrics.rouge import rouge_l, rouge_n

# Comparing is quadratic in length; at this size the slowest metric takes a fraction of a second.
MAX_CHARS = 100_000


class TooLong(ValueError):
    """A text longer than MAX_CHARS."""


def fuzzy_match(text: str, reference: str) -> float:
    """Normalised similarity by insertions and deletions of characters."""
    return float(fuzz.ratio(text, reference)) / 100


def _rouge(order: int) -> Callable[[str, str], float]:
    return lambda text, reference: rouge_n(text, reference, order)


METRICS: Mapping[str, Callable[[str, str], float]] = {
    "fuzzy_match": fuzzy_match,
    "bleu": bleu,
    "gleu": gleu,
    "meteor": meteor,
    "rouge_1": _rouge(1),
    "rouge_2": _rouge(2),
    "rouge_3": _rouge(3),
    "rouge_4": _rouge(4),
    "rouge_5": _rouge(5),
    "rouge_l": rouge_l,
}

_ROUGE = "rouge-score, F-measure without stemming; letters of every script are words"
FOLLOWS: Mapping[str, str] = {
    "fuzzy_match": "RapidFuzz `fuzz.ratio`, divided by 100",
    "bleu": "sacreBLEU sentence BLEU (tokens 13a, exponential smoothing, effective order), divided by 100",
    "gleu": "NLTK `sentence_gleu` (1 to 4-grams) on 13a tokens",
    "meteor": "NLTK `meteor_score` on 13a tokens, exact and stem matches; no synonyms",
    **{f"rouge_{order}": _ROUGE for order in ("1", "2", "3", "4", "5", "l")},
}


def similarity(metric: str, text: str, reference: str) -> float:
    """Score of `text` against `reference`. Raises TooLong instead of stalling a worker."""
    for name, value in (("answer", text), ("reference", reference)):
        if len(value) > MAX_CHARS:
            raise TooLong(f"The {name} has {len(value):,} characters; at most {MAX_CHARS:,} can be compared.")
    return METRICS[metric](text, reference)
