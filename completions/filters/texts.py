"""Ways to search text: words, a part of it, a pattern."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from completions import search
from completions.filters.language import in_quotes, write_pattern, write_text, write_value
from completions.filters.operands import Operands, Unreadable, single

MOST_PATTERN = 500
PATTERN_MEMORY = 1 << 21  # what a compiled pattern may take, in bytes


@dataclass(frozen=True, slots=True)
class Words:
    """Words in this order, the last one possibly only begun."""

    text: str
    begins: bool = False

    @classmethod
    def read(cls, operands: Operands, *, begins: bool = False) -> "Words":
        operand = single(operands)
        text = operand.text
        if operand.form == "plain":
            if len(text) > 1 and text.endswith("*"):
                text, begins = text[:-1], True
            if found := re.fullmatch(r"(!=|!|==|=|<=|>=|<>|<|>)(.*)", text, re.DOTALL):
                problem = "Text is searched, not compared: write the words, with a minus in front for “not”."
                rest = found[2]
                instead = write_text(rest) if search.words(rest) else ""
                raise Unreadable(problem, instead, flips=found[1] in ("!", "!=", "<>"))
        if operand.is_star:
            raise Unreadable("“*” alone asks for any value; of text, ask for its words or its length.", "")
        if not search.words(text):
            raise Unreadable(
                f"“{text}” holds no letter or digit to search for; “~” finds signs as well.",
                f"~{write_value(text)}" if text else "",
            )
        return cls(text, begins)

    def write(self) -> str:
        return write_text(self.text, begins=self.begins)

    def phrase(self, *, negated: bool) -> str:
        """`contains the words “…”`; of a begun word, the dots stand outside the quotes."""
        many = len(search.words(self.text)) > 1
        what = "a word beginning with" if self.begins and not many else "the words" if many else "the word"
        return f"{'does not contain' if negated else 'contains'} {what} {in_quotes(self.text)}" + (
            "…" if self.begins and many else ""
        )

    def term(self, columns: tuple[search.Column, ...]) -> search.TextTerm:
        found = search.term(self.text, prefix=self.begins, columns=columns)
        assert found is not None, "checked when it was read"
        return found


@dataclass(frozen=True, slots=True)
class Contains:
    """This text anywhere, in either case; at least one character."""

    text: str

    @classmethod
    def read(cls, operands: Operands) -> "Contains":
        operand = single(operands)
        if not operand.text:
            raise Unreadable("Say which text to look for after “~”.")
        return cls(operand.text)

    def write(self) -> str:
        return f"~{write_value(self.text)}"

    def phrase(self, *, negated: bool) -> str:
        return f"{'does not contain' if negated else 'contains'} the text {in_quotes(self.text)}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression of google-re2, found anywhere, in either case unless it says `(?-i)`.

    Make one with `of`, which checks it and writes an escaped slash as a slash.
    """

    text: str

    @classmethod
    def of(cls, text: str) -> "Pattern":
        text = re.sub(r"\\(.)", lambda pair: "/" if pair[1] == "/" else pair[0], text, flags=re.DOTALL)
        if not text:
            raise Unreadable("Say which pattern to look for between the slashes.")
        if len(text) > MOST_PATTERN:
            raise Unreadable(f"A pattern has at most {MOST_PATTERN} characters.")
        try:
            compiled(text)
        except re2.error as error:
            raise _no_pattern(text, error) from None
        return cls(text)

    @classmethod
    def read(cls, operands: Operands) -> "Pattern":
        return cls.of(single(operands).text)

    def write(self) -> str:
        return write_pattern(self.text)

    def phrase(self, *, negated: bool) -> str:
        return f"{'does not match' if negated else 'matches'} the pattern {self.write()}"

    @property
    def compiled(self) -> Any:
        """For `.search(text)`: linear in the text, whatever the pattern."""
        return compiled(self.text)


@lru_cache(maxsize=256)
def compiled(text: str) -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = PATTERN_MEMORY
    return re2.compile(text, options)


_PLAIN = (
    ("missing )", "A parenthesis is opened in the pattern and never closed"),
    ("unexpected )", "A parenthesis is closed in the pattern that was never opened"),
    ("missing ]", "A bracket “[” is opened in the pattern and never closed"),
    ("invalid perl operator", "Patterns here look neither ahead nor behind, and know no such group"),
    ("invalid repetition size", "A part of the pattern may be repeated at most 1,000 times"),
    ("bad repetition operator", "Two signs of repetition stand side by side in the pattern"),
    ("no argument for repetition", "A sign of repetition (*, +, ?) has nothing before it to repeat"),
    ("invalid escape sequence", "The pattern knows no such backslash"),
    ("trailing \\", "The pattern ends with a single backslash"),
    ("invalid character class range", "The pattern knows no such range of characters"),
    ("invalid named capture group", "The name of a group cannot be read"),
    ("pattern too large", "The pattern is too large"),
)


def _no_pattern(text: str, error: Exception) -> Unreadable:
    raw = error.args[0] if error.args else b""
    said = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    for begins, plain in _PLAIN:
        if said.startswith(begins):
            about = said.partition(": ")[2]
            problem = plain + (f": {about}" if about and about != text else "") + "."
            break
    else:
        problem = f"The pattern cannot be read ({said})."
    return Unreadable(problem, f"~{write_value(text)}")
