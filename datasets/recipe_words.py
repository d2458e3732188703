"""A recipe as sentences, in the order in which its rules apply. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from datasets.models import Purpose
from datasets.recipe import DROPS, GROUPS, PERSONAL, Recipe, Unreadable

_LONGEST = 80
_PAIRS = {
    "corrections": "A pair is a correction, preferred over the answer that it corrects.",
    "ratings": "A pair is a good answer, preferred over a bad one to the same prompt.",
}


def of_version(data: Mapping[str, Any], *, uploaded: bool = False) -> list[str]:
    """The stored recipe of a version; one that cannot be read says so.

    Of a file that was `uploaded` the rows are taken as they are, so most rules say nothing of it.
    """
    try:
        recipe = Recipe.read(data)
    except Unreadable as why:
        return [str(why)]
    if not uploaded:
        return sentences(recipe)
    return ["Every good line of the file is a row, as it is.", *_rows(recipe), *_limit(recipe)]


def sentences(recipe: Recipe) -> list[str]:
    """What the recipe does, a sentence for each rule; one sentence if it does nothing."""
    found = [*_rows(recipe), *_texts(recipe), *_choice(recipe), *_places(recipe)]
    return found or ["Every row is taken as it is."]


def _rows(recipe: Recipe) -> Iterator[str]:
    if recipe.only_approved:
        yield "Only completions that were approved in review."
    dropped = [DROPS[code] for code in recipe.drop if code in DROPS]
    if dropped:
        yield f"Left out: {_listed(dropped)}."
    if recipe.shortest:
        yield f"Answers of fewer than {recipe.shortest:,} tokens are left out."
    if recipe.longest:
        yield f"Answers of more than {recipe.longest:,} tokens are left out."
    if recipe.excluded:
        yield f"{_count(len(recipe.excluded), 'row')} excluded by hand."


def _texts(recipe: Recipe) -> Iterator[str]:
    if recipe.use_corrections:
        yield "Where an answer was corrected, the correction takes its place."
    if recipe.system_prompt.do == "remove":
        yield "System prompts are removed."
    elif recipe.system_prompt.do == "replace":
        yield f"Every system prompt becomes {_quoted(recipe.system_prompt.text)}."
    if recipe.prefix:
        yield f"The beginning {_quoted(recipe.prefix)} is cut off the first user message."
    if recipe.last_turns:
        yield f"Of each conversation the system prompt and {_turns(recipe.last_turns)} are kept."
    yield from _personal(recipe)
    if recipe.purpose == Purpose.SUPERVISED:
        yield (
            "The model is trained on the last answer of each row; earlier ones are context."
            if recipe.train_on == "last"
            else "The model is trained on every answer."
        )
    if recipe.purpose == Purpose.PREFERENCE:
        models = f"A pair is an answer of {recipe.pairs.preferred or 'one model'}, preferred over one of "
        models += f"{recipe.pairs.other or 'another'} to the same prompt."
        yield _PAIRS.get(recipe.pairs.source, models)
    if recipe.reference:
        yield f"Answers are measured against {_reference(recipe.reference)}."
    if recipe.columns:
        yield f"Each row also carries {_listed([_group(name) for name in recipe.columns])}."
    yield from _limit(recipe)


def _limit(recipe: Recipe) -> Iterator[str]:
    if recipe.token_limit and recipe.leave_out_long:
        yield f"Rows of more than {recipe.token_limit:,} tokens are left out."
    elif recipe.token_limit:
        yield f"Rows of more than {recipe.token_limit:,} tokens are noted."


def _personal(recipe: Recipe) -> Iterator[str]:
    kinds = [PERSONAL[kind] for kind in recipe.personal.kinds if kind in PERSONAL]
    kinds += [f"the pattern {_quoted(name)}" for name, _ in recipe.personal.patterns]
    if not kinds:
        return
    if recipe.personal.do == "leave_out":
        yield f"Rows that hold {_listed(kinds, 'or')} are left out."
    else:
        yield f"Placeholders take the place of {_listed(kinds)}, the same one for the same value in a row."


def _choice(recipe: Recipe) -> Iterator[str]:
    if recipe.duplicates == "exact":
        yield "Of rows that are the same, the best one is kept."
    elif recipe.duplicates == "near":
        yield "Of rows that are the same or nearly the same, the best one is kept."
    if recipe.cap:
        yield f"At most {_count(recipe.cap.most, 'row')} of each {_group(recipe.cap.by)}."
    if recipe.sample:
        evenly = f", evenly over each {_group(recipe.sample.by)}" if recipe.sample.by else ""
        drawn = _count(recipe.sample.rows, "row").lower()
        yield f"Of what is left, {drawn} drawn by seed {recipe.sample.seed}{evenly}."


def _places(recipe: Recipe) -> Iterator[str]:
    if recipe.is_split:
        parts = [
            f"{percent}% for {name}"
            for percent, name in ((recipe.split.validation, "validation"), (recipe.split.test, "test"))
            if percent
        ]
        even = f", evenly over each {_group(recipe.split.even)}" if recipe.split.even else ""
        yield f"Set apart are {_listed(parts)}, by seed {recipe.split.seed}{even}."
        near = ", and near-duplicates," if recipe.split.unit == "near" else ""
        yield f"Rows of one conversation{near} never stand in two parts."
    if recipe.byte_order_mark:
        yield "The file begins with a byte order mark."


def _count(number: int, noun: str) -> str:
    return f"One {noun}" if number == 1 else f"{number:,} {noun}s"


def _turns(number: int) -> str:
    return "its last turn" if number == 1 else f"its last {number} turns"


def _listed(parts: list[str], word: str = "and") -> str:
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _quoted(text: str) -> str:
    flat = " ".join(text.split())
    return f"“{flat[:_LONGEST]}…”" if len(flat) > _LONGEST else f"“{flat}”"


def _group(name: str) -> str:
    kind, _, key = name.partition(".")
    if kind == "meta" and key:
        return f"value of the metadata “{key[:_LONGEST]}”"
    if kind == "label" and key:
        return f"answer to the label “{key[:_LONGEST]}”"
    return GROUPS.get(name, name[:_LONGEST])


def _reference(name: str) -> str:
    if name.startswith("meta:"):
        return f"the metadata “{name[5 : 5 + _LONGEST]}”"
    if name.startswith("label:"):
        return f"the answer to the label “{name[6 : 6 + _LONGEST]}”"
    if name.startswith("correction+meta:"):
        return f"its correction, else the stored answer, else the metadata “{name[16 : 16 + _LONGEST]}”"
    return {"answer": "the stored answer", "correction": "its correction"}.get(name, name[:_LONGEST])
