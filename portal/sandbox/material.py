"""Real text that is on every machine: the documentation of Python's standard library."""

import importlib
import inspect
import re
from dataclasses import dataclass
from functools import cache

_MODULES = [
    "argparse",
    "ast",
    "base64",
    "bisect",
    "calendar",
    "codecs",
    "collections",
    "colorsys",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "datetime",
    "decimal",
    "difflib",
    "dis",
    "email.utils",
    "enum",
    "filecmp",
    "fileinput",
    "fnmatch",
    "fractions",
    "functools",
    "getopt",
    "glob",
    "gzip",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "inspect",
    "io",
    "ipaddress",
    "itertools",
    "json",
    "keyword",
    "linecache",
    "locale",
    "logging",
    "math",
    "mimetypes",
    "numbers",
    "operator",
    "pathlib",
    "pickle",
    "platform",
    "pprint",
    "queue",
    "random",
    "re",
    "reprlib",
    "sched",
    "secrets",
    "shelve",
    "shlex",
    "shutil",
    "socket",
    "sqlite3",
    "stat",
    "statistics",
    "string",
    "struct",
    "subprocess",
    "tarfile",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "timeit",
    "tokenize",
    "traceback",
    "types",
    "unicodedata",
    "urllib.parse",
    "uuid",
    "weakref",
    "zipfile",
    "zlib",
]


@dataclass(frozen=True, slots=True)
class Topic:
    """One documented function, class or method."""

    name: str
    page: str  # signature line, empty line, documentation


@cache
def topics() -> tuple[Topic, ...]:
    """Everything documented at a readable length, in a stable order."""
    found: dict[str, Topic] = {}
    for module_name in _MODULES:
        module = importlib.import_module(module_name)
        for name, thing in sorted(vars(module).items()):
            if name.startswith("_") or inspect.ismodule(thing) or not callable(thing):
                continue
            home = str(getattr(thing, "__module__", "") or "").lstrip("_")
            if home.split(".")[0] != module_name.split(".")[0]:
                continue
            _add(found, f"{module_name}.{name}", thing)
            if inspect.isclass(thing):
                for method_name, method in sorted(vars(thing).items()):
                    if not method_name.startswith("_") and callable(method):
                        _add(found, f"{module_name}.{name}.{method_name}", method)
    return tuple(found.values())


def _add(found: dict[str, Topic], name: str, thing: object) -> None:
    documentation = (inspect.getdoc(thing) or "").strip()
    if not 60 <= len(documentation) <= 1800 or "```" in documentation:
        return
    try:
        signature = str(inspect.signature(thing))  # type: ignore[arg-type]  # anything else raises TypeError
    except (TypeError, ValueError):
        return
    if len(signature) > 300 or " at 0x" in signature or "\n" in signature:
        return
    short = name.rsplit(".", 1)[-1]
    page = f"{short}{signature}\n\n{documentation}"
    if len(first_sentence(page)) >= 20 and name not in found:
        found[name] = Topic(name, page)


_CALL = re.compile(r"^[\w.]+\(.*\)(\s*->.*)?(\s*--.*)?:?$")


def first_sentence(page: str) -> str:
    """The sentence that says what the thing does."""
    _, _, documentation = page.partition("\n\n")
    for paragraph in documentation.split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines()]
        text = " ".join(line for line in lines if line and not _CALL.match(line))
        if not text:
            continue
        sentence = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
        return sentence if len(sentence) <= 300 else sentence[:297].rsplit(" ", 1)[0] + " …"
    return ""


_PARAMETER = re.compile(r"^(\*{0,2}\w+)\s*(?::[^=]*)?(?:=\s*(.*))?$", re.DOTALL)


def parameters(page: str) -> list[tuple[str, str | None]]:
    """(name, default as written) for each parameter in the page's signature line."""
    line = page.partition("\n")[0]
    start, end = line.find("("), line.rfind(")")
    found = []
    for piece in _split(line[start + 1 : end]):
        match = _PARAMETER.match(piece.strip())
        if match and match[1] not in ("self", "cls", "/", "*"):
            found.append((match[1], match[2]))
    return found


def _split(arguments: str) -> list[str]:
    depth, pieces, current = 0, [], ""
    for character in arguments:
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        if character == "," and depth == 0:
            pieces.append(current)
            current = ""
        else:
            current += character
    return [*pieces, current] if current.strip() else pieces


def undocumented(page: str) -> list[str]:
    """Parameters that the documentation never mentions by name."""
    _, _, documentation = page.partition("\n\n")
    words = set(re.findall(r"\w+", documentation))
    return [name for name, _ in parameters(page) if name.lstrip("*") not in words]
