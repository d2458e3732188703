"""What is measured of the pane: real addresses with the headers that the page's own links send."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.bench import rows
from tests.bench.build import TALK

ALL, TWO = "sees-all", "sees-two"
PAGE_MS, MANY_MS, WORDS_MS, SCAN_MS, FACETS_MS, NEXT_MS, TALK_MS = 25, 60, 60, 300, 150, 30, 100
FIVE = "meta.env:prod -meta.category:other tokens:>850 finish:stop (language:de OR language:fr)"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the questions need to know of the mirror they are asked of."""

    rows: int
    deep: str  # a place in the list with nine of ten rows before it, as it stands in addresses
    deep_row: str  # the address of the completion there
    talk_row: str
    three: str  # a range of tokens that three rows have, or as few as there are
    session: str  # a value of a few old rows
    day: str  # a day in the middle


@dataclass(frozen=True, slots=True)
class Screen:
    """One request, and how long its answer may take."""

    group: str
    name: str
    aim: float
    path: str
    target: str = "panes"
    user: str = ALL
    q: str | None = None  # the filter, where the answer is a list
    post: dict[str, str] = field(default_factory=dict)
    bare: str = ""  # the bare SQL beside it, by its name in tests.bench.pane_bare

    @property
    def headers(self) -> dict[str, str]:
        return {
            "HX-Request": "true",
            "HX-Target": self.target,
            "HX-Current-URL": "http://localhost/completions/",
        }


def table(
    group: str, name: str, q: str, aim: float, *, bare: str = "", user: str = ALL, **more: str
) -> Screen:
    """The rows of a filter, as a click on a facet asks for them."""
    from django.urls import reverse

    path = f"{reverse('completions:pane')}?{urlencode({'q': q, **more})}"
    return Screen(group, name, aim, path, "pane" if more else "panes", user, q, bare=bare)


def pages(facts: Facts) -> Iterator[Screen]:
    yield table("Pages", "newest page", "", PAGE_MS, bare="newest")
    yield table("Pages", "deep page, 90 % deep", "", PAGE_MS, bare="deep", after=facts.deep)
    yield table("Pages", "newest page, sorted by tokens", "", MANY_MS, sort="-tokens")
    yield table("Pages", "50 % pair, sorted by answer length", "meta.env:prod", MANY_MS, sort="-length")


