"""What belongs together: exact duplicates, near-duplicates, and conversations that go on.

Pure: conversations and texts in, keys and arrays out; the same in every process and on every machine.
System prompts of one template are found by completions.prompt_templates.
"""

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from completions.conversation import Conversation, Message
from completions.search.tokens import GAP, words

# Near-duplicates: texts of which so large a share of all runs of SHINGLE words is common to both.
NEAR = 0.8
SHINGLE = 3
# MinHash: BANDS x ROWS smallest hashes. Of pairs at NEAR, 1 of 15,000 shares no band and is missed; of pairs
# at 0.5 half share one, and are told apart by their words.
BANDS, ROWS = 24, 5
SEED = 20_261_120
MOST_CHARS = 200_000  # of one text are compared; what comes after is not looked at
MOST_PREFIXES = 64  # of one conversation, the longest

Hashes = NDArray[np.uint64]
Bands = NDArray[np.uint32]
Pair = tuple[int, int]

_AT_ONCE = 2048  # shingles hashed together, so that the work stays in the processor's cache
_SYSTEM = ("system", "developer")
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_LETTERS = [first + second for first in _BASE32 for second in _BASE32]  # of ten bits
_BLANKS = "\n\r\t\v\f\x1c\x1d\x1e\x1f"  # with the space all that ASCII has
_quoted = json.encoder.encode_basestring_ascii
_SAID = ("text", "refusal")


