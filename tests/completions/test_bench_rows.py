"""The rows that are measured with are what a sync would have read, and hold what they promise."""

from collections import Counter
from itertools import islice

from completions import raw
from completions.readings import Reading, read
from tests.bench import rows


def test_a_made_row_is_what_reading_its_bytes_gives() -> None:
    for made in rows.rows(300, 5000, 3, total=60_000):
        item, messages = raw.read(raw.Raw(made.item, (made.page,)))
        found = read(made.item, item, pages=[made.page], messages=messages, state="ok")
        assert isinstance(found, Reading)
        expected = {**made.reading.columns, "language": found.columns["language"]}  # words of no language
        assert found.columns == expected
        assert found.texts == made.reading.texts
        assert raw.unpack(made.reading.raw) == raw.unpack(found.raw)


def test_a_row_is_the_same_however_many_are_asked_for() -> None:
    few = list(rows.readings(30, 1010, 2, total=40_000))
    many = rows.readings(3000, 1000, 2, total=40_000)
    assert few == list(islice(many, 10, 40))
    assert few != list(rows.readings(30, 1010, 3, total=40_000))


def test_marker_words_and_pairs_have_their_share() -> None:
    words: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for one in rows.readings(10_000):
        words.update(word for word in rows.MARKERS if word in one.texts.answer)
        pairs.update(one.metadata.items())
    for word, share in rows.MARKERS.items():
        assert abs(words[word] - share * 10_000) <= 3 + share * 200, word
    for pair, share in rows.PAIRS.items():
        assert abs(pairs[pair] - share * 10_000) <= 3 + share * 200, pair
    assert pairs[rows.OLD_PAIR] == 1000


def test_the_oldest_tenth_is_marked() -> None:
    made = list(rows.readings(2000))
    old = [one for one in made if one.metadata["era"] == "old"]
    assert old == made[:200]
    assert 120 < sum(rows.OLD_WORD in one.texts.answer for one in old) < 200
    assert not any(rows.OLD_WORD in one.texts.answer for one in made[200:])
    assert [one.columns["created"] for one in made] == sorted(one.columns["created"] for one in made)
