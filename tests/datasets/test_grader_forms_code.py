"""Forms of graders with code in them, and of several graders together: what is typed is what is kept."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.forms import FloatField

from datasets import grader_forms
from datasets.evaluate.graders import MOST_INNER, validate
from datasets.python_forms import CodeForm

SORTS = ("python", "schema", "tool_calls", "multi")


@pytest.fixture(autouse=True)
def _on(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if boxes held here: forms run no source."""
    settings.PYTHON_GRADERS = True
    monkeypatch.setattr("datasets.evaluate.box_trust.problem", lambda: "")


def saved(grader: dict[str, Any], **kwargs: Any) -> CodeForm:
    sort = grader_forms.sort_of(grader["kind"], grader["params"])
    initial = {"name": grader["name"], **grader["params"]}
    return grader_forms.make(sort, prefix="g0", number=0, initial=initial, **kwargs)


def shown(form: Any) -> Iterator[tuple[str, str]]:
    """Every field of a page's form, as a browser would send it."""
    for bound in form:
        yield bound.html_name, str(bound.value() if bound.value() is not None else "")
    for part in getattr(form, "parts", ()):
        yield from shown(part)


def posted(data: dict[str, str], **kwargs: Any) -> Any:
    return grader_forms.make(data["g0-kind"], prefix="g0", number=0, data=data, **kwargs)


def test_browsers_take_every_pass_mark_that_a_grader_can_have() -> None:
    """0.855 comes from an import or a calibration, and a step of 0.01 keeps browsers from sending it."""
    fields = [field for form in grader_forms.FORMS.values() for field in form.base_fields.values()]
    steps = {field.widget.attrs.get("step") for field in fields if isinstance(field, FloatField)}
    assert steps == {"any"}


@pytest.mark.parametrize("has_reference", [True, False])
@pytest.mark.parametrize("sort", SORTS)
def test_a_grader_to_begin_with_can_grade_and_is_kept_as_it_is(sort: str, *, has_reference: bool) -> None:
    first = grader_forms.first(sort, has_reference=has_reference)
    assert validate(first["kind"], first["params"]) == {}
    form = posted(dict(shown(saved(first, has_reference=has_reference))), has_reference=has_reference)
    assert form.is_valid(), form.errors
    assert form.grader() == first


@pytest.mark.parametrize(
    ("sort", "change", "field"),
    [
        ("python", {"g0-source": "def grade(item): return 1"}, "source"),
        ("python", {"g0-source": ""}, "source"),
        ("python", {"g0-pass_threshold": "inf"}, "pass_threshold"),
        ("schema", {"g0-value": '{"type": "text"}'}, "value"),
        ("schema", {"g0-input": "{{ item.x"}, "input"),
        ("tool_calls", {"g0-expected": "typed"}, "value"),
        ("tool_calls", {"g0-expected": "typed", "g0-value": "weather"}, "value"),
        ("multi", {"g0-calculate_output": "exact + nothing"}, "calculate_output"),
        ("multi", {"g0-p1-name": "exact"}, "__all__"),
        ("multi", {"g0-p1-name": "max"}, "__all__"),
        ("multi", {"g0-p0-input": ""}, "__all__"),
        ("multi", {"g0-p0-name": "<script>"}, "__all__"),
    ],
)
def test_what_cannot_grade_is_told_at_its_field(sort: str, change: dict[str, str], field: str) -> None:
    data = dict(shown(saved(grader_forms.first(sort, has_reference=True)))) | change
    form = posted(data)
    assert not form.is_valid()
    assert field in form.errors
    assert "<script>" not in str(form.errors)


def test_a_source_keeps_its_lines_however_a_browser_ends_them() -> None:
    data = dict(shown(saved(grader_forms.first("python", has_reference=False))))
    form = posted(data | {"g0-source": "def grade(sample, item):\r\n    return 1\r\n"})
    assert form.is_valid(), form.errors
    assert form.grader()["params"]["source"] == "def grade(sample, item):\n    return 1\n"


@pytest.mark.parametrize("sort", ["python", "multi"])
def test_what_needs_a_reference_is_refused_without_one(sort: str) -> None:
    data = dict(shown(saved(grader_forms.first(sort, has_reference=True))))
    assert not posted(data, has_reference=False).is_valid()


def test_a_python_grader_is_not_taken_where_it_cannot_run(settings: Any) -> None:
    first = grader_forms.first("python", has_reference=False)
    assert getattr(saved(first), "note", None) == ""
    settings.PYTHON_GRADERS = False
    form = saved(first)
    assert "turned off" in getattr(form, "note", "")
    typed = posted(dict(shown(form)))
    assert not typed.is_valid()
    assert "turned off" in str(typed.non_field_errors())


def test_calls_that_were_typed_are_shown_again() -> None:
    typed = '[{"name": "weather", "arguments": {"city": "{{ item.metadata.city }}"}}]'
    grader = {"name": "Weather", "kind": "check", "params": {"check": "tool_calls", "value": typed}}
    form = posted(dict(shown(saved(grader))))
    assert form.is_valid(), form.errors
    assert form.grader() == grader


def test_parts_come_and_go_by_buttons_of_their_form() -> None:
    data = dict(shown(saved(grader_forms.first("multi", has_reference=True))))
    more = posted(data | {"add": "g0:python"})
    assert [part.sort for part in more.parts] == ["string_check", "text_similarity", "python"]
    less = posted(dict(shown(more)) | {"remove": "g0:0"})
    assert [part["name"].value() for part in less.parts] == ["close", "part_3"]
    kept = posted(dict(shown(less)) | {"g0-calculate_output": "close * part_3"})
    assert kept.is_valid(), kept.errors
    assert [part["kind"] for part in kept.grader()["params"]["graders"].values()] == [
        "text_similarity",
        "python",
    ]
    again = posted(dict(shown(kept)) | {"add": "g0:schema"})
    assert [part.number for part in again.parts] == [1, 2, 0]  # in the place that is free


@pytest.mark.parametrize("button", ["g1:python", "g0:multi", "g0:pairwise", "g0:nothing", "python", "g0:"])
def test_no_other_button_changes_the_parts(button: str) -> None:
    data = dict(shown(saved(grader_forms.first("multi", has_reference=True))))
    for name in ("add", "remove"):
        assert len(posted(data | {name: button}).parts) == 2


def test_there_is_an_end_to_parts() -> None:
    data = dict(shown(saved(grader_forms.first("multi", has_reference=True))))
    for _ in range(MOST_INNER + 2):
        form = posted(data | {"add": "g0:schema"})
        data = dict(shown(form))
    assert len(form.parts) == MOST_INNER
    assert not form.can_add