def filters(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Name, filter, bare SQL: one condition of every kind and selectivity."""
    yield "metadata, 50 %", "meta.env:prod", "pair:env:prod"
    yield "metadata, 1 %", "meta.category:billing", "pair:category:billing"
    yield "metadata, 0.01 %", "meta.tier:founder", "pair:tier:founder"
    yield "metadata, oldest 10 % only", "meta.era:old", "pair:era:old"
    yield "metadata, 10 old rows", f"meta.session:{facts.session}", ""
    yield "metadata, none of (50 %)", "-meta.env:prod", ""
    yield "metadata, present", "meta.tier:*", ""
    yield "metadata, absent (1 row)", "-meta.tier:*", ""
    yield "metadata, contains", 'meta.session:~"1-12"', ""
    yield "model", f"model:{rows.MODELS[1]}", f"model:{rows.MODELS[1]}"
    yield "model, any of two", f"model:{rows.MODELS[2]},{rows.MODELS[3]}", ""
    yield "connection", "connection:connection-5", ""
    yield "finish reason, 5 %", "finish:length", ""
    yield "tokens, 3 rows", f"tokens:{facts.three}", f"tokens:{facts.three}"
    yield "tokens, most rows", "tokens:>800", ""
    yield "prompt tokens", "prompt_tokens:<500", ""
    yield "answer length", "length:>1350", ""
    yield "turns", "turns:2", ""
    yield "temperature", "temperature:0.2", ""
    yield "language, 10 %", "language:ja", ""
    yield "response format", "format:json_schema", ""
    yield "has:tools", "has:tools", ""
    yield "tool", f"tool:{rows.TOOLS[2]}", ""
    yield "a flag that no row has", "has:duplicate_key", ""
    yield "is:gone, no row", "is:gone", ""
    yield "created, one day", f"created:{facts.day}", ""
    yield "created, everything before a day", f"created:..{facts.day}", ""
    yield "request id", "request:rchatcmpl-01000000000123", ""
    yield "id", "id:chatcmpl-01000000000123", ""


def words(facts: Facts) -> Iterator[tuple[str, str, str]]:
    yield "in every row", "everyrow", "word:everyrow"
    yield "in 50 %", "halfrow", "word:halfrow"
    yield "in 10 %", "tenthrow", "word:tenthrow"
    yield "in 1 %", "hundredthrow", "word:hundredthrow"
    yield "in 0.01 %", "rarestrow", "word:rarestrow"
    yield "common in old rows only", rows.OLD_WORD, f"word:{rows.OLD_WORD}"
    yield "phrase, 2 %", f'"{rows.PHRASE}"', ""
    yield "phrase of words in every row", '"you are assistant"', ""
    yield "phrase in every row, system", 'system:"you are assistant number"', ""
    yield "beginning, many words", "re*", ""
    yield "not in 50 %", "-halfrow", ""
    yield "not in any other row", "-everyrow", ""
    yield "everyrow + 50 % pair", "everyrow meta.env:prod", ""
    yield "everyrow + 0.01 % pair", "everyrow meta.tier:founder", ""
    yield "everyrow + oldest 10 %", "everyrow meta.era:old", ""
    yield "1 % + 1 % pair", "hundredthrow meta.category:billing", ""
    yield "0.01 % + 50 % pair", "rarestrow meta.env:prod", ""
    yield "old word + newest model", f"{rows.OLD_WORD} model:{rows.MODELS[3]}", ""
    yield "50 % and 1 %", "halfrow hundredthrow", ""
    yield "1 % or 0.01 %", "(hundredthrow OR rarestrow)", ""
    yield "1 % or a pair", "(hundredthrow OR meta.tier:founder)", ""
    yield "10 % but not 1 %, old", "tenthrow -hundredthrow meta.era:old", ""


def scans() -> Iterator[tuple[str, str]]:
    yield "substring, every row", '~"veryro"'
    yield "substring, 1 %", '~"undredthr"'
    yield "substring, 0.01 %", '~"arestro"'
    yield "substring, no row", '~"qqzzqq"'
    yield "substring + 0.01 % pair", '~"veryro" meta.tier:founder'
    yield "regex, every row", "/every(row|line)/"
    yield "regex, no row", r"/q{3}z+\d/"
    yield "regex in the prompt", r"prompt:/\bqq\w+zz\b/"


ABOUT = (
    ("no filter", ""),
    ("50 %", "meta.env:prod"),
    ("1 %", "meta.category:billing"),
    ("five conditions", FIVE),
    ("a word in every row", "everyrow"),
    ("a word in 1 %", "hundredthrow"),
)


def around(places: dict[str, Any]) -> Iterator[Screen]:
    """Facets and timeline; `places` are the addresses of the fragments that the page loads later."""
    for about, q in ABOUT:
        for part in ("facets", "timeline"):
            path, target = places[part]
            yield Screen(
                "Around", f"{part}, {about}", FACETS_MS, f"{path}?{urlencode({'q': q})}", target, q=q
            )
    path, target = places["facet"]
    for about, q in (("no filter", ""), ("50 %", "meta.env:prod")):
        query = urlencode({"q": q, "facet": "meta.session", "find": "1-12"})
        yield Screen(
            "Around",
            f"one facet with a value per ten rows, {about}",
            FACETS_MS,
            f"{path}?{query}",
            target,
            q=q,
        )


def single(facts: Facts) -> Iterator[Screen]:
    from django.urls import reverse

    for about, q in (("no filter", ""), ("50 %", "meta.env:prod"), ("five conditions", FIVE)):
        yield Screen(
            "Drawer", f"next row, {about}", NEXT_MS, f"{facts.deep_row}?{urlencode({'q': q})}", "drawer"
        )
    yield Screen("Drawer", "next row, a word in every row", NEXT_MS, f"{facts.deep_row}?q=everyrow", "drawer")
    yield Screen("Drawer", "conversation of 200 messages", TALK_MS, facts.talk_row, "drawer")
    yield Screen(
        "Selection", "freeze everything", 0, reverse("completions:freeze"), "dialog",
        post={"for": "distill", "mode": "all", "q": ""},
    )  # fmt: skip
    yield Screen(
        "Selection", "freeze 50 %", 0, reverse("completions:freeze"), "dialog",
        post={"for": "distill", "mode": "all", "q": "meta.env:prod"},
    )  # fmt: skip


def everything(facts: Facts, places: dict[str, Any]) -> Iterator[Screen]:
    """Every screen, in the order of the tables."""
    yield from pages(facts)
    for name, q, bare in filters(facts):
        yield table("One filter", name, q, PAGE_MS, bare=bare)
    yield table("Two old connections", "newest page", "", PAGE_MS, user=TWO)
    for name, q, _ in filters(facts):
        yield table("Two old connections", name, q, PAGE_MS, user=TWO)
    yield table("Several", "five conditions", FIVE, MANY_MS)
    for name, q, bare in words(facts):
        yield table("Words", name, q, WORDS_MS, bare=bare)
    for name, q in scans():
        yield table("Scans", name, q, SCAN_MS)
    yield from around(places)
    yield from single(facts)


def look(user_ids: dict[str, Any]) -> Facts:
    """Learn the facts of this mirror."""
    from datetime import UTC, datetime

    from django.db.models import Count

    from completions.addresses import drawer_address
    from completions.models import StoredCompletion

    total = StoredCompletion.objects.count()
    first = StoredCompletion.objects.filter(connection=user_ids["first"])
    deep = first.order_by("-created", "-pk")[first.count() * 9 // 10]
    middle = first.order_by("-created", "-pk")[first.count() // 2]
    talk = first.get(upstream_id=TALK)
    held = list(
        StoredCompletion.objects.exclude(pk=talk.pk)
        .values("total_tokens")
        .annotate(n=Count("pk"))
        .order_by("n")
    )
    best = min(held, key=lambda each: (abs(each["n"] - 3), each["total_tokens"]))
    return Facts(
        rows=total,
        deep=f"{deep.created}.{deep.pk}",
        deep_row=drawer_address("connection-1", deep.upstream_id, deep.pk),
        talk_row=drawer_address("connection-1", talk.upstream_id, talk.pk),
        three=f"{best['total_tokens']}..{best['total_tokens']}",
        session="s1-5",
        day=datetime.fromtimestamp(middle.created, UTC).date().isoformat(),
    )
