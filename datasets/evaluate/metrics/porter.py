"""Porter's stemmer (1980) with the later departures that NLTK makes, so that METEOR agrees with it.

https://tartarus.org/martin/PorterStemmer/def.txt
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

# Words whose stem the rules would get wrong.
_IRREGULAR = {
    "sky": "sky",
    "skies": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "news": "news",
    "innings": "inning",
    "inning": "inning",
    "outings": "outing",
    "outing": "outing",
    "cannings": "canning",
    "canning": "canning",
    "howe": "howe",
    "proceed": "proceed",
    "exceed": "exceed",
    "succeed": "succeed",
}

Test = Callable[[str], bool]
Rule = tuple[str, str, Test]


def _shape(word: str) -> str:
    """The word as c and v. Walked forwards: a run of a thousand y would exhaust recursion."""
    shape: list[str] = []
    for letter in word:
        if letter == "y":
            shape.append("v" if shape and shape[-1] == "c" else "c")
        else:
            shape.append("v" if letter in "aeiou" else "c")
    return "".join(shape)


def _measure(stem: str) -> int:
    """Porter's m: how often a vowel is followed by a consonant."""
    return _shape(stem).count("vc")


def _positive(stem: str) -> bool:
    return _measure(stem) > 0


def _long(stem: str) -> bool:
    return _measure(stem) > 1


def _ends_cvc(word: str) -> bool:
    shape = _shape(word)
    if len(word) == 2:
        return shape == "vc"
    return shape.endswith("cvc") and word[-1] not in "wxy"


def _double_consonant(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _apply(word: str, rules: Sequence[Rule]) -> str:
    """The first rule whose ending fits decides, whether or not its condition holds."""
    for ending, replacement, test in rules:
        if word.endswith(ending):
            base = word[: len(word) - len(ending)]
            return base + replacement if test(base) else word
    return word


def _always(_stem: str) -> bool:
    return True


_PLURALS: Sequence[Rule] = (
    ("sses", "ss", _always),
    ("ies", "i", _always),
    ("ss", "ss", _always),
    ("s", "", _always),
)
_SECOND: Sequence[Rule] = tuple(
    (ending, replacement, _positive)
    for ending, replacement in (
        ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"),
        ("bli", "ble"), ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"),
        ("ization", "ize"), ("ation", "ate"), ("ator", "ate"), ("alism", "al"), ("iveness", "ive"),
        ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"),
        ("fulli", "ful"),
    )
)  # fmt: skip
_THIRD: Sequence[Rule] = tuple(
    (ending, replacement, _positive)
    for ending, replacement in (
        ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"),
        ("ful", ""), ("ness", ""),
    )
)  # fmt: skip
_FOURTH: Sequence[Rule] = (
    *((ending, "", _long) for ending in ("al", "ance", "ence", "er", "ic", "able", "ible", "ant")),
    *((ending, "", _long) for ending in ("ement", "ment", "ent")),
    ("ion", "", lambda stem: _long(stem) and stem[-1] in "st"),
    *((ending, "", _long) for ending in ("ou", "ism", "ate", "iti", "ous", "ive", "ize")),
)


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """The stem of a lower-case word."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    for step in (_plural, _past, _final_y, _second, _third, _fourth, _final_e, _final_l):
        word = step(word)
    return word


def _plural(word: str) -> str:
    if word.endswith("ies") and len(word) == 4:
        return word[:-1]
    return _apply(word, _PLURALS)


def _past(word: str) -> str:
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _positive(word[:-3]) else word
    ending = next((ending for ending in ("ed", "ing") if word.endswith(ending)), "")
    base = word.removesuffix(ending)
    if not ending or "v" not in _shape(base):
        return word
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if _double_consonant(base):
        return base if base[-1] in "lsz" else base[:-1]
    return base + "e" if _measure(base) == 1 and _ends_cvc(base) else base


def _final_y(word: str) -> str:
    base = word[:-1]
    return base + "i" if word.endswith("y") and len(base) > 1 and _shape(base)[-1] == "c" else word


def _second(word: str) -> str:
    if word.endswith("alli") and _positive(word[:-4]):
        return _second(word[:-2])
    if word.endswith("logi"):
        return word[:-1] if _positive(word[:-3]) else word
    return _apply(word, _SECOND)


def _third(word: str) -> str:
    return _apply(word, _THIRD)


def _fourth(word: str) -> str:
    return _apply(word, _FOURTH)


def _final_e(word: str) -> str:
    base = word[:-1]
    if word.endswith("e") and (_measure(base) > 1 or (_measure(base) == 1 and not _ends_cvc(base))):
        return base
    return word


def _final_l(word: str) -> str:
    return word[:-1] if word.endswith("ll") and _long(word[:-1]) else word
