"""The kinds of work in the story: each can pose a problem, recognise it in a prompt, and solve it."""

import base64
import json
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from portal.sandbox import material, sentences
from portal.sandbox.draw import Draw

Json = dict[str, Any]  # JSON objects have no narrower type before they are read


@dataclass(frozen=True, slots=True)
class Problem:
    """What is asked, and what a good model says to it."""

    kind: str
    content: str | list[Json]  # the user's message
    answer: str
    expected: str  # a short reference that fits in a metadata value
    language: str = "en"
    tool_call: tuple[str, str] | None = None  # a good model calls this first
    refuses: bool = False
    response_format: Json | None = field(default=None, compare=False)


# documentation


def _summary(name: str, page: str, language: str) -> Problem:
    ask, label = sentences.ASK[language]
    names = ", ".join(name for name, _ in material.parameters(page)) or "-"
    sentence = material.first_sentence(page)
    return Problem(
        "summary",
        f"{ask.format(name=name)}\n\n```\n{page}\n```",
        f"`{name}`: {sentence}\n{label}: {names}",
        f"`{name}`: {sentence}"[:400],
        language,
    )


_ASKED = {
    language: re.compile(re.escape(ask).replace(r"\{name\}", "([^`]{1,200})"))
    for language, (ask, _) in sentences.ASK.items()
}
_FENCE = re.compile(r"```\n(.*?)\n```", re.DOTALL)


def _read_summary(text: str) -> Problem | None:
    for language, pattern in _ASKED.items():
        asked = pattern.search(text)
        fence = _FENCE.search(text)
        if asked and fence:
            return _summary(asked[1], fence[1], language)
    return None


def _pose_summary(draw: Draw) -> Problem:
    topic = draw.pick(material.topics())
    language = draw.pick(("en", "en", "en", "en", "de", "fr", "es", "ja"))
    return _summary(topic.name, topic.page, language)


_REVIEW = "Which parameters does the documentation of `{name}` not mention?"


def _review(name: str, page: str) -> Problem:
    missing = material.undocumented(page)
    answer = f"Not mentioned: {', '.join(missing)}." if missing else "Every parameter is mentioned."
    return Problem("review", f"{_REVIEW.format(name=name)}\n\n```\n{page}\n```", answer, answer[:400])


_REVIEWED = re.compile(re.escape(_REVIEW).replace(r"\{name\}", "([^`]{1,200})"))


def _read_review(text: str) -> Problem | None:
    asked, fence = _REVIEWED.search(text), _FENCE.search(text)
    return _review(asked[1], fence[1]) if asked and fence else None


@cache
def _with_gaps() -> tuple[material.Topic, ...]:
    return tuple(topic for topic in material.topics() if material.undocumented(topic.page))


def _pose_review(draw: Draw) -> Problem:
    topic = draw.pick(_with_gaps() if draw.chance(0.75) else material.topics())
    return _review(topic.name, topic.page)


_LOOKUP = re.compile(r"Look up what `([^`]{1,200})` does")


@cache
def _pages() -> dict[str, str]:
    return {topic.name: topic.page for topic in material.topics()}


def _lookup(name: str) -> Problem:
    page = _pages().get(name, "")
    sentence = material.first_sentence(page) or "There is no documentation under that name."
    return Problem(
        "lookup",
        f"Look up what `{name}` does and tell me in one sentence.",
        sentence,
        sentence[:400],
        tool_call=("lookup_documentation", json.dumps({"name": name})),
    )


def _read_lookup(text: str) -> Problem | None:
    asked = _LOOKUP.search(text)
    return _lookup(asked[1]) if asked else None


def _pose_lookup(draw: Draw) -> Problem:
    return _lookup(draw.pick(material.topics()).name)


def look_up(name: str) -> str:
    """What the tool answers."""
    return _pages().get(name, "not found")[:600]


# tickets

_TICKET = re.compile(r"<ticket>\n(.*?)\n</ticket>", re.DOTALL)
_NUMBERS = re.compile(r"\d+")


