"""Every form of a grader by its `sort`: that is the kind, or what tells apart two forms of one kind."""

from collections.abc import Mapping
from typing import Any

from datasets import judge_forms, python_forms
from datasets.evaluate import judge_rules
from datasets.judge_forms import COSINE
from datasets.models import Grader
from datasets.multi_forms import MultiForm
from datasets.plain_grader_forms import CheckForm, SimilarityForm, StringForm
from datasets.python_forms import CodeForm

_EVERY: tuple[type[CodeForm], ...] = (
    StringForm,
    SimilarityForm,
    CheckForm,
    *judge_forms.FORMS,
    *python_forms.FORMS.values(),
    MultiForm,
)
FORMS: dict[str, type[CodeForm]] = {str(form.sort): form for form in _EVERY}
OUTER = (str(Grader.Kind.MULTI), str(Grader.Kind.PAIRWISE))  # never within a grader of several


def has(sort: str, *, inner: bool = False) -> bool:
    """Whether there is such a form; `inner`, one for a grader within another."""
    return sort in FORMS and not (inner and sort in OUTER)


def titles(*, inner: bool = False) -> list[tuple[str, str]]:
    """Every form with what it is called."""
    return [(sort, title_of(sort)) for sort in FORMS if has(sort, inner=inner)]


def title_of(sort: str) -> str:
    form = FORMS[sort]
    title: Any = form.title  # a property on the forms whose title is that of their kind
    return title if isinstance(title, str) else str(Grader.Kind(form.makes).label)


def first(sort: str, *, has_reference: bool) -> dict[str, Any]:
    """A grader to begin with."""
    return FORMS[sort].first(has_reference=has_reference)


def sort_of(kind: str, params: Mapping[str, Any]) -> str:
    """Which form a saved grader has."""
    if kind == Grader.Kind.TEXT_SIMILARITY and params.get("evaluation_metric") == judge_rules.COSINE:
        return COSINE
    return str(python_forms.sort_of(kind, params))


def make(sort: str, *, user: Any = None, source: int | None = None, **kwargs: Any) -> CodeForm:
    """A form; `user` is who may ask models by it, `source` the connection that is suggested."""
    form = FORMS[sort]
    if getattr(form, "asks", False) or issubclass(form, MultiForm):
        kwargs |= {"user": user, "source": source}
    return form(**kwargs)
