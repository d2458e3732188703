"""METEOR with its exact and stem stages (Banerjee and Lavie 2005); synonyms would need a dictionary."""

from collections import defaultdict
from itertools import pairwise

from datasets.evaluate.metrics.ngrams import tokens_13a
from datasets.evaluate.metrics.porter import stem

# Weights of the paper as NLTK has them by default.
ALPHA, BETA, GAMMA = 0.9, 3, 0.5


def meteor(text: str, reference: str) -> float:
    """Weighted mean of precision and recall (recall nine times), less a penalty for scattered matches."""
    have = [token.lower() for token in tokens_13a(text)]
    want = [token.lower() for token in tokens_13a(reference)]
    pairs = _align(have, want)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(have), len(pairs) / len(want)
    mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    breaks = sum(
        (later[0] - earlier[0], later[1] - earlier[1]) != (1, 1) for earlier, later in pairwise(pairs)
    )
    penalty = GAMMA * float((breaks + 1) / len(pairs)) ** BETA
    return (1 - penalty) * mean


def _align(have: list[str], want: list[str]) -> list[tuple[int, int]]:
    """Pairs of positions, each used once: first equal words, then equal stems, from the end backwards."""
    pairs, left, right = _match(list(enumerate(have)), list(enumerate(want)))
    stemmed, _, _ = _match([(at, stem(word)) for at, word in left], [(at, stem(word)) for at, word in right])
    return sorted(pairs + stemmed)


_Places = list[tuple[int, str]]


def _match(have: _Places, want: _Places) -> tuple[list[tuple[int, int]], _Places, _Places]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for at, word in want:
        places[word].append(at)
    pairs: list[tuple[int, int]] = []
    unmatched: _Places = []
    for at, word in reversed(have):
        if places.get(word):
            pairs.append((at, places[word].pop()))
        else:
            unmatched.append((at, word))
    taken = {other for _, other in pairs}
    return pairs, unmatched[::-1], [(at, word) for at, word in want if at not in taken]
