"""A training file to a list of problems with their line numbers, by provider and base model. Pure.

The rules stand in datasets.build.format_rules, what helps in datasets.build.fixes.
"""

import codecs
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import isfinite
from typing import Any, Final

from completions.conversation import Conversation, parse
from datasets.build import checks, pairs
from datasets.build.fixes import FIXES, changed, fixed
from datasets.build.format_rules import RULES, SFT, Severity
from datasets.models import Purpose

__all__ = [
    "FIXES", "RULES", "WARNINGS", "Problem", "changed", "digest_of", "fixed", "of_file", "of_half", "of_job",
    "of_line", "of_tokens", "of_value", "problem", "scan", "token_limit", "trains_by", "trains_images",
    "warning",
]  # fmt: skip
MIN_EXAMPLES, ADVISED_EXAMPLES = 10, 50
MAX_FILE_BYTES = 512 * 1024 * 1024
MAX_WITH_IMAGES = 50_000
MAX_JOB_TOKENS = 2_000_000_000
_TOKEN_LIMITS = (("gpt-4.1-nano", 32_768), ("gpt-4.1", 65_536), ("gpt-4o", 65_536), ("o4-mini", 65_536))
_COMPLETIONS = ("babbage-", "davinci-")
_REASONING = ("o1", "o3", "o4", "gpt-5")  # are reinforced, not shown how
# What the providers say that they train: (provider, or any; the beginning of the model's name).
_METHODS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    Purpose.PREFERENCE: (("azure", "gpt-4o-2024-08-06"), ("azure", "gpt-4.1"), ("openai", "gpt-4.1")),
    Purpose.REINFORCEMENT: (("", "o4-mini"), ("azure", "gpt-5")),
}

# What a warning says, by its code.
WARNINGS: Final = {rule.code: rule.words for rule in RULES.values() if rule.severity == "warning"}


@dataclass(frozen=True, slots=True)
class Problem:
    """`line` counts from 1; 0 means the file as a whole. An `error` makes the provider refuse the file.

    `fix` is a name of datasets.build.fixes.FIXES, or empty where only a person can help.
    """

    code: str
    line: int
    text: str
    severity: Severity = "error"
    fix: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "line": self.line,
            "text": self.text,
            "severity": self.severity,
            "fix": self.fix,
        }


def token_limit(base_model: str) -> int | None:
    """Most tokens of one training row, where the provider says so for this model."""
    return next((limit for name, limit in _TOKEN_LIMITS if base_model.startswith(name)), None)


def problem(code: str, line: int, text: str = "", provider: str = "") -> Problem | None:
    """A problem of this code; None where the provider does not have the rule."""
    rule = RULES[code]
    severity = rule.severity_for(provider)
    return None if severity is None else Problem(code, line, text or rule.words, severity, rule.fix)


def warning(code: str, line: int) -> Problem:
    rule = RULES.get(code)
    return Problem(code, line, rule.words if rule else code, "warning", rule.fix if rule else "")


def of_line(
    number: int,
    line: bytes,
    purpose: str = SFT,
    model: str = "",
    provider: str = "",
    *,
    fields: Collection[str] = (),
    personal: Callable[[Conversation], Any] | None = None,
) -> list[Problem]:
    """Problems of one line, given as the bytes of the file without the line end.

    `fields` are those that a grader names. `personal` looks for personal data, for instance the `hits` of a
    datasets.build.personal.Scanner, which takes long; without it there is a quick look for the plainest.
    """
    found = []
    if number == 1 and line.startswith(codecs.BOM_UTF8):
        found += [*_problems([("bom", "")], number, provider)]
        line = line.removeprefix(codecs.BOM_UTF8)
    try:
        text = line.decode()
        value = _DECODER.decode(text)
    except UnicodeDecodeError:
        return [*found, *_problems([("not_utf8", "")], number, provider)]
    except _NoNumber as what:
        return [*found, *_problems([("not_finite", str(what))], number, provider)]
    except (json.JSONDecodeError, RecursionError):
        return [*found, *_problems([("not_json", "")], number, provider)]
    except ValueError:  # Python reads no whole number of more than some thousand digits
        return [*found, *_problems([("not_finite", "")], number, provider)]
    codes = checks.of_text(text, value)
    found += [*_problems(codes, number, provider)]
    return found + of_value(number, value, purpose, model, provider, fields=fields, personal=personal)


def of_value(
    number: int,
    value: Any,
    purpose: str = SFT,
    model: str = "",
    provider: str = "",
    *,
    fields: Collection[str] = (),
    personal: Callable[[Conversation], Any] | None = None,
) -> list[Problem]:
    """Problems of one line that is read already."""
    if not isinstance(value, dict):
        return list(_problems([("data_type", "")], number, provider))
    found = list(_problems(checks.CHECKS[purpose](value), number, provider))
    has_images = checks.has_images(value)
    if has_images and model and not trains_images(model, provider):
        found += _problems([("image_model", "")], number, provider)
    missing = sorted(set(fields) - value.keys())
    if missing and purpose == Purpose.REINFORCEMENT:
        found += _problems([("missing_field", f"The grader names item.{missing[0]}, which the line lacks")],
                           number, provider)  # fmt: skip
    if checks.seems_personal(value) if personal is None else personal(_conversation(value)):
        found += _problems([("personal", "")], number, provider)
    return found


