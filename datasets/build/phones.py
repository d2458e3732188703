"""Phone numbers in a text. Pure.

Digits are everywhere, so a number counts only in a form that phones are written in: with a country's code, in
the groups of a country, or behind a word such as "phone". Dates, prices, and numbers of orders are no phones.
"""

import re
from collections.abc import Iterator
from typing import Final

from datasets.build.patterns import Found

_SPACE: Final = " \u00a0\u2009\u202f"
_EXTENSION: Final = rf"(?:,?[{_SPACE}]?(?:extension|ext\.?|x)[{_SPACE}]?[0-9]{{1,5}}(?![0-9]))?"
_INTERNATIONAL: Final = re.compile(
    rf"(?<![\w+])(\+|00(?=[1-9]))([0-9](?:[{_SPACE}().\-/]{{0,3}}[0-9]){{6,15}})(?!\w|[.,][0-9]){_EXTENSION}"
)
_BEFORE: Final = r"(?<![\w+.,#@/=\-])"
_AFTER: Final = r"(?!\w|[.,:/\-][0-9])"
_NATIONAL: Final = tuple(
    re.compile(_BEFORE + form + _AFTER)
    for form in (
        # North America, with brackets or one sign all through
        rf"(?:1[{_SPACE}.-])?\([2-9][0-9]{{2}}\)[{_SPACE}]?[2-9][0-9]{{2}}[{_SPACE}.-][0-9]{{4}}{_EXTENSION}",
        rf"(?:1[.-])?[2-9][0-9]{{2}}([.-])[2-9][0-9]{{2}}\1[0-9]{{4}}{_EXTENSION}",
        r"0[1-9]([ .-])[0-9]{2}(?:\1[0-9]{2}){3}",  # France
        r"1[3-9][0-9]([ -])[0-9]{4}\1[0-9]{4}",  # China
        rf"\([1-9][0-9]\)[{_SPACE}]?9?[0-9]{{4}}-[0-9]{{4}}",  # Brazil
    )
)
# Where a 0 goes before the area's code: Germany, Austria, the United Kingdom, Italy, Japan, Australia …
_TRUNK: Final = re.compile(
    rf"{_BEFORE}(?:\(0[1-9][0-9]{{0,4}}\)[{_SPACE}]?|0[1-9][0-9]{{0,4}}(?:[{_SPACE}]?[/-][{_SPACE}]?|[{_SPACE}.]))"
    rf"[0-9]{{2,8}}(?:[{_SPACE}.-][0-9]{{2,8}}){{0,4}}{_AFTER}"
)
_SAID: Final = re.compile(
    r"(?<!\w)(?:tel|telephone|telefon|telefonnummer|teléfono|tél|téléphone|phone|mobile|mobil|cell|cellphone|"
    r"handy|fax|whatsapp|rufnummer|call (?:me|us|him|her|them)(?: at| on)?)\b\.?"
    rf"[{_SPACE}]{{0,2}}(?:(?:number|no|nr|n°)\b\.?)?[{_SPACE}]{{0,2}}[:=]?[{_SPACE}]{{0,2}}[\"']?"
    rf"(\(?\+?[0-9](?:[{_SPACE}().\-/]{{0,2}}[0-9]){{6,14}})(?!\w|[.,][0-9])",
    re.IGNORECASE,
)
_NAMES: Final = re.compile(
    r"(?:tele)?(?:phone|fon|fono)(?:_?n(?:umber|o|r|ummer))?|tel|mobile(?:_?(?:number|phone))?|cell(?:phone)?|"
    r"fax|whatsapp|contact_number|msisdn|.{1,24}_(?:phone|tel|mobile)(?:_number)?",
    re.IGNORECASE,
)
_OTHER: Final = re.compile(
    r"\b(?:order|invoice|ticket|case|id|ref|reference|article|item|sku|isbn|issn|doi|tracking|parcel|account|"
    r"part|model|serial|bestell\w*|rechnungs?\w*|auftrags?\w*|konto\w*|kunden\w*|sendungs?\w*|artikel\w*|az)"
    r"(?:\W{0,2}(?:no|nr|number|nummer|id|code))?\W{0,4}$",
    re.IGNORECASE,
)
_DATE: Final = re.compile(
    r"(?:(?:19|20)[0-9]{2}([./-])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])([./-])(?:0?[1-9]|1[0-2])\2(?:(?:19|20)[0-9]{2}|[0-9]{2}(?![0-9]))"
    r"|(?:0?[1-9]|1[0-2])([./-])(?:0?[1-9]|[12][0-9]|3[01])\3(?:19|20)[0-9]{2})(?![0-9])"
)
_FRENCH: Final = _NATIONAL[2]
# https://www.itu.int/pub/T-SP-E.164D
_COUNTRY: Final = re.compile(
    r"2[07]|3[0-469]|4[0-13-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|(?:2[1-69]|3[578]|42|5[09]|6[7-9]|8[0578]|9[679])[0-9]"
)
_DIGITS: Final = re.compile(r"[0-9][0-9 ().\-/\u00a0\u2009\u202f]{5}")


