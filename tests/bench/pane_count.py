"""How many rows a mirror holds, as JSON: `python -m tests.bench.pane_count`, in a place's environment."""

import json

import django


def main() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from completions.models import StoredCompletion
    from tests.bench.build import TALK

    rows = StoredCompletion.objects.exclude(upstream_id=TALK).count()
    # The long conversation comes last.
    whole = StoredCompletion.objects.filter(upstream_id=TALK).exists()
    print(json.dumps({"rows": rows, "whole": whole}))


if __name__ == "__main__":
    django.setup()
    main()
