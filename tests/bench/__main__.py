"""`python -m tests.bench [--quick] [sync] [memory] [kills]`, or on their own `pane …`, `peers …`,
`peers-export …`, `alike …`, `transfer …`, `bulk`, `next …`, `datasets …`, `evaluate …` and `agreement`;
`make bench` runs the first three parts, runs of evaluations and the pane. 1 if what must hold does not.
"""

import argparse
import sys

from tests.bench import (
    agreement,
    alike,
    bulk,
    datasets,
    evaluate,
    kills,
    memory,
    next_row,
    pane,
    peers,
    peers_export,
    render,
    sync,
    transfer,
)


def main(arguments: list[str]) -> int:
    alone = {
        "pane": pane.main,
        "peers": peers.main,
        "peers-export": peers_export.main,
        "alike": alike.main,
        "transfer": transfer.main,
        "bulk": bulk.main,
        "datasets": datasets.main,
        "evaluate": evaluate.main,
        "agreement": agreement.main,
        "next": next_row.main,
    }
    if arguments and arguments[0] in alone:
        return 0 if alone[arguments[0]](arguments[1:]) else 1
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="part", help="sync, memory, kills, evaluate, pane; all without"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds, for a first look")
    options = parser.parse_args(arguments)
    wanted = set(options.parts) or {"sync", "memory", "kills", "evaluate", "pane"}
    fine = True
    if "sync" in wanted:
        fine &= sync.table(rows=1000, rounds=1) if options.quick else sync.table(rows=3000, rounds=3)
    if "memory" in wanted:
        fine &= memory.table(2000, 10_000) if options.quick else memory.table(5_000, 100_000)
    if "kills" in wanted:
        fine &= kills.table()
    if "evaluate" in wanted:
        fine &= evaluate.main(["--calls", "1000", "--rows", "4000", "--rounds", "1"] if options.quick else [])
    if "pane" in wanted:
        fine &= pane.main(["--rows", "10000", "--runs", "5"] if options.quick else [])
        render.main([])
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
