"""The slowest filter of up to five conditions, looked for among random ones and then by changing the worst of
them.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.bench import rows
from tests.bench.pane_screens import Facts

SEED, COMBINATIONS, CLIMBS, FROM = 20_261_121, 200, 60, 5


def pool(facts: Facts) -> tuple[str, ...]:
    """Conditions of every kind, from every row to none."""
    return (
        "meta.env:prod", "meta.env:staging,dev", "meta.category:billing",
        "meta.category:other,praise,access", "meta.tier:founder", "meta.tier:*", "meta.era:old",
        f"meta.session:{facts.session}", 'meta.session:~"1-1"', f"model:{rows.MODELS[0]}",
        f"model:{rows.MODELS[2]},{rows.MODELS[3]}", "finish:stop", "finish:length", "tokens:>800",
        "tokens:<900", f"tokens:{facts.three}", "prompt_tokens:540..580", "completion_tokens:>300",
        "length:>1200", "turns:2", "temperature:>0.1", "language:en", "language:de,fr,ja",
        "format:json_schema", "has:tools", f"tool:{rows.TOOLS[1]}", "has:image", f"created:..{facts.day}",
        f"created:{facts.day}..", "connection:connection-1", "connection:connection-11,connection-12",
    )  # fmt: skip


Combination = tuple[str, ...]


def search(facts: Facts, cost: Callable[[str], float], words: tuple[str, ...] = ()) -> dict[str, Any]:
    """The worst combination found; `cost` answers with milliseconds. With `words`, one of them is always in
    it.
    """
    from tests.bench.pane_clock import RUNS

    random = Random(SEED)  # the same every time
    parts = pool(facts)
    found: dict[Combination, float] = {}

    def atom() -> str:
        kind = random.random()
        if kind < 0.2:
            return f"({random.choice(parts)} OR {random.choice(parts)})"
        if kind < 0.3:
            return f"-({random.choice(parts)} OR {random.choice(parts)})"
        return ("-" if kind < 0.5 else "") + random.choice(parts)

    def weigh(some: Combination) -> None:
        if some not in found:
            found[some] = cost(" ".join(some))

    for _ in range(min(COMBINATIONS, RUNS * 10)):
        lead = (random.choice(words),) if words else ()
        weigh(lead + tuple(atom() for _ in range(random.randint(1, 5 - len(lead)))))
    random_worst = max(found.values())
    for _ in range(min(CLIMBS, RUNS * 3)):
        worst = sorted(found, key=lambda each: -found[each])[:FROM]
        changed = list(random.choice(worst))
        place = random.randrange(len(words[:1]), 5)
        if place < len(changed):
            changed[place] = atom()
        else:
            changed.append(atom())
        weigh(tuple(changed))
    ordered = sorted(found, key=lambda each: -found[each])
    return {
        "tried": len(found),
        "random": round(random_worst, 2),
        "worst": [{"q": " ".join(each), "ms": round(found[each], 2)} for each in ordered[:FROM]],
        "median": round(sorted(found.values())[len(found) // 2], 2),
    }
