"""Filters to try: everything the language can say, with keys and values that ask for trouble."""

from collections.abc import Sequence

from hypothesis import strategies as st

from completions.filters.fields import FIELDS, FLAGS, MARKS, STATES
from completions.filters.language import quote, write_pattern

KEYS = (
    "2024", "a__b", "x__regex", 'q"uote', "%s", "", "🦜", "k" * 64, "model", "back\\slash", "$[0]",
    "user' OR 1", "(a)", "a/b", "~", "OR", "or", "\u202eabc", "a b", "a:b", "-x", "*",
)  # fmt: skip
VALUES = (*KEYS, "x", "X", "a,b", "100%s", 'say "x"', "é", ">5", "1..2", "/x/", "null", "\\", "v" * 90, "=a")
WORDS = (
    "word",
    "Two words",
    "naïve",
    "OR",
    "and",
    "a(b)",
    "it's",
    "検索",
    "a:b",
    "-x",
    "x*",
    "f(",
    ")y",
    "/a/",
)
PATTERNS = ("a", "a b", r"\d+/x", "(a|b)", "[)(]", '"', r"\\", "é+", " ", "~", "a{2,3}", "(?-i)A")

# What a filter is typed of, and not typed of.
FRAGMENTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "model:", "-meta.", "meta.", '"', "created:", "7d", "tokens:>", ":", " ", "\\", "has:", "*",
                "-", ",", "x", "(", ")", "-(", " OR ", " NOT ", "OR", "AND", "or", "not", "and", "/", "~",
                '~"', "prompt:", "text:", "=", "!=", "model=", "model = ", "&&", "||", "a", "b", "5", "..",
                "[", "temperature:", ".5", "is:", "gone", "tool:", "request:", "a/b", "(a OR b)", "model:a",
                "-model:b", "modle:x", "/x/", "2026-11-01", "\u202e", "🦜", "%s", "__",
            ]
        ),
        st.text(
            st.one_of(st.sampled_from('ab:,"\\*-.<>=()/~ \n7d'), st.characters(exclude_categories=[])),
            max_size=5,
        ),
    ),
    max_size=14,
).map("".join)  # fmt: skip


def _values(name: str) -> st.SearchStrategy[str]:
    some = st.lists(st.sampled_from(VALUES), min_size=1, max_size=3)
    return st.one_of(
        some.map(lambda values: f"{name}:{','.join(map(quote, values))}"),
        st.sampled_from(VALUES).filter(bool).map(lambda text: f"{name}:~{quote(text)}"),
        st.just(f"{name}:*"),
    )


def _numbers(name: str) -> st.SearchStrategy[str]:
    number = st.integers(0, 999).map(str)
    if name == "temperature":
        number = st.sampled_from(("0", "0.0", "0.7", "1", "1.25", "2"))
    pairs = st.tuples(number, number).map(lambda pair: sorted(pair, key=float))
    return st.one_of(
        st.tuples(st.sampled_from(("", ">", ">=", "<", "<=")), number).map(
            lambda pair: f"{name}:{''.join(pair)}"
        ),
        pairs.map(lambda pair: f"{name}:{'..'.join(pair)}"),
        st.just(f"{name}:*"),
    )


def _moments(name: str) -> st.SearchStrategy[str]:
    day = st.dates().map(lambda day: day.isoformat())
    when = st.one_of(day, day.map(lambda text: text[:7]), day.map(lambda text: f"{text}T10:30"))
    return st.one_of(
        st.tuples(st.sampled_from(("", ">", ">=", "<", "<=")), when).map(
            lambda pair: f"{name}:{''.join(pair)}"
        ),
        st.tuples(day, day).map(lambda pair: f"{name}:{'..'.join(sorted(pair))}"),
        st.tuples(st.integers(0, 99), st.sampled_from("mhdw")).map(lambda pair: f"{name}:{pair[0]}{pair[1]}"),
    )


def _keyed(name: str, *, ranges: bool) -> st.SearchStrategy[str]:
    def of_key(key: str) -> st.SearchStrategy[str]:
        written = f"{name}.{quote(key)}"
        some = st.integers(-99, 99)
        signed = st.tuples(st.sampled_from((">", ">=", "<", "<=")), some).map(
            lambda pair: f"{written}:{pair[0]}{pair[1]}"
        )
        return _values(written) | signed if ranges else _values(written)

    return st.sampled_from(KEYS).flatmap(of_key)


def _words(name: str) -> st.SearchStrategy[str]:
    before = "" if name == "text" else f"{name}:"
    return st.tuples(st.sampled_from(WORDS), st.sampled_from(("", "*"))).map(
        lambda pair: f"{before}{quote(pair[0])}{pair[1]}"
    )


def _texts(name: str) -> st.SearchStrategy[str]:
    before = "" if name == "text" else f"{name}:"
    return st.one_of(
        _words(name),
        st.sampled_from(VALUES).filter(bool).map(lambda text: f"{before}~{quote(text)}"),
        st.sampled_from(PATTERNS).map(lambda text: f"{before}{write_pattern(text)}"),
    )


def _listed(name: str, known: Sequence[str], most: int) -> st.SearchStrategy[str]:
    some = st.lists(st.sampled_from(known), min_size=1, max_size=most)
    return some.map(lambda values: f"{name}:{','.join(map(quote, values))}")


def conditions() -> st.SearchStrategy[str]:
    """One condition on any field."""
    made: list[st.SearchStrategy[str]] = []
    for field in FIELDS.values():
        if field.keyed:
            made.append(_keyed(field.name, ranges="between" in field.lookups))
        elif field.choices:
            made.append(_listed(field.name, [*field.choices], 2) | st.just(f"{field.name}:*"))
        elif field.how == "terms" and "contains" in field.lookups:
            made.append(_values(field.name))
        elif field.how == "terms":
            made.append(_listed(field.name, VALUES, 3) | st.just(f"{field.name}:*"))
        elif field.how == "notes":
            made.append(_words(field.name))
        elif field.how == "numbers":
            made.append(_numbers(field.name))
        elif field.how == "moments":
            made.append(_moments(field.name))
        elif field.how == "words":
            made.append(_texts(field.name))
        elif field.how == "marks":
            known = [*MARKS, *FLAGS] if field.name == "has" else [*STATES]
            made.append(_listed(field.name, known, 2))
        else:
            made.append(_listed(field.name, VALUES, 3))
    return st.tuples(st.sampled_from(("", "-", "NOT ")), st.one_of(made)).map("".join)


def filters() -> st.SearchStrategy[str]:
    """Any filter, groups in groups included, as somebody might type it."""
    options = st.recursive(
        st.lists(conditions(), min_size=1, max_size=3).map(" ".join),
        lambda inner: st.lists(
            st.tuples(st.sampled_from(("(", "-(", "NOT (")), st.lists(inner, min_size=1, max_size=3)).map(
                lambda pair: f"{pair[0]}{' OR '.join(pair[1])})"
            ),
            min_size=1,
            max_size=2,
        ).map(" ".join),
        max_leaves=5,
    )
    return st.lists(options, max_size=2).map(" OR ".join)