def phones(text: str, key: str = "") -> Iterator[Found]:
    """Phone numbers. `key` is the name that the text has in JSON, which may say that it is one."""
    if not _DIGITS.search(text):
        return
    if key and _NAMES.fullmatch(key) and _is_number(text):
        yield _found(0, len(text), text)
        return
    for match in _INTERNATIONAL.finditer(text):
        end = _end_of_international(match)
        if end:
            yield _found(match.start(), end, text)
    for match in _SAID.finditer(text):
        if not _DATE.match(match[1].lstrip("(")):
            yield _found(match.start(1), match.end(1), text)
    for form in _NATIONAL:
        for match in form.finditer(text):
            if not _is_other(text, match):
                yield _found(match.start(), match.end(), text)
    for match in _TRUNK.finditer(text):
        if 9 <= _count(match[0]) <= 12 and not _is_date(match[0]) and not _is_other(text, match):
            yield _found(match.start(), match.end(), text)


def _found(start: int, end: int, text: str) -> Found:
    said = re.split(r"(?i)e?x", text[start:end].replace("(0)", ""), maxsplit=1)[0]
    digits = "".join(sign for sign in said if sign in "0123456789")
    return Found(start, end, f"+{digits}" if "+" in said else digits.removeprefix("00"))


def _end_of_international(match: re.Match[str]) -> int:
    """Where the number ends; 0 if no country begins like that or its numbers are of another length."""
    said, digits = match[2], "".join(sign for sign in match[2].replace("(0)", "") if sign in "0123456789")
    if match[1] == "00" and said == digits:
        return 0  # so many digits without a gap may be the number of anything
    if digits[0] in "17":
        least = most = 11
        if digits[0] == "1" and (digits[1] in "01" or digits[4:5] in ("0", "1")):
            return 0
    elif _COUNTRY.match(digits):
        least, most = 8, 15
    else:
        return 0
    if len(digits) < least:
        return 0
    return match.end() if len(digits) <= most else _end_after(match, most)


def _end_after(match: re.Match[str], most: int) -> int:
    """Where the first `most` digits end, if a gap follows them."""
    seen = 0
    for at, sign in enumerate(match[2], match.start(2)):
        seen += sign in "0123456789"
        if seen == most:
            following = match.string[at + 1 : at + 2]
            return 0 if following in "0123456789" else at + 1
    return 0


def _is_number(text: str) -> bool:
    digits = _count(text)
    signs = all(sign in "0123456789+().-/ \u00a0\u2009\u202f" for sign in text)
    return 7 <= digits <= 15 and len(text) <= 2 * digits and signs and not _DATE.match(text)


def _count(text: str) -> int:
    return sum(sign in "0123456789" for sign in text)


def _is_date(text: str) -> bool:
    mixed = "." in text and any(sign in text for sign in "-/ ")
    return mixed or (bool(_DATE.match(text)) and not _FRENCH.fullmatch(text))


def _is_other(text: str, match: re.Match[str]) -> bool:
    """Whether what stands before says that this is the number of something else."""
    return bool(_OTHER.search(text, max(0, match.start() - 32), match.start()))
