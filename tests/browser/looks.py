"""How axe looks at pages: on a phone in the dark; with EVERY_LOOK=1 on a wide screen in the light too.

`make screens` looks at every page in both themes and both widths.
"""

import os

import pytest

_LOOKS = {"420-dark": (420, True), "1440-light": (1440, False)}
_TAKEN = list(_LOOKS) if os.environ.get("EVERY_LOOK") else ["420-dark"]
in_looks = pytest.mark.parametrize(("width", "dark"), [_LOOKS[name] for name in _TAKEN], ids=_TAKEN)
