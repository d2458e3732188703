"""What helps against a problem of a version that is built: the next version, by another recipe."""

from dataclasses import dataclass, replace
from typing import Any

from datasets import distill
from datasets.build import fixes, validate
from datasets.models import DatasetVersion
from datasets.recipe import MOST_EXCLUDED, Recipe

BY_HAND = "these"  # the rows that have the problem, each of them


class NoHelp(ValueError):
    """Nothing is changed by this; the text says why."""


@dataclass(frozen=True, slots=True)
class Mending:
    """One thing that can be done, and what its button says."""

    name: str
    words: str


def mendings(version: DatasetVersion, code: str) -> list[Mending]:
    """What can be done about a problem: a rule that takes it away, or leaving its rows out one by one."""
    found = []
    rule = validate.RULES.get(code)
    by_rule = (
        version.origin == DatasetVersion.Origin.SELECTION
    )  # rules are for rows that are made, not received
    if by_rule and rule is not None and fixes.changed(distill.recipe_of(version), rule.fix) is not None:
        found.append(Mending(rule.fix, fixes.FIXES[rule.fix].words))
    if _rows(version, code).exists():
        found.append(Mending(BY_HAND, "Leave these rows out"))
    return found


def mend(version: DatasetVersion, user: Any, code: str, name: str) -> DatasetVersion:
    """The next version, mended and on its way. Raises NoHelp."""
    recipe = distill.recipe_of(version)
    by_hand = name == BY_HAND
    changed = _without(version, recipe, code) if by_hand else fixes.changed(recipe, name)
    if changed is None:
        raise NoHelp("The recipe does this already.")
    note = f"Without the rows that have “{code}”" if by_hand else fixes.FIXES[name].words
    following = distill.with_recipe(version, user, changed, note=note)
    distill.take_draft(version, following)
    distill.build_now(following, user)
    return following


def _without(version: DatasetVersion, recipe: Recipe, code: str) -> Recipe:
    """The recipe that leaves out by hand every row with this problem."""
    rule = validate.RULES.get(code)
    why = (rule.words if rule is not None else code)[:100]
    keys = list(_rows(version, code).values_list("source_key", flat=True)[: MOST_EXCLUDED + 1])
    excluded = dict(recipe.excluded) | dict.fromkeys(keys, why)
    if not keys:
        raise NoHelp("No row has this problem.")
    if len(excluded) > MOST_EXCLUDED:
        raise NoHelp(f"At most {MOST_EXCLUDED:,} rows can be left out by hand. Use a rule of the recipe.")
    return replace(recipe, excluded=tuple(sorted(excluded.items())))


def _rows(version: DatasetVersion, code: str) -> Any:
    return version.examples.filter(line__isnull=False, flags__contains=f" {code} ").order_by("position")
