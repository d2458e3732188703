"""A seeded sample in which every group has its share: the same seed draws the same rows everywhere."""

import random
from collections.abc import Mapping, Sequence


def shares(sizes: Mapping[str, int], n: int) -> dict[str, int]:
    """How many of `n` each group gets, in proportion to its size, by the largest remainder.

    Equal remainders go to the larger group, then by name, so the answer never depends on an order.
    """
    total = sum(sizes.values())
    n = min(n, total)
    if not total:
        return dict.fromkeys(sizes, 0)
    made = {name: size * n // total for name, size in sizes.items()}
    rest = n - sum(made.values())
    by_remainder = sorted(sizes, key=lambda name: (-(sizes[name] * n % total), -sizes[name], name))
    for name in by_remainder[:rest]:
        made[name] += 1
    return made


def draw(rows: Sequence[int], n: int, seed: int, groups: Mapping[int, str] | None = None) -> list[int]:
    """`n` of the rows, shuffled: any beginning of what comes back is a sample too.

    With `groups` each of them gets its share. `rows` must come in the same order to give the same sample.
    """
    strata: dict[str, list[int]] = {}
    for row in rows:
        strata.setdefault(groups[row] if groups is not None else "", []).append(row)
    wanted = shares({name: len(members) for name, members in strata.items()}, n)
    drawn = [
        row
        for name in sorted(strata)
        # A text seeds alike on every machine and version; each group has its own chance, so that one more
        # group does not change what is drawn from the others.
        for row in random.Random(f"{seed}/{name}").sample(strata[name], wanted[name])
    ]
    random.Random(f"{seed}").shuffle(drawn)
    return drawn
