"""Readings to measure with: made up by number, the same on every machine, as large as real ones.

Row `n` of a connection is the same however many are asked for, but for what marks the oldest tenth, which
depends on `total`. Rows are numbered from the oldest. Every text is pseudo-words in a Zipf distribution with
marker words of known shares among them.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from completions.conversation import PREVIEW_CHARS, Texts
from completions.readings import Reading, digest_of

SEED = 20_261_120
FIRST_CREATED = 1_700_000_000
SECONDS_APART = 29
_BLOCK = 1024  # rows that are drawn together
_WORDS = 700  # drawn for each row, of which it takes what it needs
_VOCABULARY = 50_000
_QUANTILES = 2**19

# Word -> the share of all rows whose answer holds it. `OLD_WORD` stands in four of five of the oldest tenth.
MARKERS: Mapping[str, float] = {
    "everyrow": 1.0,
    "halfrow": 0.5,
    "tenthrow": 0.1,
    "hundredthrow": 0.01,
    "rarestrow": 0.0001,
}
OLD_WORD, OLD_SHARE = "longagorow", 0.8
PHRASE, PHRASE_SHARE = "rotate the signing key", 0.02
# Metadata pair -> the share of rows that hold it. `OLD_PAIR` is held by exactly the oldest tenth.
PAIRS: Mapping[tuple[str, str], float] = {
    ("env", "prod"): 0.5,
    ("category", "billing"): 0.01,
    ("tier", "founder"): 0.0001,
}
OLD_PAIR = ("era", "old")
ROWS_OF_A_SESSION = 10
MODELS = ("gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "gpt-4.1-2025-04-14", "o4-mini-2025-04-16")
TOOLS = ("search_orders", "look_up_account", "get_weather", "create_ticket")
_CATEGORIES = ("defect", "question", "praise", "shipping", "returns", "access", "other")
_LANGUAGES = ("en", "en", "en", "en", "de", "fr", "es", "ja", "und", "en")
_FORMATS = ("", "", "", "text", "json_object", "json_schema")
_TEMPERATURES = (0.0, 0.2, 0.7, 1.0)
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Made:
    """An item of a list, the page of its messages, and the reading of both."""

    item: bytes
    page: bytes
    reading: Reading


def readings(
    count: int, start: int = 0, connection_number: int = 0, *, total: int | None = None
) -> Iterator[Reading]:
    """The readings of rows `start` to `start + count`; the oldest tenth is that of `total` rows."""
    return (made.reading for made in rows(count, start, connection_number, total=total))


def rows(
    count: int, start: int = 0, connection_number: int = 0, *, total: int | None = None
) -> Iterator[Made]:
    """The same, with what upstream would have sent."""
    old_until = (start + count if total is None else total) // 10
    for block in range(start // _BLOCK, -(-(start + count) // _BLOCK)):
        drawn = _drawn(connection_number, block)
        first = block * _BLOCK
        for number in range(max(start, first), min(start + count, first + _BLOCK)):
            yield _made(number, connection_number, drawn, number < old_until)


def share(number: int, salt: int) -> float:
    """A number from 0 to 1 for a row, spread evenly: below p for a share p of any stretch of rows."""
    return ((number + salt * 7919) * _GOLDEN * (1 + 2 * salt)) % 1.0


@dataclass(frozen=True, slots=True)
class _Drawn:
    words: list[list[int]]
    dice: list[list[int]]


def _drawn(connection_number: int, block: int) -> _Drawn:
    random = np.random.default_rng((SEED, connection_number, block))
    words = random.integers(0, _QUANTILES, (_BLOCK, _WORDS), dtype=np.uint32).tolist()
    return _Drawn(words, random.integers(0, 2**31, (_BLOCK, 8)).tolist())


@cache
def _quantiles() -> tuple[str, ...]:
    """The vocabulary with each word as often as it is drawn."""
    weights = 1.0 / (np.arange(_VOCABULARY) + 2.7)
    edges = np.cumsum(weights) / weights.sum()
    ranks = np.searchsorted(edges, (np.arange(_QUANTILES) + 0.5) / _QUANTILES).tolist()
    vocabulary = _vocabulary()
    return tuple(vocabulary[rank] for rank in ranks)


@cache
def _vocabulary() -> tuple[str, ...]:
    """Frequent words are short, as in every language."""
    consonants, vowels = "bdfgklmnprstvz", "aeiou"
    syllables = [c + v for c in consonants for v in vowels]
    made: dict[str, None] = {}
    for rank in range(_VOCABULARY * 2):
        word, rest = "", rank
        for _ in range(1 + (rank > 60) + (rank > 900) + (rank > 12_000)):
            rest, syllable = divmod(rest, len(syllables))
            word += syllables[(syllable * 37 + rank) % len(syllables)]
        made[word + ("" if word not in made else syllables[rank % 70] + str(rank))] = None
    return tuple(made)[:_VOCABULARY]


def _made(number: int, connection_number: int, drawn: _Drawn, old: bool) -> Made:
    place = number % _BLOCK
    dice = drawn.dice[place]
    turns = 1 + dice[0] % 2
    prompt_words = 350 + dice[1] % 100
    words = list(map(_quantiles().__getitem__, drawn.words[place]))
    marks = [word for salt, (word, p) in enumerate(MARKERS.items()) if p == 1 or share(number, salt) < p]
    if old and dice[2] % 100 < OLD_SHARE * 100:
        marks.append(OLD_WORD)
    if share(number, 11) < PHRASE_SHARE:
        marks.append(PHRASE)
    asked = [
        " ".join(words[turn * prompt_words // turns : (turn + 1) * prompt_words // turns])
        for turn in range(turns)
    ]
    answer = " ".join(words[prompt_words : prompt_words + 190 + dice[3] % 50]) + " " + " ".join(marks) + "."
    tool = TOOLS[dice[4] % len(TOOLS)] if dice[4] % 10 == 0 or dice[5] % 40 == 0 else ""
    return _written(number, connection_number, old, asked, answer, tool, dice)


def _written(
    number: int,
    connection_number: int,
    old: bool,
    asked: list[str],
    answer: str,
    tool: str,
    dice: list[int],
) -> Made:
    system = f"You are assistant number {dice[0] % 7}."
    messages = [f'{{"role":"system","content":"{system}"}}']
    prompt_pieces = []
    for turn, text in enumerate(asked):
        if turn and tool:
            messages.append(
                f'{{"role":"assistant","content":null,"tool_calls":[{{"id":"t","type":"function","function":'
                f'{{"name":"{tool}","arguments":"{{}}"}}}}]}}'
            )
            messages.append('{"role":"tool","tool_call_id":"t","content":"done"}')
            prompt_pieces += [f"{tool} {{}}", "done"]
        messages.append(f'{{"role":"user","content":"{text}"}}')
        prompt_pieces.append(text)
    called = bool(tool) and len(asked) > 1
    identity = f"chatcmpl-{connection_number:02d}{number:012d}"
    created = FIRST_CREATED + number // 3 * 3 * SECONDS_APART + connection_number
    model = MODELS[dice[5] % 10 // 3]
    metadata = {
        "env": "prod" if share(number, 21) < 0.5 else ("staging", "dev", "test")[dice[6] % 3],
        "category": "billing" if share(number, 22) < 0.01 else _CATEGORIES[dice[6] % len(_CATEGORIES)],
        "tier": "founder" if share(number, 23) < 0.0001 else ("free", "team", "business")[dice[7] % 3],
        "era": "old" if old else "new",
        "session": f"s{connection_number}-{number // ROWS_OF_A_SESSION}",
    }
    finish = "stop" if dice[7] % 20 else "length"
    temperature = _TEMPERATURES[dice[6] % 4]
    form = _FORMATS[dice[7] % len(_FORMATS)]
    prompt = "\n\n".join(prompt_pieces)
    tokens = (len(prompt) // 4, len(answer) // 4)
    pairs = ",".join(f'"{key}":"{value}"' for key, value in metadata.items())
    sent_format = f'{{"type":"{form}"}}' if form else "null"
    item = (
        f'{{"id":"{identity}","created":{created},"model":"{model}","request_id":"r{identity}",'
        f'"metadata":{{{pairs}}},"temperature":{temperature},"response_format":{sent_format},'
        f'"usage":{{"prompt_tokens":{tokens[0]},"completion_tokens":{tokens[1]},"total_tokens":{sum(tokens)}}},'
        f'"choices":[{{"index":0,"message":{{"role":"assistant","content":"{answer}"}},'
        f'"finish_reason":"{finish}"}}]}}'
    ).encode()
    page = f'{{"object":"list","data":[{",".join(messages)}],"has_more":false}}'.encode()
    columns = {
        "created": created,
        "model": model,
        "prompt_preview": asked[-1][:PREVIEW_CHARS],
        "answer_preview": answer[:PREVIEW_CHARS],
        "metadata": metadata,
        "prompt_tokens": tokens[0],
        "completion_tokens": tokens[1],
        "total_tokens": sum(tokens),
        "finish_reason": finish,
        "request_id": f"r{identity}",
        "turns": len(asked),
        "tool_calls": int(called),
        "has_image": False,
        "refused": False,
        "answer_length": len(answer),
        "language": _LANGUAGES[dice[5] % 10],
        "temperature": temperature,
        "response_format": form,
        "answer_is_json": False,
        "tools": [tool] if called else [],
        "messages_state": "ok",
        "flags": [],
        "digest": digest_of(item),
    }
    texts = Texts(system, prompt, answer)
    return Made(item, page, Reading(identity, columns, texts, item, _packed(item, page), True))


def _packed(item: bytes, page: bytes) -> bytes:
    """As `raw.pack` lays it out, in a quarter of its time: these bytes are not there to be small."""
    header = b'{"item": %d, "pages": [%d]}\n' % (len(item), len(page))
    return zlib.compress(header + item + page, 1)