def _mixed(numbers: Hashes) -> Hashes:
    """Every bit of a number spread over all bits. https://prng.di.unimi.it/splitmix64.c"""
    made = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    made = (made ^ (made >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return made ^ (made >> np.uint64(31))


# What is kept was made with these numbers, so no library draws them that may draw others one day.
_steps = np.arange(1, 1 + 4 * BANDS * ROWS, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
_drawn = _mixed(_steps + np.uint64(SEED))
_odd = _drawn | np.uint64(1)
_ODD = (_odd[: BANDS * ROWS] & np.uint64(0xFFFFFFFF)).astype(np.uint32)[:, None]
_MASK = (_drawn[BANDS * ROWS : 2 * BANDS * ROWS] >> np.uint64(32)).astype(np.uint32)[:, None]
_WITHIN = _odd[2 * BANDS * ROWS : 3 * BANDS * ROWS].reshape(BANDS, ROWS)
_PLACE = _odd[3 * BANDS * ROWS :][:SHINGLE]


# Exact duplicates.


def keys_of(conversation: Conversation) -> list[bytes]:
    """What each message says, and the answer last; empty where either is missing."""
    if conversation.answer is None or conversation.messages is None:
        return []
    return [message_key(message) for message in (*conversation.messages, conversation.answer)]


def exact_key(conversation: Conversation, keys: Sequence[bytes] | None = None) -> str:
    """The same of two conversations that say the same, whatever model answered; "" if nothing is said.

    Spaces and line breaks do not count, nor do ids of tool calls and the order of a call's arguments. `keys`
    are those of `keys_of`, if they are at hand.
    """
    keys = keys_of(conversation) if keys is None else keys
    return key_of(b"".join(keys)) if keys else ""


def key_of(data: bytes) -> str:
    """Sixteen letters and digits that stand for some bytes."""
    number = int.from_bytes(blake2b(data, digest_size=10).digest(), "big")
    return "".join([_LETTERS[number >> bits & 1023] for bits in range(70, -1, -10)])


def message_key(message: Message) -> bytes:
    """What one message says, and who says it, as 16 bytes."""
    parts = message.parts
    text = parts[0].text if len(parts) == 1 and parts[0].kind == "text" else message.text
    said = [message.role, message.name, _plain(text), _plain(message.refusal)]
    if not message.tool_calls and all([part.kind in _SAID for part in parts]):  # noqa: C419  # twice as fast
        # Most messages are text alone; this is their JSON as it is made below.
        texts = ", ".join([_quoted(each) for each in said])
        return blake2b(f"[{texts}, [], []]".encode(), digest_size=16).digest()
    more = [
        *said,
        [[part.kind, _part(part.url, part.raw)] for part in parts if part.kind not in _SAID],
        [[call.kind, call.name, _arguments(call.arguments, call.parsed)] for call in message.tool_calls],
    ]
    return blake2b(json.dumps(more).encode(), digest_size=16).digest()


def _plain(text: str) -> str:
    """The text with one space where there are some, and none at its ends."""
    if not text:
        return text
    if not text.isascii():
        return " ".join(unicodedata.normalize("NFC", text).split())
    for blank in _BLANKS:  # the same, several times as fast
        if blank in text:
            text = text.replace(blank, " ")
    while "  " in text:
        text = text.replace("  ", " ")
    return text.strip(" ")


def _part(url: str, raw: object) -> str:
    return url or json.dumps(raw, sort_keys=True, default=str)


def _arguments(text: str, parsed: object) -> str:
    return json.dumps(parsed, sort_keys=True) if parsed is not None else _plain(text)


# Near-duplicates.


def shingles(prompt: str, answer: str = "") -> Hashes:
    """The runs of words of a prompt and its answer as numbers, each once, ascending; empty without a word."""
    asked, said = words(prompt[:MOST_CHARS]), words(answer[:MOST_CHARS])
    if not asked and not said:
        return np.empty(0, np.uint64)
    return hashed_runs([*asked, GAP, *said])


def hashed_runs(some: Sequence[str]) -> Hashes:
    """Runs of SHINGLE words as numbers, each once, ascending; of fewer words there is one run."""
    numbers = hashed(some).astype(np.uint64)
    missing = SHINGLE - len(numbers)
    if missing > 0:
        numbers = np.concatenate([numbers, np.zeros(missing, np.uint64)])
    runs = np.zeros(len(numbers) - SHINGLE + 1, np.uint64)
    for at, factor in enumerate(_PLACE):
        runs += _mixed(numbers[at : at + len(runs)] + np.uint64(at + 1)) * factor
    return np.unique(_mixed(runs))


def hashed(some: Sequence[str]) -> NDArray[np.uint32]:
    """Each word as a number."""
    return np.fromiter(map(crc32, map(str.encode, some)), np.uint32, len(some))


def bands_of(runs: Hashes) -> Bands:
    """BANDS numbers; two sets of shingles that are near have one of them at the same place in common."""
    folded = (runs ^ (runs >> np.uint64(32))).astype(np.uint32)
    smallest = np.full(BANDS * ROWS, np.iinfo(np.uint32).max, np.uint32)
    for first in range(0, len(folded), _AT_ONCE):
        some = (folded[None, first : first + _AT_ONCE] ^ _MASK) * _ODD
        smallest = np.minimum(smallest, some.min(axis=1))
    rows = _mixed(smallest.reshape(BANDS, ROWS).astype(np.uint64) + np.uint64(1))
    joined = _mixed((rows * _WITHIN).sum(axis=1, dtype=np.uint64))
    return (joined >> np.uint64(32)).astype(np.uint32)


def shape_of(runs: Hashes) -> int:
    """One number for a whole set of shingles, as a signed one of 64 bits."""
    return int.from_bytes(blake2b(runs.tobytes(), digest_size=8).digest(), "little", signed=True)


def jaccard(one: Hashes, other: Hashes) -> float:
    """The share of all shingles of both that both have."""
    if not len(one) or not len(other):
        return 0.0
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def near_pairs(
    bands: NDArray[np.uint32], shingles_of: Callable[[int], Hashes], *, least: float = NEAR
) -> Iterator[Pair]:
    """Every pair of rows that shares a band and whose shingles are near; the first row is the smaller one.

    `bands` has one row for each text, `shingles_of` gives the shingles of one again.
    """
    looked: set[Pair] = set()
    for column in bands.T:
        order = np.argsort(column, kind="stable")
        ends = np.flatnonzero(np.diff(column[order])) + 1
        for run in np.split(order, ends):
            some = run.tolist()
            for at, second in enumerate(some):
                for first in some[:at]:
                    if (first, second) in looked:
                        continue
                    looked.add((first, second))
                    if jaccard(shingles_of(first), shingles_of(second)) >= least:
                        yield first, second


def joined(count: int, pairs: Iterable[Pair]) -> NDArray[np.int64]:
    """For each of `count` rows the smallest row that it is connected with by pairs, itself if it is alone."""
    over = list(range(count))

    def top(row: int) -> int:
        while over[row] != row:
            over[row] = over[over[row]]
            row = over[row]
        return row

    for one, other in pairs:
        low, high = sorted((top(one), top(other)))
        over[high] = low
    return np.array([top(row) for row in range(count)], np.int64)


class Firsts:
    """The first of each group of near-duplicates, to find the one that a further text is near to.

    A text belongs to the group of a first that it is near to itself; so no group drifts from what it began
    with, and no text has to be compared with all members of a group. Keeps numbers only, no texts.
    """

    FRESH = 4096  # firsts that are looked up one by one before they are sorted in
    MOST_COMPARED = 8  # firsts that one text is compared with, those that share most bands
    # Firsts that are looked at for one band. Where texts have much in common without being near, some bands
    # are shared by very many; what is near shares others, too.
    MOST_IN_BAND = 64

    def __init__(self, ids: NDArray[np.int64], shapes: NDArray[np.int64], bands: NDArray[np.uint32]) -> None:
        self._ids, self._shapes, self._bands = ids, shapes, bands.reshape(-1, BANDS)
        self._sort()

    def __len__(self) -> int:
        return len(self._ids) + len(self._fresh)

    def add(self, pk: int, shape: int, bands: Bands) -> None:
        """A text that is near to no other yet."""
        at = len(self)
        self._fresh.append((pk, shape, bands))
        for band, number in enumerate(bands.tolist()):
            some = self._places.setdefault((band, number), [])
            if len(some) < self.MOST_IN_BAND:
                some.append(at)
        if len(self._fresh) >= self.FRESH:
            self._take_in()

    def near(self, shape: int, bands: Bands, is_near: Callable[[int], bool]) -> int | None:
        """The id of the first that a text is near to; asks `is_near` of those that may be, the best first."""
        shared: dict[int, int] = {}
        for band, number in enumerate(bands.tolist()):
            order, ascending = self._order[band], self._ascending[band]
            low = int(np.searchsorted(ascending, np.uint32(number), "left"))
            high = int(np.searchsorted(ascending, np.uint32(number), "right"))
            known = order[low : min(high, low + self.MOST_IN_BAND)].tolist()
            for at in (*known, *self._places.get((band, number), ())):
                shared[at] = shared.get(at, 0) + 1
        likely = sorted(shared, key=lambda at: (-shared[at], at))[: self.MOST_COMPARED]
        for at in likely:
            pk, its = self._named(at)
            if its == shape or is_near(pk):
                return pk
        return None

    def _named(self, at: int) -> tuple[int, int]:
        if at < len(self._ids):
            return int(self._ids[at]), int(self._shapes[at])
        pk, shape, _ = self._fresh[at - len(self._ids)]
        return pk, shape

    def _take_in(self) -> None:
        ids, shapes, bands = zip(*self._fresh, strict=True)
        self._ids = np.concatenate([self._ids, np.array(ids, np.int64)])
        self._shapes = np.concatenate([self._shapes, np.array(shapes, np.int64)])
        self._bands = np.concatenate([self._bands, np.array(bands, np.uint32)])
        self._sort()

    def _sort(self) -> None:
        self._fresh: list[tuple[int, int, Bands]] = []
        self._places: dict[tuple[int, int], list[int]] = {}
        columns = np.ascontiguousarray(self._bands.T)
        self._order = [np.argsort(column, kind="stable").astype(np.int32) for column in columns]
        self._ascending = [column[order] for column, order in zip(columns, self._order, strict=True)]


# Conversations that go on.


def chain(conversation: Conversation, keys: Sequence[bytes] | None = None) -> tuple[int, list[int]]:
    """What a conversation has come to with its answer, and what it had come to after each earlier answer.

    One that goes on from another has the other's first number among its own second ones. System prompts do
    not count, as they may tell the time. 0 stands for a conversation of which nothing can be known.
    """
    keys = keys_of(conversation) if keys is None else keys
    said, earlier = b"", []
    for message, key in zip(conversation.messages or (), keys, strict=False):
        if message.role in _SYSTEM:
            continue
        said = blake2b(said + key, digest_size=16).digest()
        if message.role == "assistant":
            earlier.append(_number(said))
    if not said:
        return 0, []
    said = blake2b(said + keys[-1], digest_size=16).digest()
    return _number(said), earlier[-MOST_PREFIXES:]


def _number(data: bytes) -> int:
    """A signed number of 64 bits, never 0."""
    return int.from_bytes(data[:8], "little", signed=True) or 1


def thread_roots(
    created: NDArray[np.int64],
    whole: NDArray[np.int64],
    owners: NDArray[np.int64],
    earlier: NDArray[np.int64],
) -> NDArray[np.int64]:
    """For each row the row that its conversation began with, itself if it goes on from none that is here.

    `earlier` are the numbers of `chain` of all rows, `owners` the row of each, those of one row in order.
    Where several say the same, a row goes on from the last of them that is not younger than itself.
    """
    over = np.arange(len(created))
    order = np.lexsort((created, whole))
    ends, moments = whole[order], created[order]
    low, high = np.searchsorted(ends, earlier, "left"), np.searchsorted(ends, earlier, "right")
    for at in np.flatnonzero((high > low) & (earlier != 0)).tolist():
        row, first, after = int(owners[at]), int(low[at]), int(high[at])
        not_younger = first + int(np.searchsorted(moments[first:after], created[row], "right"))
        found = int(order[max(first, not_younger - 1)])
        if found != row:
            over[row] = found  # the longest comes last
    for _ in range(64):  # each step doubles the way that is taken
        further = over[over]
        if np.array_equal(further, over):
            break
        over = further
    return over
