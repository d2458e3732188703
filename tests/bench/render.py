"""Write what was measured into docs/benchmarks.md: `python -m tests.bench.render [--keep DIR] [FILE]`.

Each table stands between two comments with its name; everything else in the document stays as it is. A table
whose results are not there keeps what it says.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import agreement_table, datasets_table, evaluate_table, pane_table, peers_table, work_table
from tests.bench.pane_places import HOME, ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"


def write(document: Path, home: Path) -> list[str]:
    """Fill every place of the document that has results; the names of those filled."""
    found = pane_table.results(home)
    parts: dict[str, Callable[[], list[str]]] = {
        "pane-machine": lambda: pane_table.conditions(found),
        "pane-sqlite": lambda: [
            *pane_table.screens("sqlite", found["sqlite"]),
            *pane_table.worst("sqlite", found["sqlite"]),
        ],
        "pane-postgresql": lambda: [
            *pane_table.screens("postgresql", found["postgresql"]),
            *pane_table.worst("postgresql", found["postgresql"]),
        ],
        "pane-ingest": lambda: pane_table.ingest(found),
        "pane-sizes": lambda: pane_table.sizes(found),
        "peers": lambda: peers_table.peers(home),
        "alike": lambda: work_table.alike(home),
        "bulk": lambda: work_table.bulk(home),
        "transfer": lambda: work_table.transfer(home),
        "export": lambda: work_table.exports(home),
        "next": lambda: work_table.next_row(home),
        "datasets": lambda: datasets_table.of(home),
        "evaluate": lambda: evaluate_table.of(home),
        "agreement": lambda: agreement_table.of(home),
    }
    text, filled = document.read_text(), []
    for name, make in parts.items():
        made = "\n".join(make()).strip("\n")
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        if made and place.search(text):
            text = place.sub(lambda found, made=made: f"{found[1]}\n{made}\n\n{found[2]}", text)  # type: ignore[misc]
            filled.append(name)
    document.write_text(text)
    return filled


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.render", description=__doc__)
    parser.add_argument("--keep", type=Path, default=HOME)
    parser.add_argument("document", nargs="?", type=Path, default=DOCUMENT)
    options = parser.parse_args(arguments)
    filled = write(options.document, options.keep.resolve())
    print(f"{options.document}: {', '.join(filled) or 'nothing was measured yet'}")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
