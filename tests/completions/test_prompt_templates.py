"""System prompts as templates: which belong to one, and how it is printed."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from completions.prompt_templates import (
    Outlines,
    Slot,
    _in_common,
    is_alike,
    outline,
    template_of,
    words_of,
)


def alike(one: str, other: str) -> bool:
    return is_alike(words_of(one).tolist(), words_of(other).tolist())


def printed(*texts: str) -> str:
    return str(template_of([(text, 1) for text in texts]))


def test_values_that_programs_put_in_do_not_make_another_outline() -> None:
    same = [
        'You help with order 17 of "Blue kettle" until 2026-11-21. Ask https://a.example/x?y=1.',
        'You help with order 9,180.5 of "A" until November 3, 2025. Ask http://b.example.',
        "You help with  ORDER 4 of “two words” until 3rd May 2024. Ask https://c.example/.",
    ]
    assert len({outline(text) for text in same}) == 1
    assert outline("You help with orders.") != outline("You help with parcels.")
    assert outline(" \n—") == outline("") == ""


def test_names_put_in_make_prompts_alike() -> None:
    assert alike(
        "You are a helper for Anna. Today is Monday.", "You are a helper for Bo Lee. Today is Friday."
    )
    assert not alike("You are a helper for Anna.", "Translate the text into French for Anna.")
    assert not alike("Be brief.", "Be kind.")
    assert alike("Be brief.", "be  brief")


def test_documents_put_into_a_long_frame_make_prompts_alike() -> None:
    frame = "Answer the question from these documents alone and say so if they do not hold the answer. {} "
    frame += "Never make up a source."
    chance = Random(1)
    some = [" ".join(chance.choices([f"w{n}" for n in range(2000)], k=300)) for _ in range(2)]
    assert alike(frame.format(some[0]), frame.format(some[1]))
    assert not alike(some[0], some[1])


def test_a_template_says_what_varies_and_how_often() -> None:
    made = template_of(
        [
            ("You are a helper for Anna. Today is November 21, 2026.", 3),
            ("You are a helper for Bo Lee. Today is March 3, 2025.", 1),
            ("You are a helper for Anna. Today is March 3, 2025.", 2),
        ]
    )
    assert str(made) == "You are a helper for {…}. Today is {…}."
    slots = [part for part in made.parts if isinstance(part, Slot)]
    assert slots == [
        Slot(2, (("Anna", 5), ("Bo Lee", 1))),
        Slot(2, (("March 3, 2025", 3), ("November 21, 2026", 3))),
    ]


def test_a_value_that_never_varies_is_printed() -> None:
    assert printed("Use 3 steps for Anna.", "Use 3 steps for Bo.") == "Use 3 steps for {…}."
    assert printed("Always the same 7.") == "Always the same 7."
    assert printed("Help.", "Help. Now.") == "Help.{…}"
    assert printed() == ""


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_every_prompt_can_be_made_from_its_template(texts: list[str]) -> None:
    made = template_of([(text, 1) for text in texts])
    for text in texts:
        at = 0
        for part in made.parts:
            if isinstance(part, str):
                assert part in text[at:]
                at = text.index(part, at) + len(part)
    for part in made.parts:
        if isinstance(part, Slot):
            assert part.distinct > 1
            assert sum(times for _, times in part.values) == len(texts)


def test_long_prompts_with_documents_and_several_names_are_printed_too() -> None:
    chance = Random(3)
    steady = [" ".join(chance.choices([f"w{n}" for n in range(900)], k=250)) for _ in range(3)]
    texts = []
    for name in ("Ann", "Bo Lee", "Cy", "Dee"):
        document = " ".join(chance.choices([f"d{n}" for n in range(5000)], k=700))
        texts.append(f"For {name}: {steady[0]} {document} {steady[1]} Ask {name} first. {steady[2]}")
    made = template_of([(text, 1) for text in texts])
    # Each name, and what there is of a document: nearly all of the rest is constant.
    constant = "".join(part for part in made.parts if isinstance(part, str))
    assert all(len(text) > 100 and text in constant for text in (steady[1][9:-9], steady[2][9:-9]))
    names = {value for part in made.parts if isinstance(part, Slot) for value, _ in part.values}
    assert {"Ann", "Bo Lee", "Cy", "Dee"} <= names


@given(st.lists(st.integers(0, 4), max_size=12), st.lists(st.integers(0, 4), max_size=12))
def test_words_in_common_are_the_longest_common_sequence(one: list[int], other: list[int]) -> None:
    row = [0] * (len(other) + 1)
    for word in one:
        before = list(row)
        for at, its in enumerate(other):
            row[at + 1] = before[at] + 1 if word == its else max(before[at + 1], row[at])
    assert _in_common(one, other) == row[-1]


def test_the_best_of_several_templates_is_found() -> None:
    outlines = Outlines()
    outlines.add("anna", words_of("You are a patient helper for Anna and her team.").tolist())
    outlines.add("spell", words_of("Correct the spelling of the text below and nothing else.").tolist())
    assert outlines.alike(words_of("You are a patient helper for Bo and her team.").tolist()) == "anna"
    assert (
        outlines.alike(words_of("Correct the grammar of the text below and nothing else").tolist()) == "spell"
    )
    assert outlines.alike(words_of("Write a poem.").tolist()) is None
    assert outlines.alike([]) is None
