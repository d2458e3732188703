"""What the rules of a recipe can be asked of these rows: metadata, labels and models that were observed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from completions import observed, selection
from completions.models import FrozenSelection, Term
from datasets.build import columns, rewrite
from datasets.build.material import Material
from datasets.build.taking import Sources
from datasets.recipe import GROUPS

MOST = 40  # of each
LOOKED_AT = 300  # rows, for a beginning that all have
SHOWN = 60  # characters of a name
Choices = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Observed:
    """The choices of the form's pickers."""

    groups: Choices
    references: Choices
    models: Choices


def observed_on(connections: Iterable[int]) -> Observed:
    """What completions of these connections hold, the most frequent first."""
    on = list(connections)
    meta = [each.text for each in observed.keys(on, limit=MOST)]
    labels = [each.text for each in observed.keys(on, limit=MOST, kind=Term.Kind.LABEL)]
    models = [each.text for each in observed.values(on, Term.Kind.MODEL, limit=MOST)]
    groups = [(name, words[:1].upper() + words[1:]) for name, words in GROUPS.items()]
    groups += [(f"meta.{key}", f"Metadata: {key[:SHOWN]}") for key in meta]
    groups += [(f"label.{name}", f"Label: {name[:SHOWN]}") for name in labels]
    references = [
        ("correction", "The answer as it should have been: corrected, else the stored one"),
        ("answer", "The stored answer"),
        *((f"{columns.META}{key}", f"Metadata: {key[:SHOWN]}") for key in meta),
    ]
    return Observed(groups, references, [(model, model) for model in models])


def common_beginning(frozen: FrozenSelection) -> str:
    """What nearly every first user message of the first rows begins with; empty if there is nothing."""
    sources = Sources(dict(frozen.connections.values_list("pk", "slug")), {})
    first = list(islice(selection.ids_of(frozen), LOOKED_AT))
    texts = (
        rewrite.first_asked(taken.material.conversation)
        for taken in sources.take(first)
        if isinstance(taken.material, Material)
    )
    return rewrite.common_prefix(texts)
