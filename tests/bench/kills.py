"""kill -9 at any moment of a sync and of a distillation: `python -m tests.bench.kills [sync] [distill]`; 1 if
something was lost or done twice.
"""

import argparse
import sys
from collections.abc import Collection

from tests.bench import kills_distill, kills_sync

PARTS = {"sync": kills_sync.table, "distill": kills_distill.table}


def table(parts: Collection[str] = ()) -> bool:
    """Print every part that is asked for, all without; true if all of them are fine."""
    fine = True
    for name in parts or PARTS:
        fine &= PARTS[name]()
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help="sync, distill; both without")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return 0 if table(options.parts) else 1


if __name__ == "__main__":
    sys.exit(main())
