"""``python -m portal.sandbox``."""

import sys

from portal.sandbox import main

sys.exit(main(sys.argv[1:]))
