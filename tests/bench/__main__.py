"""`python -m tests.bench [--quick] [sync] [memory] [kills]`, which is what `make bench` runs; 1 if what
must hold does not.
"""

import argparse
import sys

from tests.bench import kills, memory, sync


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help="sync, memory, kills; all without")
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds, for a first look")
    options = parser.parse_args()
    wanted = set(options.parts) or {"sync", "memory", "kills"}
    fine = True
    if "sync" in wanted:
        fine &= sync.table(rows=1000, rounds=1) if options.quick else sync.table(rows=3000, rounds=3)
    if "memory" in wanted:
        fine &= memory.table(2000, 10_000) if options.quick else memory.table(5_000, 100_000)
    if "kills" in wanted:
        fine &= kills.table()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
