"""Personal data: what is found, what is not, and what a cleaned row looks like."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from completions.conversation import Conversation, parse
from datasets.build import convert, own_patterns, places
from datasets.build.lines import Line
from datasets.build.material import Material
from datasets.build.personal import FINDERS, Scanner
from datasets.build.tokens import Counter
from datasets.models import DatasetVersion
from datasets.recipe import PERSONAL, Personal, Recipe
from datasets.templatetags import rows
from tests.datasets.personal_values import FOUND, NOT_FOUND

EVERYTHING = Scanner(Personal(kinds=tuple(PERSONAL)))


def talk(*messages: dict[str, Any], answer: Any = "Done.", **item: Any) -> Conversation:
    said = {"role": "assistant", "content": answer} if isinstance(answer, str) else answer
    return parse(
        {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}], **item}, list(messages)
    )


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def cleaned(conversation: Conversation, scanner: Scanner = EVERYTHING, **beside: Any) -> Material:
    made = scanner.clean(Material("demo/1", conversation, **beside))
    assert made is not None
    return made


def texts(conversation: Conversation) -> list[str]:
    return [message.text for message in conversation.everything]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, some in FOUND.items() for text in some])
def test_finds(kind: str, text: str) -> None:
    assert [(found[0], text[found[2].start : found[2].end]) for found in EVERYTHING.in_text(text)] == [
        (kind, text)
    ]
    inside = f"Before ({text}), after."
    found = [(each[0], inside[each[2].start : each[2].end]) for each in EVERYTHING.in_text(inside)]
    assert found == [(kind, text)]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_does_not_find(text: str) -> None:
    assert EVERYTHING.in_text(text) == []
    assert EVERYTHING.in_text(f"It says {text} there.") == []


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abcdef1234567890abcdef", "abcdef1234567890abcdef"),
        ("OPENAI_API_KEY=abcDEF123ghiJKL456", "abcDEF123ghiJKL456"),
        ('{"password" : "hunter2A3"', "hunter2A3"),
        ("postgres://bob:s3cretpw@db.example.com/x", "bob:s3cretpw"),
        ("https://x.example.com/f?sv=1&sig=" + "aB3%2F" * 8, "aB3%2F" * 8),
        ("Tel.: 612 345 678", "612 345 678"),
        ("call me at 4155550132", "4155550132"),
    ],
)
def test_takes_only_the_secret_of_what_names_it(text: str, secret: str) -> None:
    assert [text[each.start : each.end] for _, _, each in EVERYTHING.in_text(text)] == [secret]


@pytest.mark.parametrize("kind", list(PERSONAL))
def test_looks_for_nothing_but_what_was_asked_for(kind: str) -> None:
    scanner = Scanner(Personal(kinds=(kind,)))
    text = " ; ".join(some[0] for some in FOUND.values())
    assert {found[0] for found in scanner.in_text(text)} == {kind}


def test_the_same_value_has_the_same_placeholder_everywhere() -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "find", "arguments": '{"who":"ADA@example.com"}'},
    }
    made = cleaned(
        talk(
            user("I am ada@example.com, not bob@example.com."),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {
                "role": "tool",
                "tool_call_id": "call_1",
                "content": '{"mail": "Ada@Example.com", "phone": "+1 415 555 0132"}',
            },
            answer="Found Ada@example.com.",
        )
    )
    assert texts(made.conversation) == [
        "I am [EMAIL_1], not [EMAIL_2].",
        "",
        '{"mail": "[EMAIL_1]", "phone": "[PHONE_1]"}',
        "Found [EMAIL_1].",
    ]
    asked = made.conversation.everything[1].tool_calls[0]
    assert asked.arguments == '{"who":"[EMAIL_1]"}'
    assert asked.parsed == {"who": "[EMAIL_1]"}
    assert made.edited
    assert made.personal == {"email": 5, "phone": 1}
    assert "example.com" not in json.dumps(dict(made.conversation.item)).lower()
    assert "example.com" not in str([message.raw for message in made.conversation.everything]).lower()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (r'{"to": "ada\u0040example.com", "n": 1.50}', '{"to": "[EMAIL_1]", "n": 1.50}'),
        ('{"card": 4111111111111111}', '{"card": "[CARD_1]"}'),
        ('{"ada@example.com": [1, 2]}', '{"[EMAIL_1]": [1, 2]}'),
        ('{"phone": 4155550132, "id": 4155550132}', '{"phone": "[PHONE_1]", "id": 4155550132}'),
        ('{"api_key": "abcDEF123ghiJKL456"}', '{"api_key": "[SECRET_1]"}'),
        (r'{"body": "{\"mail\": \"ada@example.com\"}"}', r'{"body": "{\"mail\": \"[EMAIL_1]\"}"}'),
        ('{"text": "line\\nada@example.com\\n"}', '{"text": "line\\n[EMAIL_1]\\n"}'),
        ('{"not json": ada@example.com', '{"not json": [EMAIL_1]'),
    ],
)
def test_arguments_stay_as_they_were_around_what_is_replaced(arguments: str, expected: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "send", "arguments": arguments}}
    made = cleaned(
        talk(user("Send it."), answer={"role": "assistant", "content": None, "tool_calls": [call]})
    )
    answer = made.conversation.answer
    assert answer is not None
    assert answer.tool_calls[0].arguments == expected


def test_cleans_what_stands_beside_the_conversation() -> None:
    tool = {
        "type": "function",
        "function": {"name": "mail", "description": "Write to ada@example.com", "parameters": {}},
    }
    made = cleaned(
        talk({**user("Hello"), "name": "bob@example.com"}, tools=[tool], metadata={"id": "ada@example.com"}),
        metadata={"id": "ada@example.com"},
        correction={"text": "Write to bob@example.com", "tool_calls": None},
    )
    assert made.metadata == made.conversation.item["metadata"] == {"id": "[EMAIL_2]"}
    assert made.correction == {"text": "Write to [EMAIL_1]", "tool_calls": None}
    assert made.conversation.tools[0]["function"] == {
        "name": "mail",
        "description": "Write to [EMAIL_2]",
        "parameters": {},
    }
    message = made.conversation.everything[0]
    assert message.name == message.raw["name"] == "[EMAIL_1]"


def test_a_line_of_a_cleaned_row_holds_nothing_personal_and_is_counted_anew() -> None:
    conversation = talk(
        user("I am ada@example.com at 192.0.2.7"),
        answer="Hello, ada@example.com!",
        usage={"prompt_tokens": 500, "completion_tokens": 100},
    )
    line = convert.supervised(cleaned(conversation), Recipe(), Counter.plain())
    assert isinstance(line, Line)
    assert [message["content"] for message in line.data["messages"]] == [
        "I am [EMAIL_1] at [IP_1]",
        "Hello, [EMAIL_1]!",
    ]
    assert line.how == "guessed"


def test_numbers_go_on_after_those_that_stand_there() -> None:
    made = cleaned(talk(user("[EMAIL_3] wrote to ada@example.com, see [PHONE_1]")))
    assert texts(made.conversation)[0] == "[EMAIL_3] wrote to [EMAIL_4], see [PHONE_1]"


def test_a_row_without_hits_is_the_same_row() -> None:
    material = Material("demo/1", talk(user("What is a tide?"), metadata={"a": "b"}), metadata={"a": "b"})
    assert EVERYTHING.clean(material) is material
    assert Scanner(Personal()).clean(material) is material


def test_leaves_out_instead_where_the_recipe_says_so() -> None:
    scanner = Scanner(Personal(kinds=("email",), do="leave_out"))
    assert scanner.clean(Material("demo/1", talk(user("ada@example.com")))) is None
    kept = Material("demo/1", talk(user("192.0.2.1")))
    assert scanner.clean(kept) is kept


@pytest.mark.parametrize(
    ("expression", "text", "expected"),
    [
        (r"K-[0-9]{6}", "Customer K-123456 and k-123456.", "Customer [CUSTOMER_NO_1] and [CUSTOMER_NO_2]."),
        (r"(?-i)K-[0-9]{6}", "K-123456 and k-123456.", "[CUSTOMER_NO_1] and k-123456."),
        (r"customer ([0-9]+)", "customer 17, seat 18", "customer [CUSTOMER_NO_1], seat 18"),
        (r"[A-Z_0-9]+", "ab 12", "[CUSTOMER_NO_1] [CUSTOMER_NO_2]"),
        (r"ada@\w+", "ada@example.com", "[CUSTOMER_NO_1].com"),
        (r"é+", "aéé\ud800é", "a[CUSTOMER_NO_1]\ud800[CUSTOMER_NO_2]"),
    ],
)
def test_patterns_of_ones_own_come_first(expression: str, text: str, expected: str) -> None:
    scanner = Scanner(Personal(kinds=("email",), patterns=(("Customer no.", expression),)))
    assert texts(cleaned(talk(user(text), answer="."), scanner).conversation)[0] == expected


def test_a_pattern_that_is_found_too_often_leaves_the_row_out() -> None:
    scanner = Scanner(Personal(patterns=(("any", "x"),)))
    assert scanner.clean(Material("demo/1", talk(user("x" * (own_patterns.MOST_FOUND + 1))))) is None


@pytest.mark.parametrize(
    ("name", "expression", "says"),
    [
        ("", "x", "needs a name"),
        ("n" * 41, "x", "at most 40 characters"),
        ("Email", "x", "is here already"),
        ("a", "(x", "never closed"),
        ("a", "(?=x)", "neither ahead nor behind"),
        ("a", "x*", "matches an empty text"),
        ("a", "", "Say which pattern"),
        ("a", "x" * 501, "at most 500 characters"),
    ],
)
def test_says_what_is_wrong_with_a_pattern(name: str, expression: str, says: str) -> None:
    assert says in own_patterns.problem_of(name, expression)


def test_a_good_pattern_has_no_problem() -> None:
    assert own_patterns.problem_of("Customer", r"K-[0-9]{6}") == ""


_PIECES = st.one_of(
    st.sampled_from([text for some in FOUND.values() for text in some]),
    st.sampled_from(NOT_FOUND),
    st.text(max_size=12),
    st.sampled_from([" ", ", ", ". ", "\n", "-", "/", "[EMAIL_1]", "+", "(", ")", '"', "{", "}", "0", ":"]),
)
_TEXTS = st.lists(_PIECES, max_size=8).map("".join)


@settings(max_examples=150, deadline=None)
@given(_TEXTS, _TEXTS)
def test_what_is_cleaned_holds_no_hit_any_more_and_hits_point_at_their_text(
    asked: str, answered: str
) -> None:
    conversation = talk(user(asked), answer=answered)
    here: dict[str, str] = {}

    def note(where: str, text: str, key: str) -> str:
        if where:
            here[where] = text
        return text

    assert places.changed(conversation, note) is conversation
    hits = EVERYTHING.hits(conversation)
    assert all(here[hit.where][hit.start : hit.end] == hit.text for hit in hits)
    made = EVERYTHING.clean(Material("demo/1", conversation))
    assert made is not None
    assert EVERYTHING.hits(made.conversation) == []
    if not hits:
        assert made.conversation is conversation


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _TEXTS
        ),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_stays_json(value: Any) -> None:
    text = json.dumps({"value": value})
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": text}}
    made = cleaned(talk(user(text), answer={"role": "assistant", "content": None, "tool_calls": [call]}))
    answer = made.conversation.answer
    assert answer is not None
    assert isinstance(answer.tool_calls[0].parsed, dict)
    assert isinstance(json.loads(texts(made.conversation)[0]), dict)


@pytest.mark.parametrize(
    "piece",
    ["a", "@", "a.", "1", "1 ", "01-", "1::", "eyJ", "-----BEGIN PRIVATE KEY-----", "sk-", "http://a:", "{"],
)
def test_a_megabyte_of_what_almost_matches_is_read_to_its_end(piece: str) -> None:
    text = piece * (1_000_000 // len(piece)) + " ada@example.com"
    for kind in FINDERS:
        found = Scanner(Personal(kinds=(kind,))).in_text(text)
        assert (kind == "email") == any(each[2].value == "ada@example.com" for each in found)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({}, "8 IP addresses, 2 e-mail addresses"),
        (
            {"duplicates": "near"},
            "8 IP addresses, 2 e-mail addresses, counting rows that a later rule left out",
        ),
        ({"unknown": 1}, "8 IP addresses, 2 e-mail addresses"),
    ],
)
def test_what_was_replaced_is_told_with_what_the_count_covers(recipe: dict[str, Any], words: str) -> None:
    version = DatasetVersion(counts={"personal": {"ip": 8, "email": 2}}, recipe=recipe)
    assert rows.personal_replaced(version) == words
    assert rows.personal_replaced(DatasetVersion(counts={}, recipe=recipe)) == ""
