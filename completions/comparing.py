"""Two completions side by side: which messages they share, what differs word by word, and what else does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from django.utils.safestring import SafeString

from completions import correcting, diff, diff_html
from completions.addresses import drawer_address
from completions.conversation import Message
from completions.models import Body, ReviewEvent, StoredCompletion
from completions.talk import Talk, plain_text
from portal.rendering import plain
from portal.wording import NOTHING

MOST: Final = 200  # pairs and groups of messages on one page
CHARACTERS: Final = 2_000_000  # of their texts; then the rest is left out
SHARED: Final = 50  # messages that are the same, of one group
ROLES: Final = {"system": "System", "developer": "Developer", "user": "User", "assistant": "Assistant"}


@dataclass(frozen=True, slots=True)
class Pair:
    """What stands side by side; a side without anything in that place is None."""

    title: str
    left: SafeString | None
    right: SafeString | None
    note: str = ""

    @property
    def sides(self) -> tuple[tuple[str, SafeString | None], ...]:
        return ("A", self.left), ("B", self.right)

    @property
    def length(self) -> int:
        return len(self.left or "") + len(self.right or "")


@dataclass(frozen=True, slots=True)
class Shared:
    """Messages that are the same on both sides: how many, and the first ones as titles and texts."""

    count: int
    messages: tuple[tuple[str, str], ...]

    @property
    def rest(self) -> int:
        return self.count - len(self.messages)

    @property
    def length(self) -> int:
        return sum(len(text) for _, text in self.messages)


class Side:
    """One of the two."""

    def __init__(self, letter: str, row: StoredCompletion) -> None:
        self.letter, self.row = letter, row

    @cached_property
    def talk(self) -> Talk:
        return Talk(self.row, Body.objects.only("raw").filter(pk=self.row.pk).first())

    @property
    def link(self) -> str:
        return drawer_address(self.row.connection.slug, self.row.upstream_id, self.row.pk)

    @property
    def messages(self) -> Sequence[Message]:
        return self.talk.conversation.messages or ()

    @property
    def answer(self) -> Message | None:
        return self.talk.conversation.answer

    @cached_property
    def correction(self) -> ReviewEvent | None:
        return correcting.holding(self.row) if self.answer is not None else None

    @property
    def corrected(self) -> Message | None:
        """The answer that holds."""
        value = None if self.correction is None else self.correction.value
        return correcting.corrected(self.talk.conversation, value).answer

    @property
    def facts(self) -> dict[str, str]:
        """What can differ beside the texts, by its name."""
        row = self.row
        made = {
            "Connection": row.connection.name,
            "Model": row.model,
            "Finish": row.finish_reason,
            "Prompt tokens": _amount(row.prompt_tokens),
            "Answer tokens": _amount(row.completion_tokens),
            "Answers": str(len(self.talk.conversation.choices)),
            "Tools": ", ".join(name for name, _ in self.talk.tools),
        }
        made |= {f"Parameter {name}": value for name, value in self.talk.parameters}
        return made | {f"Metadata {key}": value for key, value in row.metadata.items()}


class Comparison:
    """Both completions, and what differs between them."""

    def __init__(self, first: StoredCompletion, second: StoredCompletion) -> None:
        self.a, self.b = Side("A", first), Side("B", second)
        self.sides = (self.a, self.b)
        self.is_cut = False
        self._room = [2 * diff.STEPS]  # for all texts of the page together

    @cached_property
    def facts(self) -> list[tuple[str, str, str]]:
        """Names and both values of what is not the same."""
        left, right = self.a.facts, self.b.facts
        names = [*left, *(name for name in right if name not in left)]
        pairs = ((name, left.get(name, NOTHING), right.get(name, NOTHING)) for name in names)
        return [(name, one or NOTHING, other or NOTHING) for name, one, other in pairs if one != other]

    @cached_property
    def prompts(self) -> list[Pair | Shared]:
        """The messages before the answers, those that both share together."""
        made: list[Pair | Shared] = []
        room = CHARACTERS
        for part in self._prompts():
            if len(made) == MOST or room <= 0:
                self.is_cut = True
                break
            made.append(part)
            room -= part.length
        return made

    @cached_property
    def answers(self) -> Pair:
        return self._pair(self.a.answer, self.b.answer, "Answer")

    @cached_property
    def corrections(self) -> Pair | None:
        """The answers that hold, where one of them is not what was answered."""
        if self.a.correction is None and self.b.correction is None:
            return None
        whose = [side.letter for side in self.sides if side.correction is not None]
        pair = self._pair(self.a.corrected, self.b.corrected, "Answer as it holds")
        return Pair(pair.title, pair.left, pair.right, f"{' and '.join(whose)} corrected")

    def _prompts(self) -> Iterator[Pair | Shared]:
        left, right = self.a.messages, self.b.messages
        runs = diff.matching([_key(each) for each in left], [_key(each) for each in right], self._room)
        a = b = 0
        for run in (*runs, diff.Run(len(left), len(right), 0)):
            yield from self._changed(left[a : run.a], right[b : run.b])
            same = left[run.a : run.a + run.length]
            if same:
                shown = tuple((_title(each), plain_text(each)) for each in same[:SHARED])
                yield Shared(len(same), shown)
            a, b = run.a + run.length, run.b + run.length

    def _changed(self, left: Sequence[Message], right: Sequence[Message]) -> Iterator[Pair]:
        """Messages of the same role in the same order beside each other."""
        a = b = 0
        runs = diff.matching([each.role for each in left], [each.role for each in right], self._room)
        for run in (*runs, diff.Run(len(left), len(right), 0)):
            yield from (self._pair(each, None, _title(each)) for each in left[a : run.a])
            yield from (self._pair(None, each, _title(each)) for each in right[b : run.b])
            for n in range(run.length):
                one, other = left[run.a + n], right[run.b + n]
                yield self._pair(one, other, _title(one))
            a, b = run.a + run.length, run.b + run.length

    def _pair(self, one: Message | None, other: Message | None, title: str) -> Pair:
        if one is None or other is None:  # nothing to compare with, so nothing is marked
            left, right = (None if each is None else plain(plain_text(each)) for each in (one, other))
            return Pair(title, left, right)
        marked = diff_html.sides(plain_text(one), plain_text(other), self._room)
        return Pair(
            title, *marked, "Pictures, sound or files differ" if _others(one) != _others(other) else ""
        )


def _title(message: Message) -> str:
    return f"{ROLES.get(message.role, message.role.capitalize())} {message.name}".strip()[:80]


def _key(message: Message) -> str:
    return f"{message.role}\0{message.name}\0{plain_text(message)}\0{_others(message)!r}"


def _others(message: Message) -> list[Any]:
    """What is no text."""
    return [part.raw for part in message.parts if part.kind not in ("text", "refusal")]


def _amount(count: int | None) -> str:
    return NOTHING if count is None else f"{count:,}"
