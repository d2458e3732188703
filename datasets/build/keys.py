"""Keys, tokens and passwords in a text, by the shapes that their makers give them. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from datasets.build.patterns import Found

_START: Final = r"(?<![A-Za-z0-9])"
_END: Final = r"(?![A-Za-z0-9])"


def _shape(expression: str) -> re.Pattern[str]:
    return re.compile(f"{_START}(?:{expression}){_END}")


# What it is, what a text must hold to have one, and its shape.
_SHAPES: Final = (
    ("API key (sk-…)", "sk-", _shape(r"sk-[A-Za-z0-9_-]{20,250}")),
    ("AWS access key", "A", _shape(r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}")),
    ("GitHub token", "gh", _shape(r"gh[pousr]_[A-Za-z0-9]{36,255}")),
    ("GitHub token", "github_pat_", _shape(r"github_pat_[A-Za-z0-9_]{22,255}")),
    ("GitLab token", "glpat-", _shape(r"glpat-[A-Za-z0-9_-]{20,64}")),
    ("Slack token", "xox", _shape(r"xox[abeposr]-[A-Za-z0-9-]{10,250}")),
    ("Google API key", "AIza", _shape(r"AIza[A-Za-z0-9_-]{35}")),
    ("Stripe key", "k_", _shape(r"[rsp]k_(?:live|test)_[A-Za-z0-9]{16,250}")),
    ("Hugging Face token", "hf_", _shape(r"hf_[A-Za-z0-9]{30,64}")),
    ("npm token", "npm_", _shape(r"npm_[A-Za-z0-9]{36}")),
    ("PyPI token", "pypi-", _shape(r"pypi-[A-Za-z0-9_-]{50,250}")),
    ("SendGrid key", "SG.", _shape(r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}")),
    # Keys that carry a mark: https://github.com/microsoft/security-utilities
    ("Azure AI key", "JQQJ9", _shape(r"[A-Za-z0-9]{52}JQQJ9[9DH][A-Za-z0-9]{26}(?:[A-Za-z0-9]{2}==)?")),
    ("Azure storage key", "==", _shape(r"(?:[A-Za-z0-9/+]{76}\+ASt[A-Za-z0-9/+]{5}[AQgw]==)")),
    ("Entra client secret", "Q~", _shape(r"[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}")),
    ("JSON web token", "eyJ", re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*", re.ASCII)),
)
# Of these the first group is the secret; the text, in small letters, holds one of the words in front.
_NAMED: Final = (
    (
        "bearer token",
        ("bearer",),
        re.compile(r"\bbearer[ \t]{1,3}([A-Za-z0-9._~+/-]{16,4000}={0,2})", re.IGNORECASE),
    ),
    (
        "key with its name",
        ("key", "secret", "token"),
        re.compile(
            r"(?<![A-Za-z0-9])(?:api[_-]?key|account[_-]?key|shared[_-]?access[_-]?key|subscription[_-]?key|"
            r"access[_-]?key|secret[_-]?key|secret[_-]?access[_-]?key|client[_-]?secret|access[_-]?token|"
            r"auth[_-]?token|refresh[_-]?token)[\"'\s]{0,3}[:=][\s\"']{0,3}([A-Za-z0-9+/_~.-]{16,512}={0,2})",
            re.IGNORECASE,
        ),
    ),
    (
        "signature of a link",
        ("sig",),
        re.compile(r"[?&](?:sig|signature|X-Amz-Signature)=([A-Za-z0-9%+/_-]{32,256})"),
    ),
    (
        "password",
        ("pass", "pwd"),
        re.compile(
            r"(?<![A-Za-z0-9])(?:password|passwd|passwort|pwd)[\"'\s]{0,3}[:=][ \t\"']{0,3}"
            r"([^\s\"',;<>{}]{8,128})",
            re.IGNORECASE,
        ),
    ),
    (
        "password in a link",
        ("://",),
        re.compile(r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{1,20}://([^\s/:@]{1,100}:[^\s/@]{1,200})@"),
    ),
)
_NAMES: Final = re.compile(
    r"(?:.{0,32}[_-])?(?:api[_-]?key|access[_-]?key|secret|secret[_-]?key|client[_-]?secret|private[_-]?key|"
    r"(?:access|auth|refresh|bearer)?[_-]?token|password|passwd|passwort|pwd|credential)",
    re.IGNORECASE,
)
_VALUE: Final = re.compile(r"[A-Za-z0-9+/_~.!#$%&*=-]{12,512}")
_BEGIN: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,40})PRIVATE KEY( BLOCK)?-----")
_REST_OF_KEY: Final = re.compile(r"[A-Za-z0-9+/=\s:,\\-]{0,20000}")


def secrets(text: str, key: str = "") -> Iterator[Found]:
    """Keys and tokens. `key` is the name that the text has in JSON, which may say that it is one."""
    if key and _NAMES.fullmatch(key) and _VALUE.fullmatch(text) and _is_random(text):
        yield Found(0, len(text), text, "key with its name")
        return
    for what, needle, shape in _SHAPES:
        if needle in text:
            for match in shape.finditer(text):
                if len(set(match[0])) >= 8:  # sk-xxxxxxxx… stands for a key and is none
                    yield Found(match.start(), match.end(), match[0], what)
    small = text.lower()
    for what, words, shape in _NAMED:
        if any(word in small for word in words):
            for match in shape.finditer(text):
                if _is_random(match[1]):
                    yield Found(match.start(1), match.end(1), match[1], what)
    if "-----BEGIN " in text:
        yield from _private_keys(text)


def _is_random(text: str) -> bool:
    """Whether a text may be a secret rather than a word that stands for one."""
    digits = sum(sign in "0123456789" for sign in text)
    return 0 < digits < len(text) and len(set(text)) >= 6


def _private_keys(text: str) -> Iterator[Found]:
    """PEM and PGP blocks with a private key; one without an end goes as far as it looks like one."""
    at, closed = 0, True
    while match := _BEGIN.search(text, at):
        last = f"-----END {match[1]}PRIVATE KEY{match[2] or ''}-----"
        end = text.find(last, match.end()) if closed else -1
        if end >= 0:
            at = end + len(last)
        else:
            closed = False  # nothing further down ends either, so it is not looked for again
            rest = _REST_OF_KEY.match(text, match.end())
            at = rest.end() if rest else match.end()
        yield Found(match.start(), at, text[match.start() : at], "private key")