def of_half(number: int, half: dict[str, Any], side: str) -> list[Problem]:
    """Problems of the half of a preference pair, whose other half is not known yet."""
    beside = {"same_output", "refusal"} if side == "-" else {"same_output"}
    found = of_value(number, pairs.joined(half, half), Purpose.PREFERENCE)
    return [problem for problem in found if problem.code not in beside]


def of_tokens(number: int, tokens: int, model: str, provider: str = "") -> list[Problem]:
    """Whether a row is too long for the base model."""
    limit = token_limit(model)
    if limit is None or tokens <= limit:
        return []
    return list(_problems([("over_long", f"{tokens:,} tokens; {model} is trained with {limit:,}")], number,
                          provider))  # fmt: skip


def scan(
    lines: Iterable[bytes],
    purpose: str = SFT,
    model: str = "",
    provider: str = "",
    *,
    fields: Collection[str] = (),
    training: Collection[bytes] = (),
) -> Iterator[Problem]:
    """Problems of a file line by line, repetitions too; `training` are the digests of the file trained on."""
    seen: set[bytes] = set()
    for number, ended in enumerate(lines, 1):
        line = ended.rstrip(b"\r\n")
        yield from of_line(number, line, purpose, model, provider, fields=fields)
        digest = digest_of(line)
        if digest in training:
            yield from _problems([("overlap", "")], number, provider)
        if digest in seen:
            yield from _problems([("duplicate", "")], number, provider)
        seen.add(digest)


def digest_of(line: bytes) -> bytes:
    """Eight bytes that stand for a line, for comparing files."""
    return blake2b(line.removeprefix(codecs.BOM_UTF8).strip(), digest_size=8).digest()


def of_file(examples: int, size: int, purpose: str = SFT) -> list[Problem]:
    """Why the provider refuses the file as a whole."""
    found = []
    least = 1 if purpose == Purpose.EVALUATION else MIN_EXAMPLES
    if examples < least:
        words = f"{examples} examples; a fine-tuning job needs at least {MIN_EXAMPLES}."
        found.append(Problem("too_few", 0, "Not one row could be written." if least == 1 else words))
    if size > MAX_FILE_BYTES:
        found.append(Problem("too_large", 0, f"{size:,} bytes; a training file may have {MAX_FILE_BYTES:,}."))
    return found


def of_job(
    purpose: str,
    model: str,
    provider: str,
    *,
    examples: int,
    validation: int = 0,
    tokens: int = 0,
    epochs: int = 1,
    with_images: int = 0,
    known: Mapping[str, int] | None = None,
) -> list[Problem]:
    """What is wrong with training this model in the purpose's way on so many rows.

    `known` are the problems of the version's rows by code: what was a warning while nobody knew where they go
    may be an error there.
    """
    found: list[tuple[str, str]] = []
    for code, rows in (known or {}).items():
        if code in RULES and RULES[code].only == provider != "":
            found.append((code, f"{rows:,} {'row' if rows == 1 else 'rows'}: {RULES[code].words}"))
    if MIN_EXAMPLES <= examples < ADVISED_EXAMPLES:
        found.append(("few", f"{examples} examples; {ADVISED_EXAMPLES} to 100 are advised to begin with"))
    if with_images > MAX_WITH_IMAGES:
        found.append(("too_many_with_images", ""))
    if purpose == Purpose.REINFORCEMENT and not validation:
        found.append(("no_validation", ""))
    if tokens * epochs > MAX_JOB_TOKENS:
        found.append(("too_many_tokens", f"About {tokens * epochs:,} tokens; a job trains at most 2 billion"))
    if model.startswith(_COMPLETIONS):
        found.append(("completions_model", ""))
    elif model and not trains_by(model, purpose, provider):
        found.append(("method_model", ""))
    return list(_problems(found, 0, provider))


def trains_by(model: str, purpose: str, provider: str) -> bool:
    """Whether the model is known to be trained in this way; where nothing is said, it is taken to be."""
    base = model.removeprefix("ft:")
    known = _METHODS.get(purpose)
    if known is None:
        return not base.startswith(_REASONING)
    return any(
        base.startswith(name) for place, name in known if not (place and provider) or place == provider
    )


def trains_images(model: str, provider: str) -> bool:
    """Whether the model is known to be trained with images there."""
    base = model.removeprefix("ft:")
    known = ("gpt-4o-2024-08-06",) if provider == "openai" else ("gpt-4o-2024-08-06", "gpt-4.1-2025-04-14")
    return base.startswith(known)


def _problems(found: Iterable[tuple[str, str]], number: int, provider: str) -> Iterator[Problem]:
    for code, words in found:
        made = problem(code, number, words, provider)
        if made is not None:
            yield made


def _conversation(value: Mapping[str, Any]) -> Conversation:
    """The texts of a line as a conversation, whatever its purpose."""
    return parse({}, [message for messages in checks.talks(value) for message in messages])


class _NoNumber(Exception):
    """JSON has no such number, or Python cannot read it; says so in words."""


def _no_constant(name: str) -> Any:
    raise _NoNumber(f"It holds {name}, which is no number in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise _NoNumber(f"It holds {digits:.40}, a number that is too large to be read")
    return number


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
