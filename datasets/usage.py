"""What the stored answers of a selection used: fresh answers to the same prompts will use about as much."""

from dataclasses import dataclass
from itertools import islice

from django.db.models import Sum

from completions import selection
from completions.models import FrozenSelection, StoredCompletion

LOOKED_AT = 20_000  # rows summed; more would make a person wait
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens of the rows that were looked at."""

    looked: int
    prompt_tokens: int
    completion_tokens: int


def used_by(frozen: FrozenSelection) -> Used:
    """The tokens of the newest rows of a selection."""
    prompt = completion = looked = 0
    ids = islice(selection.ids_of(frozen), LOOKED_AT)
    while chunk := list(islice(ids, _CHUNK)):
        sums = StoredCompletion.objects.filter(pk__in=chunk).aggregate(
            prompt=Sum("prompt_tokens"), completion=Sum("completion_tokens")
        )
        looked += len(chunk)
        prompt += sums["prompt"] or 0
        completion += sums["completion"] or 0
    return Used(looked, prompt, completion)
