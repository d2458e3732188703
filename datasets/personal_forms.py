"""What becomes of personal data, as a form: kinds, patterns of one's own, and what is done."""

from dataclasses import dataclass
from typing import Final

from django.http import QueryDict

from datasets.build import own_patterns
from datasets.recipe import MOST_PATTERNS, PERSONAL, Personal

DO: Final = (
    ("replace", "Put a placeholder in their place", "The same one for the same value in a conversation."),
    ("leave_out", "Leave the row out", "Rows with nothing of it stay as they are."),
)
EMPTY_ROWS: Final = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One pattern as it was typed, and what is wrong with it."""

    name: str = ""
    expression: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PersonalForm:
    """The choices of the page; `rows` are the patterns, with room for more."""

    kinds: tuple[str, ...]
    do: str
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, personal: Personal) -> "PersonalForm":
        return cls(personal.kinds, personal.do, tuple(Row(*pattern) for pattern in personal.patterns))

    @classmethod
    def sent(cls, data: QueryDict) -> "PersonalForm":
        """What was sent; rows without a name and an expression are not there."""
        pairs = zip(data.getlist("name"), data.getlist("expression"), strict=False)
        typed = [(name.strip(), expression) for name, expression in pairs if name.strip() or expression]
        rows, taken = [], set[str]()
        for number, (name, expression) in enumerate(typed):
            problem = own_patterns.problem_of(name, expression)
            if not problem and number >= MOST_PATTERNS:
                problem = f"There may be {MOST_PATTERNS} patterns."
            if not problem and name.lower() in taken:
                problem = "Another pattern has this name."
            taken.add(name.lower())
            rows.append(Row(name, expression, problem))
        chosen = data.getlist("kind")
        kinds = tuple(kind for kind in PERSONAL if kind in chosen)
        do = data.get("do", "")
        return cls(kinds, do if do in {code for code, _, _ in DO} else "replace", tuple(rows))

    @property
    def is_valid(self) -> bool:
        return not any(row.problem for row in self.rows)

    @property
    def shown(self) -> list[Row]:
        """The patterns and some empty rows to write more into."""
        return [*self.rows, *[Row()] * min(EMPTY_ROWS, max(0, MOST_PATTERNS - len(self.rows)))]

    @property
    def personal(self) -> Personal:
        """The choices as a part of a recipe; patterns with a problem are left away."""
        return Personal(kinds=self.kinds, patterns=self.patterns, do=self.do)

    @property
    def patterns(self) -> tuple[tuple[str, str], ...]:
        return tuple((row.name, row.expression) for row in self.rows if not row.problem)