@cache
def _ticket_openings() -> dict[str, tuple[str, str]]:
    return {
        _NUMBERS.sub("#", opening.replace("{n}", "0")): (category, language)
        for category, languages in sentences.TICKETS.items()
        for language, openings in languages.items()
        for opening in openings
    }


def _triage(ticket: str, category: str, priority: str, language: str) -> Problem:
    answer = json.dumps({"category": category, "priority": priority, "language": language})
    return Problem(
        "triage", f"Classify this ticket.\n\n<ticket>\n{ticket}\n</ticket>", answer, category, language
    )


def _read_triage(text: str) -> Problem | None:
    found = _TICKET.search(text)
    if not found:
        return None
    ticket = found[1]
    plain = _NUMBERS.sub("#", ticket.partition("\n")[0].strip())
    category, language = _ticket_openings().get(plain, ("defect", "en"))
    priority = next((p for p, by in sentences.URGENCY.items() if by[language] in ticket), "normal")
    return _triage(ticket, category, priority, language)


def _pose_triage(draw: Draw) -> Problem:
    category = draw.pick(tuple(sentences.TICKETS))
    language = draw.pick(("en", "en", "en", "de", "fr", "es", "ja"))
    priority = draw.pick(tuple(sentences.URGENCY))
    opening = draw.pick(sentences.TICKETS[category][language]).replace("{n}", str(draw.between(1000, 99999)))
    return _triage(f"{opening}\n{sentences.URGENCY[priority][language]}", category, priority, language)


# translation

_TRANSLATE = re.compile(r"Translate into (\w+):\n\n(.*)", re.DOTALL)


@cache
def _translations() -> dict[str, tuple[str, ...]]:
    return {row[0].replace("{n}", "#"): row for row in sentences.TRANSLATIONS}


def _translation(text: str, code: str) -> Problem | None:
    row = _translations().get(_NUMBERS.sub("#", text.strip()))
    number = _NUMBERS.search(text)
    if row is None or number is None:
        return None
    answer = row[1 + list(sentences.LANGUAGES).index(code)].replace("{n}", number[0])
    return Problem(
        "translation", f"Translate into {sentences.LANGUAGES[code]}:\n\n{text}", answer, answer, code
    )


def _read_translation(text: str) -> Problem | None:
    found = _TRANSLATE.search(text)
    codes = {name: code for code, name in sentences.LANGUAGES.items()}
    return _translation(found[2], codes[found[1]]) if found and found[1] in codes else None


def _pose_translation(draw: Draw) -> Problem:
    text = draw.pick(sentences.TRANSLATIONS)[0].replace("{n}", str(draw.between(2, 999)))
    problem = _translation(text, draw.pick(tuple(sentences.LANGUAGES)))
    assert problem is not None
    return problem


# extraction

_ORDER = re.compile(
    r"Order (\d+): (\d+) x (.+?) at (\d+\.\d\d) ([A-Z]{3}) each, to be in (\w+) by (\d{4}-\d\d-\d\d)\."
)
_ORDER_SCHEMA: Json = {
    "type": "json_schema",
    "json_schema": {
        "name": "order",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "order": {"type": "integer"},
                "quantity": {"type": "integer"},
                "item": {"type": "string"},
                "price": {"type": "number"},
                "currency": {"type": "string"},
                "city": {"type": "string"},
                "by": {"type": "string"},
            },
            "required": ["order", "quantity", "item", "price", "currency", "city", "by"],
            "additionalProperties": False,
        },
    },
}


def _read_extraction(text: str) -> Problem | None:
    found = _ORDER.search(text)
    if not found:
        return None
    order, quantity, item, price, currency, city, by = found.groups()
    answer = json.dumps(
        {
            "order": int(order),
            "quantity": int(quantity),
            "item": item,
            "price": float(price),
            "currency": currency,
            "city": city,
            "by": by,
        },
        ensure_ascii=False,
    )
    content = f"Extract the order as JSON.\n\n{found[0]}"
    return Problem("extraction", content, answer, answer, response_format=_ORDER_SCHEMA)


