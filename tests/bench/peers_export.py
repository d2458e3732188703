"""Everything out again: our export beside Arize Phoenix's, over the same completions:
`python -m tests.bench peers-export [--rows 100000] [--keep DIR]`, after `… peers` has filled both.

Ours is the whole operation, from the frozen selection to the file with its checksum. Phoenix's own way is its
REST listing of spans, which its client and its notebooks page through: a thousand spans at a time, the most
it gives, each answer written to a file as it comes. It is asked for two minutes at most, and its speed is
that of the rows it gave.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from tests.bench import render, work_table
from tests.bench.pane_places import HOME, Place
from tests.bench.peers_http import Client, Question
from tests.bench.peers_servers import Phoenix

AT_ONCE, PATIENCE = 1000, 120


def ours(folder: Path) -> dict[str, Any]:
    with Place.opened("sqlite", folder) as place:
        return place.read("tests.bench.transfer_measure", "export", "stored")


def phoenix(one: Phoenix) -> dict[str, Any]:
    """Page through its spans, newest first as it lists them, until the end or until the time is up."""
    one.install()
    one.start()
    try:
        client, rows, cursor = Client(one.url), 0, ""
        began = monotonic()
        with tempfile.TemporaryFile(dir=one.home) as file:
            while True:
                place = f"/v1/projects/default/spans?limit={AT_ONCE}" + (
                    f"&cursor={cursor}" if cursor else ""
                )
                body = client.ask(Question("spans", "GET", place, len))[1]
                file.write(body)
                answer = json.loads(body)
                rows, cursor = rows + len(answer["data"]), answer["next_cursor"] or ""
                if not cursor or monotonic() - began > PATIENCE:
                    break
            size = file.tell()
        seconds = monotonic() - began
        return {"rows": rows, "seconds": seconds, "rate": rows / seconds, "bytes": size, "whole": not cursor}
    finally:
        one.stop()


def main(arguments: Sequence[str]) -> bool:
    """Export from both; True if ours is twenty times as fast."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench peers-export", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, default=HOME)
    options = parser.parse_args(arguments)
    home = options.keep.resolve()
    theirs = phoenix(
        Phoenix(home / "peers" / f"arize-phoenix-{options.rows}", home / "peers" / "arize-phoenix")
    )
    mine = ours(home / "peers" / f"ours-{options.rows}")
    found = {"rows": options.rows, "ours": mine, "phoenix": theirs}
    (home / "results" / f"export-{options.rows}.json").write_text(json.dumps(found, indent=1))
    print("\n".join(work_table.exports(home)))
    render.write(render.DOCUMENT, home)
    return bool(mine["rate"] >= work_table.TIMES_PHOENIX * theirs["rate"])
