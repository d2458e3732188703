#!/usr/bin/env python
"""Django's command line for the portal."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is missing here. Run `make run` or `make demo`, which install what is needed.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
