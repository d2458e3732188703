"""What fits at the caret: where it stands, and what can be inserted there."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from completions.filters import FIELDS, Filter, suggest
from tests.completions.filtering import FRAGMENTS


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("|", ("text", "text", "", "")),
        ("mod|", ("field", "", "", "mod")),
        ("x -mo|d y", ("field", "", "", "mo")),
        ("(mo|", ("field", "", "", "mo")),
        ("-(a OR mo|", ("field", "", "", "mo")),
        ("model:|", ("value", "model", "", "")),
        ("model:gp|t x", ("value", "model", "", "gp")),
        ("model:a,gp|,b", ("value", "model", "", "gp")),
        ('model:"a b|', ("value", "model", "", "a b")),
        ("model:~g|", ("value", "model", "", "g")),
        ("(model:a|)", ("value", "model", "", "a")),
        ("meta.|", ("key", "meta", "", "")),
        ("-meta.cat|", ("key", "meta", "", "cat")),
        ('meta."odd k|', ("key", "meta", "", "odd k")),
        ("meta.category:te|", ("value", "meta", "category", "te")),
        ('meta."odd key":te|', ("value", "meta", "odd key", "te")),
        ('"two wo|', ("text", "text", "", '"two wo')),
        ("/a b|", ("text", "text", "", "/a b")),
        ("prompt:/a b|", ("value", "prompt", "", "/a b")),
        ("modle:x|", ("text", "text", "", "modle:x")),
        ("has:to|", ("value", "has", "", "to")),
    ],
)
def test_the_caret_stands_somewhere(q: str, expected: tuple[str, str, str, str]) -> None:
    caret = q.index("|")
    found = suggest.at(q.replace("|", ""), caret)
    assert (found.kind, found.field, found.key, found.typed) == expected


def insert(q: str, text: str) -> str:
    """What is typed after one suggestion is taken."""
    caret = q.index("|")
    plain = q.replace("|", "")
    found = suggest.at(plain, caret)
    return plain[: found.start] + text + plain[found.end :]


def test_what_is_inserted_takes_the_place_of_what_was_typed() -> None:
    assert insert("x -mo| y", "model:") == "x -model: y"
    assert insert("model:a,gp|,b z", suggest.value("gpt-4o")) == "model:a,gpt-4o,b z"
    assert insert('(model:"a b|', suggest.value("a b c")) == '(model:"a b c"'
    assert insert("-meta.od|", suggest.key("odd key")) == '-meta."odd key":'
    assert insert("meta.category:te|st x", suggest.value("")) == 'meta.category:"" x'
    assert insert("(a OR has:|)", "tools") == "(a OR has:tools)"


def test_fields_and_names_are_found_by_what_they_mean() -> None:
    assert suggest.fields("mod")[0].insert == "model:"
    assert "format:" in [each.insert for each in suggest.fields("respon")]
    assert "meta." in [each.insert for each in suggest.fields("metad")]
    assert "has:image " in [each.insert for each in suggest.fields("image")]
    assert len(suggest.fields("")) == suggest.MOST
    assert [each.insert for each in suggest.names("is", "")] == ["gone ", "pending "]
    assert [each.insert for each in suggest.names("has", "UTF")] == ["invalid_utf8 "]


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_example_that_is_shown_can_be_read(name: str) -> None:
    for shown in suggest.examples(name):
        q = shown.hint.replace("meta:", "meta.category:").replace("label:", "label.quality:")
        assert not Filter.parse(q).broken, q


@settings(max_examples=300, deadline=None)
@given(FRAGMENTS, st.integers(-1, 60))
@example("-meta.", 0)
def test_wherever_the_caret_stands_there_is_an_answer(q: str, caret: int) -> None:
    found = suggest.at(q, caret)
    assert 0 <= found.start <= max(0, min(caret, len(q))) <= found.end <= len(q)
    assert suggest.fields(found.typed) is not None
