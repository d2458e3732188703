"""Recipes to begin with, and a recipe as the fields of its form. Pure."""

from dataclasses import replace
from typing import Any

from datasets.recipe import Recipe

RECOMMENDED_DROPS = ("refusal", "truncated", "filtered", "empty")
USUAL_VALIDATION = 10  # percent
_AS_THEY_ARE = (
    "purpose", "only_approved", "drop", "use_corrections", "train_on", "reference", "columns", "duplicates",
    "byte_order_mark",
)  # fmt: skip


def initial_of(recipe: Recipe) -> dict[str, Any]:
    """What the form shows of a recipe."""
    cap, sample, split = recipe.cap, recipe.sample, recipe.split
    shown: dict[str, Any] = {name: getattr(recipe, name) for name in _AS_THEY_ARE}
    return shown | {
        "lengths": bool(recipe.shortest or recipe.longest),
        "shortest": recipe.shortest or None,
        "longest": recipe.longest or None,
        "system_prompt": recipe.system_prompt.do,
        "system_text": recipe.system_prompt.text,
        "prune": bool(recipe.prefix),
        "beginning": recipe.prefix,
        "window": bool(recipe.last_turns),
        "last_turns": recipe.last_turns or None,
        "pairs_source": recipe.pairs.source,
        "pairs_preferred": recipe.pairs.preferred,
        "pairs_other": recipe.pairs.other,
        "personal": bool(recipe.personal.kinds or recipe.personal.patterns),
        "personal_kinds": recipe.personal.kinds,
        "personal_do": recipe.personal.do,
        "cap": cap is not None,
        "cap_by": cap.by if cap else "",
        "cap_most": cap.most if cap else None,
        "sample": sample is not None,
        "sample_rows": sample.rows if sample else None,
        "sample_by": sample.by if sample else "",
        "sample_seed": sample.seed if sample else 0,
        "split": recipe.is_split,
        "validation": split.validation if recipe.is_split else USUAL_VALIDATION,
        "test": split.test,
        "split_unit": split.unit,
        "split_even": split.even,
        "split_seed": split.seed,
    }


def recommended(recipe: Recipe) -> Recipe:
    """What most datasets want: no answers that teach nothing good, no repetition, some rows to validate."""
    return replace(
        recipe,
        drop=RECOMMENDED_DROPS,
        use_corrections=True,
        duplicates="exact",
        split=replace(recipe.split, validation=USUAL_VALIDATION),
    )


def plain(recipe: Recipe) -> Recipe:
    """Every rule off; what was excluded by hand stays."""
    return Recipe(
        purpose=recipe.purpose,
        excluded=recipe.excluded,
        token_limit=recipe.token_limit,
        leave_out_long=recipe.leave_out_long,
    )


def for_purpose(recipe: Recipe, purpose: str) -> Recipe:
    """The same rules for another purpose."""
    return recipe if purpose == recipe.purpose else replace(recipe, purpose=purpose)
