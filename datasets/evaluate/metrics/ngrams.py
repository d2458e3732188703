"""BLEU and GLEU, and the tokens they count."""

import re
from collections import Counter
from collections.abc import Sequence
from math import exp, log

MAX_ORDER = 4
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
# The rules of NIST's mteval-v13a: ASCII symbols stand alone; a full stop or comma stays inside a number; a
# dash stays in its word unless it follows a digit.
_RULES = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def tokens_13a(text: str) -> list[str]:
    """Tokens as machine translation is scored by: mteval-v13a."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    text = f" {text} "
    for rule, replacement in _RULES:
        text = rule.sub(replacement, text)
    return text.split()


def ngrams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(order)), strict=False))


def bleu(text: str, reference: str) -> float:
    """Sentence BLEU: geometric mean of n-gram precisions times a penalty for being short.

    An order without a match counts as half, a quarter … of a match; orders longer than the text are left out.
    """
    have, want = tokens_13a(text), tokens_13a(reference)
    logs: list[float] = []
    any_match = False
    halved = 1.0
    for order in range(1, MAX_ORDER + 1):
        total = len(have) - order + 1
        if total <= 0:
            break
        matches = (ngrams(have, order) & ngrams(want, order)).total()
        any_match = any_match or matches > 0
        if not matches:
            halved *= 2
        logs.append(log((matches or 1 / halved) / total))
    if not any_match:
        return 0.0
    brevity = 1.0 if len(have) >= len(want) else exp(1 - len(want) / len(have))
    return min(1.0, brevity * exp(sum(logs) / len(logs)))


def gleu(text: str, reference: str) -> float:
    """Google-BLEU (Wu et al. 2016): the lesser of precision and recall over all 1 to 4-grams."""
    have, want = tokens_13a(text), tokens_13a(reference)
    matches = ours = theirs = 0
    for order in range(1, MAX_ORDER + 1):
        matches += (ngrams(have, order) & ngrams(want, order)).total()
        ours += max(0, len(have) - order + 1)
        theirs += max(0, len(want) - order + 1)
    longest = max(ours, theirs)
    return matches / longest if longest else 0.0
