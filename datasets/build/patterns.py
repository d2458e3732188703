"""Personal data in a text: e-mail addresses, payment cards, bank accounts and IP addresses. Pure.

Each finder says where something stands and what it stands for, so that two ways of writing the same are the
same. Every expression begins where a run of its characters begins or is of bounded length, so that a finder
takes time linear in the text. Phone numbers are in `phones`, keys and tokens in `keys`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final


@dataclass(frozen=True, slots=True)
class Found:
    """Something from `start` to `end` of a text; `value` is the same of what means the same."""

    start: int
    end: int
    value: str
    what: str = ""


_LETTER: Final = "A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff"
_EMAIL: Final = re.compile(
    rf"(?<![{_LETTER}0-9])[{_LETTER}0-9_][{_LETTER}0-9._%+'-]{{0,63}}(?:@|%40)"
    rf"(?:[{_LETTER}0-9-]{{1,63}}\.){{1,8}}((?:xn--[A-Za-z0-9-]{{2,59}}|[{_LETTER}]{{2,24}}))"
    rf"(?![{_LETTER}0-9])"
)
# What looks like a domain and is a file (icon@2x.png).
_FILE: Final = re.compile(
    r"(?:png|jpe?g|gif|svg|webp|ico|bmp|css|m?js|json|html?|map|woff2?|ttf|pdf)", re.IGNORECASE
)


def emails(text: str) -> Iterator[Found]:
    """Addresses, also with %40 as in links; not those of version control (git@…)."""
    if "@" not in text and "%40" not in text:
        return
    for match in _EMAIL.finditer(text):
        value = match[0].replace("%40", "@", 1).casefold()
        if not _FILE.fullmatch(match[1]) and not value.startswith("git@"):
            yield Found(match.start(), match.end(), value)


_CARD: Final = re.compile(
    r"(?<!\w)(?<![0-9][.,])(?<!\w-)"
    r"(?:[0-9]{13,19}|[0-9]{4}([ \u00a0-])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,3})?"
    r"|[0-9]{4}([ \u00a0-])[0-9]{6}\2[0-9]{4,5})"
    r"(?!\w)(?!-\w)(?![.,][0-9])"
)
_FOUR: Final = re.compile("[0-9]{4}")
# First digits of a network and how many digits its cards have.
_NETWORKS: Final = (
    (re.compile("4"), (13, 16, 19)),
    (re.compile("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile("3[47]"), (15,)),
    (re.compile("6011|64[4-9]|65"), (16, 19)),
    (re.compile("35(?:2[89]|[3-8])"), (16, 19)),
    (re.compile("30[0-5]|36|3[89]"), (14, 16)),
    (re.compile("62"), (16, 17, 18, 19)),
    (re.compile("5018|5020|5038|5893|6304|6759|676[1-3]"), (16, 18, 19)),
)


def cards(text: str) -> Iterator[Found]:
    """Payment cards: digits of a known network in its usual groups, with the right check digit."""
    if not _FOUR.search(text):
        return
    for match in _CARD.finditer(text):
        digits = "".join(sign for sign in match[0] if sign in "0123456789")
        known = any(len(digits) in lengths and first.match(digits) for first, lengths in _NETWORKS)
        if known and passes_luhn(digits) and len(set(digits)) > 1:
            yield Found(match.start(), match.end(), digits)


def passes_luhn(digits: str) -> bool:
    """The check digit of payment cards, ISO/IEC 7812-1."""
    doubled = [int(digit) for digit in reversed(digits)]
    doubled[1::2] = [2 * digit - 9 * (digit > 4) for digit in doubled[1::2]]
    return sum(doubled) % 10 == 0


# https://www.swift.com/standards/data-standards/iban-international-bank-account-number
_IBAN_LENGTHS: Final = {
    **dict.fromkeys(["NO"], 15),
    **dict.fromkeys(["BE"], 16),
    **dict.fromkeys(["DK", "FI", "FK", "FO", "GL", "NL", "SD"], 18),
    **dict.fromkeys(["MK", "SI"], 19),
    **dict.fromkeys(["AT", "BA", "EE", "KZ", "LT", "LU", "MN", "XK"], 20),
    **dict.fromkeys(["CH", "CR", "HR", "LI", "LV"], 21),
    **dict.fromkeys(["BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS", "VA"], 22),
    **dict.fromkeys(["AE", "GI", "IL", "IQ", "OM", "SO", "TL"], 23),
    **dict.fromkeys(["AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"], 24),
    **dict.fromkeys(["LY", "PT", "ST"], 25),
    **dict.fromkeys(["IS", "TR"], 26),
    **dict.fromkeys(["BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"], 27),
    **dict.fromkeys(["AL", "AZ", "BY", "CY", "DO", "GT", "HN", "HU", "LB", "NI", "PL", "SV"], 28),
    **dict.fromkeys(["BR", "EG", "PS", "QA", "UA"], 29),
    **dict.fromkeys(["JO", "KW", "MU", "YE"], 30),
    **dict.fromkeys(["MT", "SC"], 31),
    **dict.fromkeys(["LC"], 32),
    **dict.fromkeys(["RU"], 33),
}
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ \u00a0-]?[A-Za-z0-9])")


def ibans(text: str) -> Iterator[Found]:
    """Bank accounts of a country that has them, of its length, with the right check digits; spaced or not."""
    end = 0
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2].upper())
        if length is None or match.start() < end:
            continue
        signs, at = list(match[0]), match.end()
        while len(signs) < length and at < len(text):
            at += text[at] in " \u00a0-"
            if at >= len(text) or not (text[at].isascii() and text[at].isalnum()):
                break
            signs.append(text[at])
            at += 1
        value = "".join(signs).upper()
        if len(value) != length or (at < len(text) and text[at].isalnum()):
            continue
        if int("".join(str(int(sign, 36)) for sign in value[4:] + value[:4])) % 97 == 1:
            end = at
            yield Found(match.start(), end, value)


_IPV4: Final = re.compile(
    r"(?<![\w.])(?<![0-9][-/])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\w)(?!\.[0-9])(?!-[0-9])", re.ASCII
)
_IPV6: Final = re.compile(
    r"(?<![\w:.])(?=[0-9A-Fa-f:]{0,30}[0-9])"
    r"(?:[0-9A-Fa-f]{1,4}:|::)(?:[0-9A-Fa-f]{0,4}:){0,7}"
    r"(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![\w:])(?!\.[0-9])"
)
_NO_ADDRESS: Final = re.compile(
    r"(?:version|release|build|section|chapter|figure|table|clause|kapitel|abschnitt|§|\bv\.?|\brev\.?)"
    r"[\s:#=]{0,3}$",
    re.IGNORECASE,
)


def addresses(text: str) -> Iterator[Found]:
    """IPv4 and IPv6 addresses; not version numbers, netmasks and those that mean "here"."""
    if "." in text:
        for match in _IPV4.finditer(text):
            if not _NO_ADDRESS.search(text, max(0, match.start() - 12), match.start()):
                yield from _address(match)
    if ":" in text:
        for match in _IPV6.finditer(text):
            yield from _address(match)


def _address(match: re.Match[str]) -> Iterator[Found]:
    try:
        address: IPv4Address | IPv6Address = ip_address(match[0])
    except ValueError:
        return
    if not (address.is_unspecified or address.is_loopback or match[0].startswith(("0.", "255."))):
        yield Found(match.start(), match.end(), str(address))
