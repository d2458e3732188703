"""Rows as arrays say what the rows said, joined, packed and asked in any way."""

import struct
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from completions.columns.segment import FIELDS, MARKS, MOST_ROWS, WHOLE, Segment, known

TERMS = ("terms", "review.terms", "belonging.terms")
LARGE = 2**63 - 1
whole = st.none() | st.integers(-5, 40) | st.sampled_from([2**31, -(2**31), LARGE, -LARGE])
pairs = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 2**32 - 1)), max_size=4, unique=True)


@st.composite
def rows(draw: Any) -> list[tuple[Any, ...]]:
    ids = draw(st.lists(st.integers(1, 200), max_size=25, unique=True))
    return [_row({"pk": pk, **_drawn(draw)}) for pk in ids]


def _row(values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(values.get(name) for name in FIELDS)


def _drawn(draw: Any) -> dict[str, Any]:
    return {
        "created": draw(st.integers(0, 6) | st.sampled_from([-(10**15), 10**15])),
        **{name: draw(whole) for name in FIELDS[2 : 2 + len(WHOLE)]},
        "temperature": draw(st.none() | st.sampled_from([0.0, 0.7, 2.0])),
        "has_image": draw(st.none() | st.booleans()),
        "refused": draw(st.booleans()),
        "gone_at": draw(st.none() | st.just("2026-01-01")),
        "messages_state": draw(st.sampled_from(["ok", "pending", "gone"])),
        "answer_is_json": draw(st.none() | st.booleans()),
        "request_id": draw(st.sampled_from(["", "req_1"])),
        "review.correction_id": draw(st.none() | st.just(7)),
        "review.notes": draw(st.none() | st.integers(0, 2)),
        "review.disputed": draw(st.none() | st.booleans()),
        **{name: _packed(draw(pairs), field) for field, name in enumerate(TERMS)},
    }


def _packed(some: list[tuple[int, int]], field: int) -> bytes:
    """Pairs of one source: no field is in two of them."""
    return b"".join(struct.pack("<II", 10 * field + of, term) for of, term in some)


def _pairs_of(values: tuple[Any, ...]) -> set[tuple[int, int]]:
    row = dict(zip(FIELDS, values, strict=True))
    return {pair for name in TERMS for pair in struct.iter_unpack("<II", row[name])}


def told(segment: Segment) -> list[tuple[Any, ...]]:
    """Every row with what the arrays say of it."""
    made = []
    for at in range(len(segment)):
        numbers = [
            int(segment.numbers[name][at]) if known(segment.numbers[name])[at] else None for name in WHOLE
        ]
        temperature = None if np.isnan(segment.temperature[at]) else float(segment.temperature[at])
        marks = {name for name, bit in MARKS.items() if segment.marks[at] & bit}
        held = {
            (int(key) >> 32, int(key) & 0xFFFFFFFF)
            for place, key in enumerate(segment.keys)
            if at in segment.rows[segment.starts[place] : segment.starts[place + 1]]
        }
        made.append((int(segment.created[at]), int(segment.ids[at]), numbers, temperature, marks, held))
    return made


def expected(some: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    made = []
    for values in sorted(some, key=lambda row: (row[1], row[0]), reverse=True):
        row = dict(zip(FIELDS, values, strict=True))
        marks = {
            name
            for name, holds in (
                ("image", row["has_image"]),
                ("refusal", row["refused"]),
                ("gone", row["gone_at"]),
                ("pending", row["messages_state"] == "pending"),
                ("json", row["answer_is_json"]),
                ("tools", (row["tool_calls"] or 0) > 0),
                ("request", row["request_id"]),
                ("correction", row["review.correction_id"]),
                ("note", row["review.notes"]),
                ("disagreement", row["review.disputed"]),
            )
            if holds
        }
        numbers = list(values[2 : 2 + len(WHOLE)])
        made.append((values[1], values[0], numbers, row["temperature"], marks, _pairs_of(values)))
    return made


@given(rows())
def test_arrays_say_what_the_rows_said_also_after_packing(some: list[tuple[Any, ...]]) -> None:
    segment = Segment.of(some)
    assert told(segment) == expected(some)
    assert told(Segment.decode(segment.encode())) == expected(some)


@given(st.lists(rows(), min_size=1, max_size=4), st.data())
def test_joined_segments_hold_the_living_rows_of_all(
    lists: list[list[tuple[Any, ...]]], data: st.DataObject
) -> None:
    parts, living, seen = [], [], set[int]()
    for some in lists:
        fresh = [row for row in some if row[0] not in seen]
        seen |= {row[0] for row in fresh}
        segment = Segment.of(fresh)
        alive = np.array(data.draw(st.lists(st.booleans(), min_size=len(fresh), max_size=len(fresh))), bool)
        parts.append((segment, alive))
        kept = set(segment.ids[alive].tolist())
        living += [row for row in fresh if row[0] in kept]
    made = Segment.joined(parts)
    assert [row for segment in made for row in told(segment)] == expected(living)


def test_more_rows_than_one_segment_holds_become_several_in_order() -> None:
    def numbered(first: int, count: int) -> Segment:
        blob = struct.pack("<II", 1, 7)
        return Segment.of(
            [_row({"pk": pk, "created": pk // 3, "terms": blob}) for pk in range(first, first + count)]
        )

    made = Segment.joined([(numbered(1, MOST_ROWS), None), (numbered(MOST_ROWS + 1, 900), None)])
    assert [len(segment) for segment in made] == [MOST_ROWS, 900]
    assert np.concatenate([segment.ids for segment in made]).tolist() == list(range(MOST_ROWS + 900, 0, -1))
    assert [len(segment.rows_of(1, 7)) for segment in made] == [MOST_ROWS, 900]


@given(rows(), st.integers(0, 6), st.integers(0, 200), st.lists(st.integers(1, 200), unique=True))
@settings(max_examples=200)
def test_places_are_found_by_time_and_by_id(
    some: list[tuple[Any, ...]], created: int, pk: int, ids: list[int]
) -> None:
    segment = Segment.of(some)
    keys = list(zip(segment.created.tolist(), segment.ids.tolist(), strict=True))
    assert segment.newer_than(created, pk) == sum(key > (created, pk) for key in keys)
    assert segment.older_than(created, pk) == sum(key >= (created, pk) for key in keys)
    found = segment.ids[segment.places_of(np.array(ids, np.int64))].tolist()
    assert sorted(found) == sorted({row[0] for row in some} & set(ids))


@given(rows())
def test_a_field_holds_the_rows_of_all_its_terms(some: list[tuple[Any, ...]]) -> None:
    segment = Segment.of(some)
    held = {values[0]: _pairs_of(values) for values in some}
    for field in (*range(1, 5), *range(11, 15), *range(21, 25)):
        holders = {pk for pk, all_ in held.items() if any(of == field for of, _ in all_)}
        assert set(segment.ids[segment.rows_with(field)].tolist()) == holders
        first, last = segment.span_of(field)
        terms = {term for all_ in held.values() for of, term in all_ if of == field}
        assert {int(key) & 0xFFFFFFFF for key in segment.keys[first:last]} == terms
        for term in terms:
            found = set(segment.ids[segment.rows_of(field, term)].tolist())
            assert found == {pk for pk, all_ in held.items() if (field, term) in all_}
        some_terms = np.array(sorted(terms)[::2], np.uint32)
        found = set(segment.ids[segment.rows_of_any(field, some_terms)].tolist())
        assert found == {pk for pk, all_ in held.items() if any((field, term) in all_ for term in some_terms)}
    assert len(segment.rows_of(9, 9)) == 0
