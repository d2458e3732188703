"""How pages are looked at by axe: both themes and both widths, in the two windows that differ most.

`make screens` looks at every page in all four.
"""

import pytest

in_both_looks = pytest.mark.parametrize(
    ("width", "dark"), [(1440, False), (420, True)], ids=["1440-light", "420-dark"]
)
