"""What a filter means, in plain Python: rows as data, conditions as functions, and filters made at random.

It shares no code with the product but `words`, which says what a word is; that has tests of its own.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from hypothesis import strategies as st

from completions.search import words

NOW = 1_790_000_000
DAY = 86_400
LONG_KEY = "k" * 64
KEYS = (
    "2024",
    "a__b",
    "x__regex",
    'q"uote',
    "%s",
    "",
    "🦜",
    LONG_KEY,
    "model",
    "back\\slash",
    "user' OR 1",
    "(p)",
)
VALUES = (
    "",
    "x",
    "X",
    "test",
    "a b",
    "%",
    "100%s",
    'say "x"',
    "é",
    "e\u0301",
    "🦜🦜",
    "null",
    "OR",
    "~x",
    "v" * 90,
)
PROMPTS = ("the key", "Key rotation", "naïve test", "x", "検索する", "the THE the", "a (bracket) here")
ANSWERS = (
    '{"sum": 3}',
    "Key rotation is done.",
    "[1, 2]",
    "the key",
    "",
    "no. 17/b",
    "Straße zum Test",
    "100%",
)
SYSTEMS = ("", "Be a pirate.", "the key")
MODELS = ("gpt-4o", "gpt-4o-mini", "o'model", "")
FINISH = ("stop", "length", "tool_calls", "")
LANGUAGES = ("en", "de", "und")
FORMATS = ("", "json_object", "text")
TOOLS = ("search", "look_up", "a tool")
FLAGS = ("text_cut", "nul")
STATES = ("needs_review", "approved", "rejected")
REVIEWERS = ("alex", "Robin O'Neil", "100%s")
LABELS: dict[str, tuple[Any, ...]] = {
    "quality": (-5, 5),
    "2024": ("formal", "casual", "100%s"),
    'q"uote': ("a b", "x", "7", ">5", "1..2"),
    "a b": VALUES[1:6],
}
SEVERAL = 'q"uote'  # the label that takes several answers; "quality" is a score
NOTES = ("wrong tone", "The TONE is naïve", "x", "検索する", "see no. 17/b", "key")
GROUPS = ("a1", "b2", "c3")
SLUGS = ("one", "two", "three")


@dataclass(frozen=True)
class Row:
    """What the reference knows of a completion."""

    id: int
    connection: str
    created: int
    model: str
    metadata: dict[str, str]
    finish: str
    tokens: int | None
    prompt_tokens: int | None
    length: int
    turns: int | None
    temperature: float | None
    language: str
    format: str
    tools: tuple[str, ...]
    flags: tuple[str, ...]
    image: bool
    refused: bool
    gone: bool
    pending: bool
    is_json: bool
    request: str
    upstream_id: str
    prompt: str
    answer: str
    system: str
    review: str = ""
    rating: str = ""
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reviewers: tuple[str, ...] = ()
    reviewed: int | None = None
    notes: tuple[str, ...] = ()
    correction: str | None = None
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    @property
    def disputed(self) -> bool:
        return any(len({str(word) for word in words.values()}) > 1 for words in self.said.values())


@dataclass(frozen=True)
class Word:
    """One thing that somebody says: a state, a rating, answers, a note, a correction; None takes it back."""

    kind: str
    value: Any
    label: str = ""


Holds = Callable[[Row], bool]
Asked = tuple[str, Holds]


def random_columns(random: Random) -> dict[str, Any]:
    """Columns for `make_completion`, with what nasty data there can be."""
    answer = random.choice(ANSWERS)
    pending = random.random() < 0.1
    return {
        "created": NOW - random.randrange(5 * DAY) // 3600 * 3600,  # several in the same second
        "model": random.choice(MODELS),
        "metadata": {key: random.choice(VALUES) for key in random.sample(KEYS, random.randrange(5))},
        "finish_reason": random.choice(FINISH),
        "total_tokens": random.choice([None, 0, 1, 2, 3, 4, 2**33]),
        "prompt_tokens": random.choice([None, 0, 1, 2, -1]),
        "turns": random.choice([None, 1, 2, 3]),
        "temperature": random.choice([None, 0.0, 0.7, 1.0]),
        "language": random.choice(LANGUAGES),
        "response_format": random.choice(FORMATS),
        "tools": random.sample(TOOLS, random.randrange(3)),
        "tool_calls": random.choice([None, 0, 2]),
        "flags": random.sample(FLAGS, random.randrange(3)),
        "has_image": random.choice([None, False, True]),
        "refused": random.random() < 0.2,
        "answer_is_json": _is_json(answer),
        "messages_state": "pending" if pending else "ok",
        "request_id": random.choice(["", "", "req_1", "req_2"]),
        "prompt": random.choice(PROMPTS),
        "answer": answer,
        "system": random.choice(SYSTEMS),
    }


def row_of(made: Any, slug: str, columns: dict[str, Any]) -> Row:
    """The same row for the reference."""
    return Row(
        id=made.pk,
        connection=slug,
        created=columns["created"],
        model=columns["model"],
        metadata=columns["metadata"],
        finish=columns["finish_reason"],
        tokens=columns["total_tokens"],
        prompt_tokens=columns["prompt_tokens"],
        length=len(columns["answer"]),
        turns=columns["turns"],
        temperature=columns["temperature"],
        language=columns["language"],
        format=columns["response_format"],
        tools=tuple(columns["tools"]),
        flags=tuple(columns["flags"]),
        image=bool(columns["has_image"]),
        refused=columns["refused"],
        gone=False,
        pending=columns["messages_state"] == "pending",
        is_json=bool(columns["answer_is_json"]),
        request=columns["request_id"],
        upstream_id=made.upstream_id,
        prompt=columns["prompt"],
        answer=columns["answer"],
        system=columns["system"],
    )


def random_words(random: Random) -> list[Word]:
    """What one person says at once about one row."""
    words = [
        Word("state", random.choice([*STATES, None])),
        Word("rating", random.choice(["good", "bad", None])),
        Word("note", random.choice(NOTES)),
        Word("correction", random.choice([None, *NOTES])),
        *(Word("label", _random_answers(name, random), name) for name in LABELS),
    ]
    return random.sample(words, random.randrange(1, 5))


def _random_answers(name: str, random: Random) -> tuple[str, ...] | None:
    if random.random() < 0.2:
        return None
    if name == "quality":
        low, high = LABELS[name]
        return (str(random.randrange(low, high + 1)),)
    if name == SEVERAL:
        chosen = random.sample(LABELS[name], random.randrange(1, 4))
        return tuple(each for each in LABELS[name] if each in chosen)
    return (random.choice(LABELS[name]),)


def said_of(row: Row, words: list[Word], author: str, moment: int) -> Row:
    """The row when somebody has said some things about it: what holds already is said by nobody."""
    for word in words:
        about = f"{word.kind} {word.label}"
        before = {
            "state": row.review or None,
            "rating": row.rating or None,
            "label": row.labels.get(word.label),
            "correction": row.correction,
        }.get(word.kind)
        if word.kind != "note" and before == word.value:
            continue
        if word.kind == "state":
            row = replace(row, review=word.value or "")
        elif word.kind == "rating":
            row = replace(row, rating=word.value or "")
        elif word.kind == "label":
            kept = {name: answers for name, answers in row.labels.items() if name != word.label}
            row = replace(row, labels=kept if word.value is None else {**kept, word.label: word.value})
        elif word.kind == "note":
            row = replace(row, notes=(*row.notes, word.value))
        else:
            row = replace(row, correction=word.value)
        if word.kind in ("state", "rating", "label"):
            others = {name: said for name, said in row.said.get(about, {}).items() if name != author}
            row = replace(
                row,
                said={**row.said, about: others if word.value is None else {**others, author: word.value}},
            )
        row = replace(row, reviewed=moment, reviewers=(*row.reviewers, author))
    return row


def _is_json(text: str) -> bool | None:
    try:
        json.loads(text)
    except ValueError:
        return False if text else None
    return True


# Conditions, as written and as functions.


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _values(name: str, values: tuple[str, ...], of: Callable[[Row], Any]) -> st.SearchStrategy[Asked]:
    """One of several; `of` says the one value of a row, or all of them as a tuple."""

    def holds(some: list[str]) -> Holds:
        def one(row: Row) -> bool:
            found = of(row)
            return any(each in some for each in found) if isinstance(found, tuple) else found in some

        return one

    chosen = st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)
    return chosen.map(lambda some: (f"{name}:" + ",".join(map(quoted, some)), holds(some)))


def _part(name: str, parts: tuple[str, ...], of: Callable[[Row], Any]) -> st.SearchStrategy[Asked]:
    """A part of a value, in either case."""

    def holds(part: str) -> Holds:
        def one(row: Row) -> bool:
            found = of(row)
            several = found if isinstance(found, tuple) else () if found is None else (found,)
            return any(
                part.casefold() in each.casefold() for each in several if each or name.startswith("meta")
            )

        return one

    return st.sampled_from(parts).map(lambda part: (f"{name}:~{quoted(part)}", holds(part)))


def _present(name: str, of: Callable[[Row], Any]) -> st.SearchStrategy[Asked]:
    missing = (None, "", ()) if not name.startswith("meta.") else (None,)
    return st.just((f"{name}:*", lambda row: of(row) not in missing))


def _numbers(name: str, of: Callable[[Row], Any], numbers: tuple[Any, ...]) -> st.SearchStrategy[Asked]:
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "": lambda there, n: there == n,
        ">": lambda there, n: there > n,
        ">=": lambda there, n: there >= n,
        "<": lambda there, n: there < n,
        "<=": lambda there, n: there <= n,
    }

    def one(sign: str, n: Any) -> Asked:
        return f"{name}:{sign}{n}", lambda row: of(row) is not None and compare[sign](of(row), n)

    def span(low: Any, high: Any) -> Asked:
        low, high = sorted((low, high))
        return f"{name}:{low}..{high}", lambda row: of(row) is not None and low <= of(row) <= high

    some = st.sampled_from(numbers)
    return st.builds(one, st.sampled_from(sorted(compare)), some) | st.builds(span, some, some)


def _moments(name: str, of: Callable[[Row], int | None]) -> st.SearchStrategy[Asked]:
    def since(row: Row, moment: int) -> bool:
        there = of(row)
        return there is not None and there >= moment

    def before(row: Row, moment: int) -> bool:
        there = of(row)
        return there is not None and there < moment

    def day(n: int) -> str:
        return datetime.fromtimestamp(NOW - n * DAY, UTC).strftime("%Y-%m-%d")

    def spans(n: int) -> st.SearchStrategy[Asked]:
        start = NOW - n * DAY
        start -= start % DAY
        return st.sampled_from(
            [
                (f"{name}:{n}d", lambda row: since(row, NOW - n * DAY)),
                (f"{name}:{day(n)}", lambda row: since(row, start) and before(row, start + DAY)),
                (f"{name}:>{day(n)}", lambda row: since(row, start + DAY)),
                (f"{name}:<{day(n)}", lambda row: before(row, start)),
                (f"{name}:{day(n)}..", lambda row: since(row, start)),
                (f"{name}:..{day(n)}", lambda row: before(row, start + DAY)),
            ]
        )

    return st.integers(0, 5).flatmap(spans)


_WHERE: dict[str, Callable[[Row], tuple[str, ...]]] = {
    "": lambda row: (row.prompt, row.answer),
    "prompt": lambda row: (row.prompt,),
    "answer": lambda row: (row.answer,),
    "system": lambda row: (row.system,),
}
_WRITTEN: dict[str, Callable[[Row], tuple[str, ...]]] = {
    "note": lambda row: row.notes,
    "correction": lambda row: (row.correction or "",),
}


def _words(
    where_of: dict[str, Callable[[Row], tuple[str, ...]]], texts: tuple[str, ...]
) -> st.SearchStrategy[Asked]:
    def build(text: str, begins: bool, where: str) -> Asked:
        asked = words(text)

        def within(other: str) -> bool:
            there = words(other)
            for at in range(len(there) - len(asked) + 1):
                part = there[at : at + len(asked)]
                ends = part[-1].startswith(asked[-1]) if begins else part[-1] == asked[-1]
                if part[:-1] == asked[:-1] and ends:
                    return True
            return False

        return (
            f"{where}:" * bool(where) + quoted(text) + "*" * begins,
            lambda row: any(within(text) for text in where_of[where](row)),
        )

    some = [*(text for text in texts if words(text)), "k", "te", "検", "strasse", "key"]
    return st.builds(build, st.sampled_from(some), st.booleans(), st.sampled_from(sorted(where_of)))


def _texts() -> st.SearchStrategy[Asked]:
    def part(text: str, where: str) -> Asked:
        q = f"{where}:" * bool(where) + f"~{quoted(text)}"
        return q, lambda row: any(text.casefold() in there.casefold() for there in _WHERE[where](row))

    def pattern(text: str, where: str) -> Asked:
        found = re.compile(text, re.IGNORECASE)
        q = f"{where}:" * bool(where) + f"/{text.replace('/', chr(92) + '/')}/"
        return q, lambda row: any(found.search(there) for there in _WHERE[where](row))

    where = st.sampled_from(sorted(_WHERE))
    return st.builds(
        part, st.sampled_from(["KEY", "no. 17/b", "ss", "(br", "%", '"', "する"]), where
    ) | st.builds(pattern, st.sampled_from(["k.y", r"\d+", "^the", r"17/b", "[(]br", "e$"]), where)


def _marks() -> st.SearchStrategy[Asked]:
    marks: dict[str, Holds] = {
        "has:image": lambda row: row.image,
        "has:refusal": lambda row: row.refused,
        "has:json": lambda row: row.is_json,
        "is:gone": lambda row: row.gone,
        "is:pending": lambda row: row.pending,
        "has:nul": lambda row: "nul" in row.flags,
        "has:text_cut,image": lambda row: "text_cut" in row.flags or row.image,
        "has:note": lambda row: bool(row.notes),
        "has:correction": lambda row: row.correction is not None,
        "has:disagreement": lambda row: row.disputed,
    }
    return st.sampled_from(sorted(marks.items(), key=lambda entry: entry[0]))


def _metadata() -> st.SearchStrategy[Asked]:
    def of_key(key: str) -> st.SearchStrategy[Asked]:
        name = f"meta.{quoted(key)}"
        value: Callable[[Row], Any] = lambda row: row.metadata.get(key)  # noqa: E731  # shared by the three
        return (
            _values(name, VALUES, value)
            | _part(name, ("x", "É", "%", "null", '"', "v" * 9), value)
            | _present(name, value)
        )

    return st.sampled_from((*KEYS, "nobody has it")).flatmap(of_key)


def _columns() -> st.SearchStrategy[Asked]:
    return st.one_of(
        _values("model", MODELS, lambda row: row.model),
        _part("model", ("MINI", "o'", "4"), lambda row: row.model),
        _present("model", lambda row: row.model),
        _values("finish", FINISH, lambda row: row.finish),
        _values("language", LANGUAGES, lambda row: row.language),
        _values("format", FORMATS, lambda row: row.format),
        _values("tool", TOOLS, lambda row: row.tools),
        _part("tool", ("tool", "LOOK"), lambda row: row.tools),
        _present("tool", lambda row: row.tools),
        _values("connection", (*SLUGS, "nowhere"), lambda row: row.connection),
        _values("request", ("req_1", "req_2"), lambda row: row.request),
        _present("request", lambda row: row.request),
        _values("id", ("chatcmpl-000001", "nothing"), lambda row: row.upstream_id),
        _numbers("tokens", lambda row: row.tokens, (0, 1, 3, 4, 2**33)),
        _numbers("prompt_tokens", lambda row: row.prompt_tokens, (0, 1, 2)),
        _numbers("length", lambda row: row.length, (0, 6, 8, 10)),
        _numbers("turns", lambda row: row.turns, (1, 2, 3)),
        _numbers("temperature", lambda row: row.temperature, (0, 0.7, 1, 2)),
        _present("tokens", lambda row: row.tokens),
        _present("temperature", lambda row: row.temperature),
    )


def _reviews() -> st.SearchStrategy[Asked]:
    return st.one_of(
        _values("review", ("unreviewed", *STATES), lambda row: row.review or "unreviewed"),
        _present("review", lambda row: row.review),
        _values("rating", ("good", "bad"), lambda row: row.rating),
        _present("rating", lambda row: row.rating),
        _values("reviewer", (*REVIEWERS, "nobody"), lambda row: row.reviewers),
        _part("reviewer", ("ROBIN", "e", "%"), lambda row: row.reviewers),
        _present("reviewer", lambda row: row.reviewers),
        _moments("reviewed", lambda row: row.reviewed),
        _present("reviewed", lambda row: row.reviewed),
        _words(_WRITTEN, NOTES),
    )


def _labels() -> st.SearchStrategy[Asked]:
    def of_name(name: str) -> st.SearchStrategy[Asked]:
        written = f"label.{quoted(name)}"
        answers: Callable[[Row], Any] = lambda row: row.labels.get(name, ())  # noqa: E731  # as of_key
        known = tuple(map(str, LABELS.get(name, ("x",))))
        return (
            _values(written, (*known, "0", "nothing"), answers)
            | _part(written, ("A", "x", "5"), answers)
            | _present(written, answers)
            | _numbers(written, lambda row: _number(row.labels.get(name, ())), (-6, -5, -1, 0, 3, 5, 7))
        )

    return st.sampled_from((*LABELS, "nobody has it")).flatmap(of_name)


def _number(answers: tuple[str, ...]) -> int | None:
    """The one answer that is a number; no label here takes several."""
    return next((int(each) for each in answers if re.fullmatch("-?[0-9]+", each)), None)


def _together() -> st.SearchStrategy[Asked]:
    def of_kind(kind: str) -> st.SearchStrategy[Asked]:
        key: Callable[[Row], Any] = lambda row: row.groups.get(kind, "")  # noqa: E731  # as of_key
        return _values(kind, (*GROUPS, "nothing", ""), key) | _present(kind, key)

    return st.sampled_from(("same", "near", "alike", "thread")).flatmap(of_kind)


def conditions() -> st.SearchStrategy[Asked]:
    """One condition, perhaps negated."""
    one = st.one_of(
        _columns(),
        _metadata(),
        _moments("created", lambda row: row.created),
        _marks(),
        _words(_WHERE, (*PROMPTS, *ANSWERS, *SYSTEMS)),
        _texts(),
        _reviews(),
        _labels(),
        _together(),
    )
    return st.builds(_negated, one, st.booleans())


def _negated(asked: Asked, negated: bool) -> Asked:
    q, holds = asked
    return (f"-{q}", lambda row: not holds(row)) if negated else asked


def _group(options: list[list[Asked]], negated: bool) -> Asked:
    distinct = {" ".join(q for q, _ in option): option for option in options}
    if len(distinct) < 2:
        return options[0][0]  # without an alternative it is no group
    options = list(distinct.values())
    inner = " OR ".join(" ".join(q for q, _ in option) for option in options)
    return _negated(
        (f"({inner})", lambda row: any(all(holds(row) for _, holds in option) for option in options)), negated
    )


def _groups(inner: st.SearchStrategy[Asked]) -> st.SearchStrategy[Asked]:
    option = st.lists(inner, min_size=1, max_size=2).map(_once)
    return st.builds(_group, st.lists(option, min_size=2, max_size=3), st.booleans())


def _once(some: list[Asked]) -> list[Asked]:
    """Each field once: repeating one joins its values."""
    kept: dict[str, Asked] = {}
    for q, holds in some:
        name = q if q.lstrip("-").startswith("(") else q.lstrip("-").partition(":")[0]
        kept.setdefault(name, (q, holds))
    return list(kept.values())


def filters() -> st.SearchStrategy[Asked]:
    """Up to four conditions and groups that must all hold."""
    nodes = st.lists(conditions() | st.recursive(conditions(), _groups, max_leaves=5), max_size=4)

    def joined(some: list[Asked]) -> Asked:
        left = _once(some)
        return " ".join(q for q, _ in left), lambda row: all(holds(row) for _, holds in left)

    return nodes.map(joined)