def _pose_extraction(draw: Draw) -> Problem:
    problem = _read_extraction(
        f"Order {draw.between(10000, 99999)}: {draw.between(2, 60)} x {draw.pick(sentences.GOODS)} at "
        f"{draw.between(1, 400)}.{draw.between(0, 99):02d} {draw.pick(sentences.CURRENCIES)} each, to be in "
        f"{draw.pick(sentences.CITIES)} by 2026-{draw.between(1, 12):02d}-{draw.between(1, 28):02d}."
    )
    assert problem is not None
    return problem


# pictures


def png(colour: tuple[int, int, int], side: int) -> bytes:
    """A valid PNG of one colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = (b"\x00" + bytes(colour) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@cache
def _pictures() -> dict[str, str]:
    """data: URL -> colour."""
    return {
        "data:image/png;base64," + base64.b64encode(png(rgb, side)).decode(): name
        for name, rgb in sentences.COLOURS.items()
        for side in (16, 24, 32, 48)
    }


_PICTURE_ASKS = (
    "What colour is this square? One word.",
    "Name the colour in the picture with one word.",
    "Which colour do you see? Answer with one word.",
)


def _vision(url: str, ask: str) -> Problem:
    content: list[Json] = [
        {"type": "text", "text": ask},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    return Problem("vision", content, _pictures()[url], _pictures()[url])


def _pose_vision(draw: Draw) -> Problem:
    return _vision(draw.pick(tuple(_pictures())), draw.pick(_PICTURE_ASKS))


# what must be refused

_FORBIDDEN = re.compile("|".join(re.escape(t).replace(r"\{user\}", r"user-\d+") for t in sentences.FORBIDDEN))


def _read_refusal(text: str) -> Problem | None:
    if not _FORBIDDEN.search(text):
        return None
    return Problem("refusal", text, sentences.REFUSAL, "refused", refuses=True)


def _pose_refusal(draw: Draw) -> Problem:
    text = draw.pick(sentences.FORBIDDEN).format(user=f"user-{draw.below(600):04d}")
    return Problem("refusal", text, sentences.REFUSAL, "refused", refuses=True)


POSE: dict[str, Callable[[Draw], Problem]] = {
    "summary": _pose_summary,
    "review": _pose_review,
    "lookup": _pose_lookup,
    "triage": _pose_triage,
    "translation": _pose_translation,
    "extraction": _pose_extraction,
    "vision": _pose_vision,
    "refusal": _pose_refusal,
}
_READ = (
    _read_summary,
    _read_review,
    _read_lookup,
    _read_triage,
    _read_translation,
    _read_extraction,
    _read_refusal,
)

FOLLOW_UP = "Which of its parameters have a default value?"


def text_of(content: object) -> str:
    """The text of a message's content, in either of its forms."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            str(p["text"]) for p in content if isinstance(p, dict) and isinstance(p.get("text"), str)
        )
    return ""


def recognise(messages: list[Json]) -> Problem | None:
    """The problem that a conversation ends with, if it is one of the story's kinds."""
    asked = [m for m in messages if m.get("role") == "user"]
    if not asked:
        return None
    content = asked[-1].get("content")
    text = text_of(content)
    if FOLLOW_UP in text:
        return _follow_up(messages)
    if isinstance(content, list):
        for part in content:
            image = part.get("image_url") if isinstance(part, dict) else None
            url = image.get("url") if isinstance(image, dict) else None
            if isinstance(url, str) and url in _pictures():
                return _vision(url, text)
    for read in _READ:
        problem = read(text)
        if problem is not None:
            return problem
    return None


def _follow_up(messages: list[Json]) -> Problem | None:
    for message in reversed(messages):
        fence = _FENCE.search(text_of(message.get("content"))) if message.get("role") == "user" else None
        if fence:
            return follow_up(fence[1])
    return None


def follow_up(page: str) -> Problem:
    """The second turn of a conversation about a documentation page."""
    given = [f"{name} ({default})" for name, default in material.parameters(page) if default is not None]
    answer = f"With a default: {', '.join(given)}." if given else "None of them has a default."
    return Problem("follow-up", FOLLOW_UP, answer, answer[:400])
