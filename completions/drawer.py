"""One completion in full, as an object: its conversation, what stands around it, and its neighbours."""

import json
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.safestring import SafeString

from completions import uses
from completions.addresses import drawer_address
from completions.answer_html import Answer
from completions.conversation import as_json
from completions.filters import Filter
from completions.filters.fields import FLAGS
from completions.highlights import Highlights
from completions.likeness import Likeness
from completions.models import Body, StoredCompletion
from completions.pane import Pane
from completions.repeating import CannotRepeat, as_curl, as_python
from completions.review import ReviewPanel
from completions.talk import Talk
from completions.talk_html import Writer
from portal.json_folding import folding_tree
from portal.json_rendering import json_text
from portal.permissions import may
from portal.rendering import code
from portal.wording import NOTHING

TABS = (
    ("conversation", "Conversation"),
    ("review", "Review"),
    ("details", "Details"),
    ("json", "JSON"),
    ("code", "Code"),
)


# Words of a filter are looked for in the beginning of a text only.
SEARCHED, MOST_WORDS, LONGEST_WORD = 200_000, 200, 200


class Drawer:
    """One completion in full, within the result it was opened from."""

    tabs = TABS

    def __init__(
        self,
        pane: Pane,
        row: StoredCompletion,
        *,
        tab: str = "",
        raw: bool = False,
        flat: bool = False,
        full: str = "",
        answer: str = "",
    ) -> None:
        self.pane, self.row, self.raw, self.flat, self.full = pane, row, raw, flat, full
        self._answer_asked = answer
        self.cannot_repeat = ""
        self.tab = tab if tab in dict(TABS) else TABS[0][0]

    @cached_property
    def talk(self) -> Talk:
        return Talk(self.row, Body.objects.only("raw").filter(pk=self.row.pk).first())

    @cached_property
    def review(self) -> ReviewPanel:
        """What is said about it."""
        return ReviewPanel(self.pane.user, self.row, self.pane.query)

    @cached_property
    def answer(self) -> Answer:
        """What was answered, and how it was corrected."""
        return Answer(
            self.review.now,
            self.talk,
            asked=self._answer_asked,
            here=self.here,
            query=self.pane.query,
            may_correct=self.review.may_review,
        )

    # Where things are.

    @property
    def link(self) -> str:
        """Its own address, without the result it was opened from."""
        return drawer_address(self.row.connection.slug, self.row.upstream_id, self.row.pk)

    @cached_property
    def here(self) -> str:
        """Its address within the result, ready for one more parameter."""
        row = self.row
        address = drawer_address(row.connection.slug, row.upstream_id, row.pk, self.pane.query)
        return address + ("&" if "?" in address else "?")

    @property
    def back(self) -> str:
        """Its address within the result."""
        return self.here.rstrip("?&")

    @cached_property
    def likeness(self) -> Likeness:
        """What it belongs to."""
        return Likeness(self.pane, self.row)

    # The rows before and after.

    @property
    def newer(self) -> str:
        """The address of the one before it in the result, or nothing."""
        return self._neighbours[0]

    @property
    def older(self) -> str:
        """The address of the one after it in the result, or nothing."""
        return self._neighbours[1]

    @cached_property
    def _neighbours(self) -> tuple[str, str]:
        place = self.pane.place_of(self.row)
        before, after = self.pane.listing.page(1, before=place), self.pane.listing.page(1, after=place)
        ids = [key.id for key in (*before, *after)]
        rows = StoredCompletion.objects.filter(pk__in=ids).values_list("pk", "connection_id", "upstream_id")
        found = {pk: self._beside(pk, connection, upstream) for pk, connection, upstream in rows}
        newer, older = (found.get(keys[0].id, "") if keys else "" for keys in (before, after))
        return newer, older

    def _beside(self, pk: int, connection: int, upstream_id: str) -> str:
        slug = next((each.slug for each in self.pane.connections if each.pk == connection), None)
        if slug is None:
            return ""
        address = drawer_address(slug, upstream_id, pk, self.pane.query)
        shown = {"tab": self.tab} if self.tab != TABS[0][0] else {}
        shown |= {"as": "text"} if self.flat else {}
        return f"{address}{('&' if '?' in address else '?') if shown else ''}{urlencode(shown)}"

    # What is in it.

    @cached_property
    def conversation(self) -> SafeString:
        return self._writer(whole=self.full == "all").conversation(self.talk)

    def _writer(self, *, whole: bool) -> Writer:
        return Writer(self.here, raw=self.raw, whole=whole, answer=self.answer)

    def message(self, name: str) -> SafeString | None:
        """One message in full, by the id that it has on the page."""
        index = name.removeprefix("m")
        if not index.isascii() or not index.isdigit() or len(index) > 9:
            return None
        speech = self.talk.speech(int(index))
        return None if speech is None else self._writer(whole=True).speech(speech)

    @cached_property
    def words(self) -> str:
        """What the filter found in the texts as JSON: words, and whether they stand apart at each side."""
        found = Highlights(self.pane.wanted)
        if not found or self.tab != TABS[0][0]:
            return ""
        texts = self.talk.conversation.texts()
        told: dict[str, tuple[bool, bool]] = {}
        for column, text in (("prompt", texts.prompt), ("answer", texts.answer)):
            text = text[:SEARCHED]
            for start, end in found.spans(text, column)[:MOST_WORDS]:
                word = text[start:end].lower()
                before, after = told.get(word, (True, True))
                told[word] = (
                    before and not text[start - 1 : start].isalnum(),
                    after and not text[end : end + 1].isalnum(),
                )
        marks = [[word, *apart] for word, apart in told.items() if len(word) <= LONGEST_WORD]
        return json.dumps(marks) if marks else ""

    @property
    def tokens(self) -> str:
        sent, answered = self.row.prompt_tokens, self.row.completion_tokens
        if sent is None or answered is None:
            return NOTHING if self.row.total_tokens is None else f"{self.row.total_tokens:,}"
        return f"{sent:,} → {answered:,}"

    @property
    def flags(self) -> str:
        return ", ".join(FLAGS.get(flag, flag) for flag in self.row.flags)

    @cached_property
    def uses(self) -> list[uses.Use]:
        """What was made of it."""
        return uses.of(self.pane.user, self.row)

    @property
    def metadata_form(self) -> str:
        """Where its metadata is edited; nothing for whoever may not, or when it is gone upstream."""
        source = self.row.connection
        if (
            self.row.gone_at
            or not source.has_endpoint
            or not may(StoredCompletion.objects.all(), self.pane.user, "act", self.row)
        ):
            return ""
        return reverse("completions:metadata_of_row", args=[self.row.pk])

    @property
    def metadata_links(self) -> dict[str, str]:
        """The pane with one pair alone, by key."""
        return {
            key: self.pane.address(Filter().only(Filter.key(key), value))
            for key, value in self.row.metadata.items()
        }

    # Its bytes.

    def document(self, part: str) -> Any:
        """What the JSON tab shows: the stored completion as upstream lists it, or its messages."""
        return self.talk.messages if part == "messages" else self.talk.item

    @property
    def documents(self) -> list[tuple[str, str, SafeString]]:
        """Name, title and HTML of each document, as trees or as text."""
        made = [("item", "Stored completion")]
        made += [("messages", "Messages")] if self.talk.messages is not None else []
        if self.flat:
            return [(name, title, json_text(self.document(name))) for name, title in made]
        return [
            (name, title, folding_tree(self.document(name), title, f"{self.here}part={name}"))
            for name, title in made
        ]

    @property
    def listings(self) -> list[tuple[str, str, SafeString]]:
        """The code as HTML."""
        languages = {"python": "python", "curl": "bash"}
        return [(name, title, code(text, languages[name])) for name, title, text in self.code]

    @cached_property
    def code(self) -> tuple[tuple[str, str, str], ...]:
        """Name, title and text of each way to make it again; none where `cannot_repeat` says why."""
        row, talk = self.row.connection, self.talk.conversation
        try:
            return (("python", "Python", as_python(row, talk)), ("curl", "curl", as_curl(row, talk)))
        except CannotRepeat as problem:
            self.cannot_repeat = str(problem)
            return ()

    def copied(self, name: str) -> str | None:
        """What one of the copy buttons gives, as plain text; nothing where there is no such thing."""
        talk = self.talk
        if name in ("python", "curl"):
            return next((text for each, _, text in self.code if each == name), None)
        if name in ("item", "messages"):
            return as_json(self.document(name))
        if name == "answer":
            return talk.answer_text
        if name == "correction":
            return self.answer.correction_text
        if name == "conversation":
            return talk.whole_text
        index = name.removeprefix("m")
        return talk.text_of(int(index)) if index.isascii() and index.isdigit() and len(index) < 10 else None
