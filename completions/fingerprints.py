"""Fingerprints of completions: each compared, when it is made, with those that came before it."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import F

from completions import raw
from completions.conversation import Conversation, Texts, parse
from completions.duplicates import (
    NEAR,
    Bands,
    Firsts,
    Hashes,
    bands_of,
    chain,
    exact_key,
    jaccard,
    keys_of,
    shape_of,
    shingles,
)
from completions.models import Body, Fingerprint, PromptTemplate
from completions.prompt_templates import Outlines, outline, words_of

VERSION = 1  # of what fingerprints are made of; those with another are made again
REMEMBERED = 256  # texts, as numbers, that others were compared with


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look at a completion says about it alone."""

    same: str
    runs: Hashes
    system: str
    whole: int
    earlier: list[int]


class Reader:
    """Compares completions with those that came before them, of which it holds numbers and no texts."""

    def __init__(self, connection_id: int) -> None:
        self.connection_id = connection_id
        kept = Fingerprint.objects.filter(connection=connection_id)
        rows = list(kept.filter(near=F("pk")).order_by("pk").values_list("pk", "shape", "bands"))
        bands = np.frombuffer(b"".join(bytes(row[2]) for row in rows), "<u4").astype(np.uint32)
        self.firsts = Firsts(
            np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.int64), bands
        )
        self.outlines, self.known = Outlines(), dict[str, str]()
        self.known.update(kept.exclude(outline="").values_list("outline", "alike").distinct())
        templates = PromptTemplate.objects.filter(connection=connection_id).exclude(words=b"")
        for key, words in templates.order_by("pk").values_list("key", "words"):
            self.outlines.add(key, np.frombuffer(bytes(words), "<u4").tolist())
        self._runs: OrderedDict[int, Hashes] = OrderedDict()

    def read(self, batch: Sequence[tuple[int, str, str]]) -> tuple[list[dict[str, Any]], list[Any]]:
        """The fingerprints of some completions (id, digest, state), and templates not met before."""
        bodies = {body.pk: body for body in Body.objects.filter(pk__in=[pk for pk, _, _ in batch])}
        made: list[dict[str, Any]] = []
        templates: list[Any] = []
        for pk, digest, state in batch:
            if (body := bodies.get(pk)) is None:
                continue
            seen = _look(body)
            shape, bands, near = 0, np.empty(0, np.uint32), None
            if len(seen.runs):
                shape, bands = shape_of(seen.runs), bands_of(seen.runs)
                near = self._near(pk, shape, bands, seen.runs)
            key = outline(seen.system)
            made.append(
                {
                    "completion": pk, "connection": self.connection_id, "version": VERSION,
                    "digest": digest, "state": state, "same": seen.same, "shape": shape,
                    "bands": bands.astype("<u4").tobytes(), "near": near, "outline": key,
                    "alike": self.alike(key, seen.system, templates) if key else "",
                    "whole": seen.whole, "earlier": np.array(seen.earlier, "<i8").tobytes(),
                }
            )  # fmt: skip
        return made, templates

    def _near(self, pk: int, shape: int, bands: Bands, runs: Hashes) -> int:
        first = self.firsts.near(shape, bands, lambda other: jaccard(self._runs_of(other), runs) >= NEAR)
        if first is None:
            self.firsts.add(pk, shape, bands)
            self._remember(pk, runs)
        return pk if first is None else first

    def _runs_of(self, pk: int) -> Hashes:
        found = self._runs.get(pk)
        if found is None:
            texts = Body.objects.filter(pk=pk).values_list("prompt_text", "answer_text").first()
            found = self._remember(pk, shingles(*texts) if texts else np.empty(0, np.uint64))
        else:
            self._runs.move_to_end(pk)
        return found

    def _remember(self, pk: int, runs: Hashes) -> Hashes:
        self._runs[pk] = runs
        if len(self._runs) > REMEMBERED:
            self._runs.popitem(last=False)
        return runs

    def alike(self, key: str, system: str, templates: list[Any]) -> str:
        """The template that a system prompt belongs to, by its outline; a new one is added."""
        found = self.known.get(key)
        if found is None:
            words = words_of(system)
            found = self.outlines.alike(words.tolist())
            if found is None:
                found = key
                if self.outlines.add(key, words.tolist()):
                    packed = words.astype("<u4").tobytes()
                    templates.append(PromptTemplate(connection_id=self.connection_id, key=key, words=packed))
            self.known[key] = found
        return found


def _look(body: Any) -> _Seen:
    conversation = conversation_of(body)
    keys = keys_of(conversation)
    whole, earlier = chain(conversation, keys)
    texts = Texts(body.system_text, body.prompt_text, body.answer_text)
    runs = shingles(texts.prompt, texts.answer) if keys else np.empty(0, np.uint64)
    return _Seen(exact_key(conversation, keys), runs, texts.system, whole, earlier)


def conversation_of(body: Any) -> Conversation:
    """The conversation that a body's bytes hold; one without messages if they cannot be read."""
    try:
        return parse(*raw.read(raw.unpack(bytes(body.raw))))
    except (raw.Unreadable, ValueError, KeyError):
        return parse({}, None)  # what cannot be read is like nothing
