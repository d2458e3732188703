"""What anybody may paste, read within bounds."""

import json

import pytest
import yaml

from datasets.evaluate import carry_reading
from datasets.evaluate.carry import Carried, NotCarried

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {x0: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "tests: [",
        "just words",
        "[1, 2",
        "{}",
        "tests: []",
        "tests: &a [*a]",
        BOMB + "tests: *a11\n",
        MERGES + "tests: []\n",
        "tests: " + "[" * 5_000,
        "{" * 5_000,
        '{"tests": ' + "[" * 200 + "]" * 200 + "}",
        "tests: !!python/object/apply:os.system ['true']",
        "tests: 2024-99-99",
        "tests: " + "9" * 5_000,
        "x" * (carry_reading.LARGEST + 1),
        "tests:\n- assert:\n  - {type: equals, value: \x00}\n",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_what_cannot_be_read_is_refused_in_words(text: str) -> None:
    with pytest.raises(carry_reading.Unreadable) as refused:
        carry_reading.read(text)
    assert str(refused.value)


def test_a_broken_line_among_graders_keeps_the_others() -> None:
    good = {"type": "string_check", "input": "a", "reference": "b", "operation": "eq"}
    text = f'{json.dumps(good)}\n{{"type": broken\n\n{json.dumps(good | {"operation": "ne"})}\n'
    found = [line.found for line in carry_reading.read(text).lines]
    assert [isinstance(one, Carried) for one in found] == [True, False, True]
    assert found[1] == NotCarried("It is no JSON object.")


def test_aliases_within_bounds_are_followed() -> None:
    text = yaml.safe_dump({"defaultTest": {"assert": [{"type": "is-json"}]}}) + "tests: &t []\nother: *t\n"
    assert len(carry_reading.read(text).lines) == 1
