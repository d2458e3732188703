"""What goes with a version's file: its manifest, its card, its checksums. All text of people is escaped."""

import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any, Final

from django.conf import settings
from django.utils.text import slugify

from datasets import preview, recipe_words
from datasets.models import DatasetVersion, Purpose

TOOL: Final = "completions-portal"
_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&:@])")
# Control characters but white space, marks of direction, halves of characters: YAML has no room for some.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]"
)
_FORMATS: Final = {
    Purpose.SUPERVISED: "Each line is an object with `messages`, and `tools` where some could be called.",
    Purpose.PREFERENCE: (
        "Each line is an object with `input`, whose `messages` were asked, `preferred_output` and "
        "`non_preferred_output`."
    ),
    Purpose.REINFORCEMENT: (
        "Each line is an object with `messages`, the last of them the user's, and fields that a grader "
        "measures against."
    ),
    Purpose.EVALUATION: "Each line is an object with an `item`: what was asked, answered and expected.",
}


def stem(version: DatasetVersion) -> str:
    """What files of the version are called: letters, digits and hyphens only, whatever the dataset's name."""
    return f"{slugify(version.dataset.name)[:60] or 'dataset'}-v{version.number}"


def manifest(version: DatasetVersion) -> dict[str, Any]:
    """Where a version comes from and what it holds, for machines."""
    frozen = version.frozen_selection
    return {
        "dataset": version.dataset.name,
        "purpose": version.dataset.purpose,
        "version": version.number,
        "note": version.note,
        "made_from": _made_from(version),
        "origin": version.origin,
        "selection": {
            "filter": frozen.q if frozen.everything else None,
            "excluded": len(frozen.excluded),
            "rows": frozen.count,
            "frozen": frozen.created.isoformat(),
        }
        if frozen
        else None,
        "file": {name: version.source.get(name) for name in ("file_name", "size")}
        if version.source
        else None,
        "connections": [
            {"name": each.name, "slug": each.slug, "kind": each.kind}
            for each in version.connections.order_by("name")
        ],
        "recipe": version.recipe,
        "recipe_in_words": _rules(version),
        "counts": {name: value for name, value in version.counts.items() if name != "tokens_fit"},
        "rows": version.rows,
        "bytes": version.size,
        "sha256": version.sha256,
        "parts": [
            {
                "name": part.name,
                "rows": part.rows,
                "first_line": part.first_line,
                "offset": part.offset,
                "bytes": part.size,
                "tokens": part.tokens,
                "sha256": part.sha256,
            }
            for part in version.parts
        ],
        "made_by": str(version.created_by) if version.created_by else None,
        "made": version.created.isoformat(),
        "built": version.built.isoformat() if version.built else None,
        "tool": {"name": TOOL, "version": tool_version()},
    }


def _made_from(version: DatasetVersion) -> int | str | None:
    """The number of the version that it was made from, or its name where that is another dataset's."""
    parent = version.parent
    if parent is None:
        return None
    return int(parent.number) if parent.dataset_id == version.dataset_id else str(parent)


def _rules(version: DatasetVersion) -> list[str]:
    uploaded = version.origin != version.Origin.SELECTION
    return recipe_words.of_version(version.recipe, uploaded=uploaded)


def manifest_text(version: DatasetVersion) -> str:
    return json.dumps(manifest(version), indent=2, ensure_ascii=True) + "\n"


def checksums(version: DatasetVersion) -> str:
    """For `sha256sum --check`, in the folder of everything."""
    return "".join(f"{part.sha256}  data/{part.name}.jsonl\n" for part in version.parts)


@cache
def tool_version() -> str:
    """The version of the portal, installed or not."""
    try:
        return installed(TOOL)
    except PackageNotFoundError:
        source = settings.BASE_DIR / "pyproject.toml"
        return str(tomllib.loads(source.read_text())["project"]["version"]) if source.exists() else "unknown"


def card(version: DatasetVersion) -> str:
    """The dataset card, a README in Markdown."""
    return "\n".join(_card(version)) + "\n"


def _card(version: DatasetVersion) -> Iterator[str]:
    dataset = version.dataset
    yield from ("---", f"pretty_name: {quoted(f'{dataset.name} v{version.number}')}", "configs:")
    yield from ("- config_name: default", "  data_files:")
    for part in version.parts:
        yield from (f"  - split: {part.name}", f"    path: data/{part.name}.jsonl")
    yield from ("---", "", f"# {escaped(dataset.name)}, version {version.number}", "")
    tokens = version.counts.get("tokens", 0)
    yield f"{dataset.get_purpose_display()}. {version.rows:,} rows, {tokens:,} tokens."
    if version.note:
        yield f"{escaped(version.note)}."
    yield from ("", "## Files", "", "| Part | Rows | Tokens | Bytes | SHA-256 |", "|---|---:|---:|---:|---|")
    for part in version.parts:
        yield f"| {part.name} | {part.rows:,} | {part.tokens:,} | {part.size:,} | `{part.sha256}` |"
    yield from ("", _FORMATS[Purpose(dataset.purpose)], "", "## Where the rows come from", "")
    yield from _origin(version)
    yield from ("", "## How they were made", "")
    yield from (f"- {escaped(sentence)}" for sentence in _rules(version))
    yield from ("", "## What was left out", "")
    left_out = preview.left_out(version)
    if left_out:
        yield from ("| Reason | Completions |", "|---|---:|")
        yield from (f"| {escaped(each.text)} | {each.count:,} |" for each in left_out)
    else:
        yield "Nothing."
    yield from ("", "## Made", "")
    who = f" by {escaped(str(version.created_by))}" if version.created_by else ""
    yield f"{version.created:%Y-%m-%d %H:%M} UTC{who}, with {TOOL} {tool_version()}."


def _origin(version: DatasetVersion) -> Iterator[str]:
    frozen = version.frozen_selection
    if frozen is not None and frozen.everything:
        yield f"{frozen.count:,} stored completions, found by this filter:"
        yield from ("", *_fenced(frozen.q or "(every completion)"), "")
    elif frozen is not None:
        yield f"{frozen.count:,} stored completions that were chosen one by one."
    elif version.source.get("part_of"):
        yield f"{escaped(version.note)}."
    elif version.source.get("file_name"):
        yield f"The file {escaped(str(version.source['file_name']))}."
    names = [escaped(name) for name in version.connections.order_by("name").values_list("name", flat=True)]
    yield f"Connections: {', '.join(names) or 'none any more'}."


def escaped(text: str) -> str:
    """Text of people as one line of Markdown that is nothing but text; what is not seen is left out."""
    return _MARKS.sub(r"\\\1", " ".join(_UNSEEN.sub("", text).split()))


def _fenced(text: str) -> list[str]:
    """Text in a block that it cannot end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *_UNSEEN.sub("", text).splitlines(), fence]


def quoted(text: str) -> str:
    """A YAML string of this text on one line; what is not seen is left out."""
    return json.dumps(" ".join(_UNSEEN.sub("", text).split()), ensure_ascii=False)
