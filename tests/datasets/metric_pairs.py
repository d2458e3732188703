"""A thousand pairs of texts, the same on every machine: only `Random.random` is promised never to change."""

from random import Random

PAIRS = 1000


def _words(text: str) -> list[str]:
    return text.split(" ")


_ROOTS = _words(
    "relat condit valen hesit digit conform radic differ vile analog vietnam oper feudal decis hope "
    "callous formal sensit sensib triplic format electr good reviv allow infer airlin adjust replac "
    "depend adopt homolog commun activ angular effect bowdler prob rat cease control roll hop tann "
    "fall hiss fizz fail fil happ sk plaster bled motor sing agre feed caress pon tie cat conflat "
    "troubl siz archae general oscillat stat fluent tim quick brown fox jump ov lazy dog copy carry "
    "de di fl pol str en try say play employ toy syzyg psych rhyth ski univers"
)
_ENDINGS = _words(
    "e ed ing s es ies y ly ation ational tional ator izer ization alism iveness fulness ousness "
    "aliti iviti biliti icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement "
    "ment ent ion sion ou ism ate iti ous ive ize ied eed ying ll lly ally fully logy logi bli ss"
)
_OTHERS = _words(
    "the a of to and in is that it for skies dying lying tying news innings outings proceed exceed "
    "succeed I'm don't 3.14 1,000 42 2024-05-01 -5 10-20 C++ f(x) a_b user@example.org "
    "http://a.example/b?c=d&e=f &amp; &quot;so&quot; “quoted” naïve Ärger straße Привет мир 東京 データ "
    "café ½ e\u0301 🙂 — … <b> </b> <skipped> {x: [1]} 100% #1 $5 ~ end. end, end-\nline two\nlines "
    "tab\tbed yyyyy"
)


def pairs(seed: int = 20) -> list[tuple[str, str]]:
    """(answer, reference): edited copies, shuffled copies, strangers, equal and empty ones."""
    draw = Random(seed)

    def below(limit: int) -> int:
        return int(draw.random() * limit)

    def word() -> str:
        if draw.random() < 0.35:
            return _OTHERS[below(len(_OTHERS))]
        made = _ROOTS[below(len(_ROOTS))] + (_ENDINGS[below(len(_ENDINGS))] if draw.random() < 0.8 else "")
        return made.capitalize() if draw.random() < 0.1 else made

    def edited(words: list[str], amount: float) -> list[str]:
        changed: list[str] = []
        for original in words:
            chance = draw.random() / amount
            if chance < 0.25:
                continue
            changed.append(word() if chance < 0.5 else original)
            if chance > 0.75 and chance < 1:
                changed.append(changed[-1] if draw.random() < 0.3 else word())
        if draw.random() < 0.3 and changed:
            cut = below(len(changed))
            changed = changed[cut:] + changed[:cut]
        return changed

    made = [("", ""), ("", "a reference"), ("an answer", ""), ("same", "same"), ("?!", "?!"), ("a", "a b")]
    while len(made) < PAIRS:
        reference = [word() for _ in range(1 + below(40))]
        kind = draw.random()
        if kind < 0.08:
            answer = reference
        elif kind < 0.2:
            answer = [word() for _ in range(below(40))]
        else:
            answer = edited(reference, 0.1 + 0.9 * draw.random())
        made.append((" ".join(answer), " ".join(reference)))
    return made
