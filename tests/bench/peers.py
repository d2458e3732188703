"""The same completions in Arize Phoenix, in MLflow and here, asked over HTTP by one client in one run:
`python -m tests.bench peers [--rows 100000] [--keep DIR] [--only phoenix,mlflow,ours]`, or `make
bench-peers`.

Each peer is the newest release of the package index, in an environment of its own under --keep, with its
telemetry switched off, on a free port of loopback, on its default SQLite. Nothing is copied into anybody's
tables: the peers get every completion through their OTLP endpoint, one trace with one span each, a hundred in
a request, with OpenInference's attributes (input, output, model, tokens, metadata); the metadata are sent a
second time as tags of MLflow's traces, which is what it filters by. We get the same rows through the ingest
of a sync. What a peer has taken is remembered, so that a second run only measures; the first run asks the
very process that took the rows, which for MLflow was the faster state when this was tried.

Asked is what each product's own page asks for its newest fifty rows: Phoenix's GraphQL with the columns of
its table, MLflow's search of traces, our HTML fragment. One connection, kept open; the first request apart,
then thirty warm ones, fewer where one takes more than half a second; at most two minutes each. Phoenix looks
for a word in input and output (`in`, which is a substring), MLflow in the text of its spans (`ILIKE`); we
look for the word.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.pane import machine
from tests.bench.pane_places import HOME, Place
from tests.bench.peers_http import Answer, Client
from tests.bench.peers_ours import Ours
from tests.bench.peers_servers import Missing, MLflow, Peer, Phoenix, Wanted

ROWS = 100_000
# The shares are those of tests.bench.rows, which cannot be asked without Django.
QUESTIONS = (
    Wanted("newest page"),
    Wanted("metadata, 50 %", pair=("env", "prod")),
    Wanted("metadata, 1 %", pair=("category", "billing")),
    Wanted("metadata, 0.01 %", pair=("tier", "founder")),
    Wanted("word in every row", word="everyrow"),
    Wanted("word in 1 % of the rows", word="hundredthrow"),
)
# At least so many times faster than the peer: pages, words.
AIMS = {"Arize Phoenix": (30, 100), "MLflow": (3, 100)}


def aim(peer: str, wanted: Wanted) -> int:
    return AIMS[peer][bool(wanted.word)]


def ask_all(asked: Any) -> list[dict[str, Any]]:
    """Every question to one of them; after a question that does not end, words are not asked any more."""
    client = Client(asked.url)
    found: list[dict[str, Any]] = []
    stuck = False
    for wanted in QUESTIONS:
        if stuck and wanted.word:
            answer = Answer(problem="not asked, since the question before it did not end")
        else:
            answer = client.measure(asked.question(wanted))
            stuck = stuck or "Timeout" in answer.problem
        found.append({"name": wanted.name} | answer.as_dict())
        said = answer.problem or f"median {answer.median:9.2f} ms  p95 {answer.p95:9.2f}  {answer.rows} rows"
        print(f"    {asked.title:<20} {wanted.name:<24} {said}", flush=True)
    return found


def ours(home: Path, rows: int) -> dict[str, Any]:
    with Place.opened("sqlite", home / f"ours-{rows}") as place:
        stored = place.read("tests.bench.build", str(rows), "1")
        site = Ours(place)
        try:
            answers = ask_all(site)
            memory = site.memory()
        finally:
            site.stop()
        commit = machine()["commit"]
        size = sum(file.stat().st_size for file in place.folder.glob("portal.sqlite3*"))
    taken = {"rows": stored["rows"], "seconds": stored["seconds"], "fresh": stored["rows"] > 0}
    return {
        "title": Ours.title, "version": commit, "filled": taken,
        "answers": answers, "memory": memory, "disk": size,
    }  # fmt: skip


def peer(one: Peer, file: Path, rows: int) -> dict[str, Any]:
    one.install()
    one.start()
    try:
        print(f"  {one.title} {one.version}: filling ...", flush=True)
        filled = one.fill(file, rows)
        answers = ask_all(one)
        memory, size = one.memory(), one.bytes_on_disk()
    finally:
        one.stop()
    return {
        "title": one.title, "version": one.version, "filled": filled,
        "answers": answers, "memory": memory, "disk": size,
    }  # fmt: skip


def compared(found: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Lines of the table: a question and, for everybody, what it took and how many times as long as ours."""
    mine = {each["name"]: each for each in found["Completions Portal"]["answers"]}
    lines = []
    for at, wanted in enumerate(QUESTIONS):
        cells = [_ms(mine[wanted.name])]
        for title in AIMS:
            if title not in found or "answers" not in found[title]:
                cells.append("not run")
                continue
            theirs = found[title]["answers"][at]
            cell = _ms(theirs)
            if not theirs["problem"] and mine[wanted.name]["median"]:
                times = theirs["median"] / mine[wanted.name]["median"]
                least = aim(title, wanted)
                cell += f" = {times:,.1f} x (aim {least} x{', missed' if times < least else ''})"
            cells.append(cell)
        lines.append((wanted.name, cells))
    return lines


def _ms(answer: dict[str, Any]) -> str:
    return answer["problem"] or f"{answer['median']:,.1f} ms, {answer['rows']} rows"


def main(arguments: Sequence[str]) -> bool:
    """Fill and ask all of them; false if one could not be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench peers", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--keep", type=Path, default=HOME, help=f"where everything stays ({HOME})")
    parser.add_argument("--only", default="ours,phoenix,mlflow")
    options = parser.parse_args(arguments)
    home: Path = options.keep.resolve() / "peers"
    home.mkdir(parents=True, exist_ok=True)
    file = options.keep.resolve() / "results" / f"peers-{options.rows}.json"
    file.parent.mkdir(exist_ok=True)
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    wanted, fine = options.only.split(","), True
    print(f"\n=== the same {options.rows:,} completions everywhere, in {home}", flush=True)
    if "ours" in wanted:
        found[Ours.title] = ours(home, options.rows)
    rows = home / f"rows-{options.rows}.jsonl"
    with Place.opened("sqlite", home / "rows") as place:
        if not rows.exists():
            place.start("tests.bench.peers_rows", str(options.rows), str(rows)).wait()
    for kind in (Phoenix, MLflow):
        if kind.title.split()[-1].lower() not in wanted:
            continue
        try:
            found[kind.title] = peer(
                kind(home / f"{kind.package}-{options.rows}", home / kind.package), rows, options.rows
            )
        except Missing as reason:
            found[kind.title] = {"title": kind.title, "problem": str(reason)}
            print(f"  {kind.title}: NOT RUN. {reason}")
            fine = False
    found |= {"rows": options.rows, "machine": machine()}
    file.write_text(json.dumps(found, indent=1))
    if Ours.title in found:
        for name, cells in compared(found):
            print(f"  {name:<24} " + "   ".join(cells))
    print(f"  kept in {file}; python -m tests.bench.render writes it into docs/benchmarks.md")
    return fine
