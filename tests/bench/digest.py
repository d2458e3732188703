"""Say what a mirror holds, row by row, as one digest that two mirrors can be compared by."""

import hashlib
import json

import django


def main() -> None:
    from completions.models import Quarantine
    from portal.models import Connection, Operation
    from tests.completions.mirroring import check_whole, snapshot

    connection = Connection.objects.get()
    check_whole(connection)
    rows = snapshot(connection)
    lines = [repr((name, *row[:-1], sorted(row[-1]))) for name, row in sorted(rows.items())]
    print(
        json.dumps(
            {
                "rows": len(rows),
                "digest": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
                "quarantined": Quarantine.objects.count(),
                "operations": sorted(Operation.objects.values_list("kind", "state")),
            }
        )
    )


if __name__ == "__main__":
    django.setup()
    main()
