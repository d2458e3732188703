"""The documentation says what the code does: every field and mark of the filter."""

import re

import pytest
from django.conf import settings

from completions.filters import FIELDS, Filter
from completions.filters.fields import FLAGS, MARKS, STATES

ROOT = settings.BASE_DIR


def rows(document: str) -> dict[str, list[str]]:
    """The tables of a document: first cell without its backquotes → all cells."""
    text = (ROOT / "docs" / document).read_text()
    lines = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {
        name: [cell.strip() for cell in cells]
        for cells in lines
        for name in re.findall(r"`([^`]+)`", cells[0])
    }


def test_every_field_of_the_filter_is_documented_with_its_example() -> None:
    documented = rows("filters.md")
    assert set(documented) == set(FIELDS)
    for name, field in FIELDS.items():
        assert documented[name][1] == f"`{field.example}`"


@pytest.mark.parametrize("name", [*FLAGS, *MARKS, *STATES])
def test_every_mark_is_documented(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "filters.md").read_text()


def test_the_examples_of_the_documentation_are_readable() -> None:
    text = (ROOT / "docs" / "filters.md").read_text()
    block = re.search(r"```\n(.*?)\n```", text, re.DOTALL)
    assert block
    examples = [block[1], *(cells[1].strip("`") for cells in rows("filters.md").values())]
    for example in examples:
        assert not Filter.parse(example).broken, example
