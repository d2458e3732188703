"""What the steps of the Distill wizard ask and offer: recipes, mending, variants, money, hostile text."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from datasets import base_models, distill, grader_starts, recipe_starts
from datasets.build import build, reinforcement
from datasets.finetune import launch
from datasets.models import DatasetVersion, FineTune, Purpose, Sweep
from datasets.recipe import Cap, Pairs, Personal, Recipe, Sample, Split, SystemPrompt
from datasets.recipe_forms import DataForm
from portal.models import Budget, Connection, Operation, Price, User
from tests import factories
from tests.datasets import material

SignIn = Callable[[User], Client]
MODEL = "gpt-4.1-mini-2025-04-14"
HOSTILE = '"><script>alert(1)</script>{{ 7|add:7 }}'
EVERYTHING = Recipe(
    only_approved=True,
    drop=("refusal", "not_json"),
    shortest=3,
    longest=900,
    excluded=(("workshop/chatcmpl-1", "wrong"),),
    use_corrections=True,
    system_prompt=SystemPrompt("replace", "Be brief.\nBe kind."),
    prefix="Please classify:\n",
    last_turns=2,
    personal=Personal(("email", "iban"), (("ticket", "T-[0-9]+"),), "leave_out"),
    train_on="last",
    token_limit=32_768,
    leave_out_long=True,
    duplicates="near",
    cap=Cap("system", 20),
    sample=Sample(500, 7, "model"),
    split=Split(10, 5, 3, "near", "connection"),
    byte_order_mark=True,
)
PAIRS = Recipe(purpose=Purpose.PREFERENCE, pairs=Pairs("models", "gpt-4o", "gpt-4o-mini"))
SCORED = Recipe(
    purpose=Purpose.REINFORCEMENT,
    reference="meta:answer",
    columns=("meta.tier", "label.tone"),
    split=Split(20),
)


def sent(recipe: Recipe, **changes: Any) -> dict[str, Any]:
    """The form of this recipe as a browser sends it: boxes that are off and empty fields send nothing."""
    shown = {"name": "Rows", **recipe_starts.initial_of(recipe)} | changes
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in shown.items()}
    return {name: value for name, value in values.items() if value not in (None, False, [], "")}


@pytest.mark.parametrize("recipe", [Recipe(), EVERYTHING, PAIRS, SCORED], ids=["plain", "all", "dpo", "rft"])
def test_a_recipe_comes_back_from_the_form_as_it_was(recipe: Recipe) -> None:
    form = DataForm(sent(recipe), base=recipe)
    assert form.is_valid(), form.errors
    assert form.recipe() == recipe


def test_text_from_a_browser_keeps_the_line_ends_that_the_rows_have() -> None:
    form = DataForm(sent(EVERYTHING, beginning="Please:\r\n\r\n", system_text="a\r\nb"), base=EVERYTHING)
    assert form.is_valid()
    assert form.recipe().prefix == "Please:\n\n"
    assert form.recipe().system_prompt.text == "a\nb"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"lengths": True}, "shortest"),
        ({"lengths": True, "shortest": 9, "longest": 3}, "longest"),
        ({"system_prompt": "replace", "system_text": "  "}, "system_text"),
        ({"prune": True}, "beginning"),
        ({"window": True}, "last_turns"),
        ({"personal": True}, "personal_kinds"),
        ({"cap": True, "cap_by": "model"}, "cap_most"),
        ({"cap": True, "cap_by": HOSTILE, "cap_most": 3}, "cap_by"),
        ({"sample": True}, "sample_rows"),
        ({"split": True, "validation": None}, "validation"),
        ({"split": True, "validation": 51}, "validation"),
        ({"purpose": "preference", "pairs_source": "models"}, "pairs_preferred"),
        ({"purpose": "reinforcement"}, "split"),
        ({"purpose": "evaluation"}, "purpose"),
        ({"drop": ["refusal", "everything"]}, "drop"),
        ({"name": " "}, "name"),
    ],
)
def test_a_rule_that_lacks_something_says_so_beside_it(changes: dict[str, Any], field: str) -> None:
    form = DataForm(sent(Recipe(), **changes), groups=[("model", "Model")])
    assert not form.is_valid()
    assert list(form.errors) == [field]


def test_fields_of_a_rule_that_is_off_do_nothing() -> None:
    form = DataForm(sent(Recipe(), shortest=5, last_turns=2, sample_rows=9, validation=20, beginning="x"))
    assert form.is_valid()
    assert form.recipe() == Recipe()


def test_nonsense_in_fields_that_are_not_shown_is_no_hindrance() -> None:
    hidden = {
        "validation": 99, "cap_by": HOSTILE, "cap_most": -1, "sample_rows": "many", "last_turns": 0,
        "pairs_source": "dice", "reference": HOSTILE, "columns": [HOSTILE], "personal_kinds": ["shoe size"],
        "system_text": "x" * 30_000, "beginning": "x" * 30_000,
    }  # fmt: skip
    form = DataForm(sent(Recipe(), **hidden))
    assert form.is_valid(), form.errors
    assert form.recipe() == Recipe()
    assert set(DataForm(sent(Recipe(), split=True, validation=99)).errors) == {"validation"}


def test_what_is_recommended_is_a_recipe_that_the_form_takes() -> None:
    recipe = recipe_starts.recommended(Recipe(purpose=Purpose.REINFORCEMENT))
    form = DataForm(sent(recipe))
    assert form.is_valid(), form.errors
    assert form.recipe().split.validation == 10
    assert recipe_starts.plain(recipe) == Recipe(purpose=Purpose.REINFORCEMENT)


@pytest.mark.parametrize("recipe", [SCORED, Recipe(purpose=Purpose.REINFORCEMENT)], ids=["fields", "none"])
def test_every_ready_made_grader_is_one_that_the_check_takes(recipe: Recipe) -> None:
    fields = grader_starts.fields_of(recipe)
    for start in grader_starts.starts(fields):
        assert [problem.text for problem in reinforcement.check_grader(start.grader, fields)] == [], start.key


def test_models_that_reason_are_offered_for_reinforcement_alone() -> None:
    azure = Connection(kind="azure_v1", base_url="https://example.openai.azure.com/openai/v1/")
    offered = {
        purpose: [family.name for family in base_models.suggested(azure, purpose).families]
        for purpose in (Purpose.SUPERVISED, Purpose.PREFERENCE, Purpose.REINFORCEMENT)
    }
    assert offered[Purpose.REINFORCEMENT] == ["o4-mini"]
    assert "o4-mini" not in offered[Purpose.SUPERVISED]
    assert "gpt-4o-mini" in offered[Purpose.SUPERVISED]
    assert "gpt-4o-mini" not in offered[Purpose.PREFERENCE]


# On pages.


@pytest.fixture
def workshop(transactional_db: None) -> Connection:
    return factories.connection(name="Workshop")


def address(version: DatasetVersion, step: str) -> str:
    return reverse("datasets:distill", args=[version.pk, step])


def launch_form(tune: FineTune, **more: Any) -> dict[str, Any]:
    return {"fine_tune": tune.pk, "seed": 5, "suffix": "docs", "training_type": "Standard", **more}


def test_quick_choices_change_the_form_and_keep_nothing(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    asked = "Please classify the following ticket.\n"
    rows = [material.stored(workshop, question=f"{asked}{n}: it broke") for n in range(12)]
    start = reverse("datasets:distill_start", args=[material.frozen(builder, rows).pk])
    client = client_of(builder)
    page = client.post(start, sent(Recipe(), name="Mine", quick="recommended"))
    form = page.context["form"]
    assert (form["name"].value(), form["validation"].value(), form["duplicates"].value()) == (
        "Mine", 10, "exact",
    )  # fmt: skip
    found = client.post(start, sent(Recipe(), prune=True, quick="beginning"))
    assert found.context["form"]["beginning"].value() == asked
    assert not DatasetVersion.objects.exists()


@pytest.mark.engines
def test_going_back_to_the_recipe_of_a_built_version_makes_the_next_one(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    version = material.built(builder, material.many(workshop, 12))
    distill.choose_model(version, builder, workshop, MODEL)
    client, changed = client_of(builder), Recipe(use_corrections=True)
    answers = [client.post(address(version, "data"), sent(changed)) for _ in range(2)]
    following = DatasetVersion.objects.get(number=2)
    assert [answer["Location"] for answer in answers] == [address(following, "check")] * 2
    version.refresh_from_db()
    assert (version.state, distill.recipe_of(version)) == ("ready", Recipe())
    assert FineTune.objects.get().version == following


def test_a_dataset_with_built_rows_keeps_its_purpose(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    version = material.built(builder, material.many(workshop, 12))
    client_of(builder).post(address(version, "data"), sent(Recipe(), purpose="preference"))
    version.dataset.refresh_from_db()
    assert version.dataset.purpose == Purpose.SUPERVISED
    assert DatasetVersion.objects.count() == 1


@pytest.mark.engines
def test_a_problem_is_mended_by_the_next_version(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    rows = [*material.many(workshop, 12), material.stored(workshop, finish="length")]
    version = material.built(builder, rows)
    client = client_of(builder)
    page = client.get(address(version, "check")).content.decode()
    assert "Leave out answers that were cut off" in page
    for name, left_out in (("drop_truncated", "dropped_truncated"), ("these", "by_hand")):
        mended = client.post(
            reverse("datasets:distill_mend", args=[version.pk]), {"code": "truncated", "mending": name}
        )
        following = DatasetVersion.objects.latest("id")
        assert mended["Location"] == address(following, "check")
        material.drain(kinds=[build.KIND])
        following.refresh_from_db()
        assert (following.rows, following.parent) == (12, version)
        assert [reason.partition(":")[0] for reason in following.counts["left_out"]] == [left_out]


@pytest.mark.parametrize("name", ["", "no_such_thing", "these", "drop_empty' OR 1=1"])
def test_a_mending_that_does_nothing_makes_nothing(
    builder: User, workshop: Connection, client_of: SignIn, name: str
) -> None:
    version = material.built(builder, material.many(workshop, 12))
    url = reverse("datasets:distill_mend", args=[version.pk])
    answer = client_of(builder).post(url, {"code": HOSTILE, "mending": name})
    assert answer["Location"] == address(version, "check")
    assert DatasetVersion.objects.count() == 1


def test_the_review_says_price_date_and_what_is_left_of_the_budget(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    tune = material.prepared(builder, workshop)
    today = timezone.now().date()
    Price.objects.create(model="gpt-4.1-mini", kind="training", amount=Decimal("4"), as_of=today)
    Budget.objects.create(connection=workshop, amount=Decimal("50"))
    page = client_of(builder).get(address(tune.trained_on, "launch")).content.decode()
    assert "per million tokens" in page
    assert f"{today:%Y}" in page
    assert "of this month&#x27;s budget is left" in page or "of this month's budget is left" in page


def test_over_budget_is_said_and_nothing_is_launched(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    tune = material.prepared(builder, workshop)
    Price.objects.create(
        model="gpt-4.1-mini", kind="training", amount=Decimal("900000"), as_of=timezone.now().date()
    )
    Budget.objects.create(connection=workshop, amount=Decimal("1"))
    answer = client_of(builder).post(address(tune.trained_on, "launch"), launch_form(tune))
    assert answer.status_code == 422
    assert "This may cost" in answer.content.decode()
    tune.refresh_from_db()
    assert tune.state == FineTune.State.DRAFT
    assert not Operation.objects.filter(kind=launch.KIND).exists()


@pytest.mark.engines
def test_variants_become_one_sweep_and_the_same_form_again_launches_nothing(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    tune = material.prepared(builder, workshop)
    client, url = client_of(builder), address(tune.trained_on, "launch")
    form = launch_form(
        tune, variant=["1", "3"], **{"v1-n_epochs": "5", "v3-base_model": "gpt-4.1-nano-2025-04-14"}
    )
    first, second = client.post(url, form), client.post(url, form)
    sweep = Sweep.objects.get()
    assert first["Location"] == second["Location"] == reverse("datasets:sweep", args=[sweep.pk])
    jobs = [(each.base_model, each.hyperparameters["n_epochs"]) for each in sweep.fine_tunes.order_by("id")]
    assert jobs == [(MODEL, "auto"), (MODEL, 5), ("gpt-4.1-nano-2025-04-14", "auto")]
    assert FineTune.objects.count() == 3


def test_a_click_that_comes_while_another_launches_is_led_to_what_that_one_began(
    builder: User, workshop: Connection
) -> None:
    first = material.prepared(builder, workshop)
    second = FineTune.objects.select_related("connection", "version__dataset").get(pk=first.pk)
    values = {
        name: getattr(first, name)
        for name in ("hyperparameters", "grader", "seed", "suffix", "training_type")
    }
    assert distill.set_up(first, values)
    began = distill.launch(first, [{**values, "seed": 7}], builder)
    assert not distill.set_up(second, {**values, "suffix": "late"})
    assert began == distill.where(second) == distill.launch(second, [], builder)
    assert Sweep.objects.count() == 1
    assert not FineTune.objects.filter(suffix="late").exists()


def test_enter_in_a_field_changes_no_rule_and_launches_nothing(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    tune = material.prepared(builder, workshop)
    client, url = client_of(builder), address(tune.trained_on, "launch")
    rows = [material.stored(workshop) for _ in range(12)]
    start = reverse("datasets:distill_start", args=[material.frozen(builder, rows).pk])
    pressed = []
    for page in (client.get(start), client.get(url)):
        form = page.content.decode().partition('id="step"')[2]
        first = re.search(r"<button[^>]*>", form)
        assert first is not None
        pressed.append(re.findall(r'name="([^"]*)"', first[0]))
    assert pressed == [[], ["look"]], "the first button of a form is what Enter presses"
    seen = client.post(url, launch_form(tune, suffix="mine", look="1"))
    assert seen.context["form"]["suffix"].value() == "mine"
    tune.refresh_from_db()
    assert tune.state == FineTune.State.DRAFT


def test_variants_are_added_and_removed_without_losing_what_was_typed(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    tune = material.prepared(builder, workshop)
    client, url = client_of(builder), address(tune.trained_on, "launch")
    form = launch_form(tune, variant=["1", "2"], **{"v1-n_epochs": "5", "v2-n_epochs": "7"})
    added = client.post(url, {**form, "add": "1"}, headers={"HX-Request": "true", "HX-Target": "variants"})
    assert [f'name="variant" value="{n}"' in added.content.decode() for n in (1, 2, 3, 4)] == [
        True, True, True, False,
    ]  # fmt: skip
    assert b"<html" not in added.content
    removed = client.post(url, {**form, "remove": "1"})
    kept = removed.context["variants"]
    assert [(each.prefix, each["n_epochs"].value()) for each in kept] == [("v2", "7")]
    assert not Sweep.objects.exists()


def test_reinforcement_asks_for_a_grader_that_can_grade_the_rows(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    version = material.built(
        builder,
        material.many(workshop, 40),
        Recipe(purpose="reinforcement", reference="answer", split=Split(30)),
    )
    version, tune = distill.choose_model(version, builder, workshop, "o4-mini-2025-04-16")
    client, url = client_of(builder), address(version, "launch")
    for wrong in ("", "nonsense", "[]", '{"type": "string_check"}', '{"type": "python", "source": 7}'):
        assert client.post(url, launch_form(tune, grader=wrong)).status_code == 422
    chosen = client.post(url, launch_form(tune, grader="", begin="similar"))
    grader = chosen.context["form"]["grader"].value()
    assert "item.reference" in grader
    form = launch_form(tune, grader=grader, reasoning_effort="low", eval_samples="2")
    assert client.post(url, form)["Location"] == reverse("datasets:finetune", args=[tune.pk])
    tune.refresh_from_db()
    assert tune.method == FineTune.Method.REINFORCEMENT
    assert (tune.hyperparameters["reasoning_effort"], tune.hyperparameters["eval_samples"]) == ("low", 2)


def test_names_metadata_and_prompts_are_text_on_every_step(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    rows = [
        factories.make_completion(
            workshop, prompt=f"{HOSTILE} {n}", answer=HOSTILE, system=HOSTILE, metadata={HOSTILE: HOSTILE}
        )
        for n in range(12)
    ]
    client = client_of(builder)
    start = reverse("datasets:distill_start", args=[material.frozen(builder, rows).pk])
    pages = [client.get(start)]
    changes = {"cap": True, "cap_by": f"meta.{HOSTILE}", "cap_most": 50, "name": HOSTILE}
    answer = client.post(start, sent(Recipe(), **changes))
    version = DatasetVersion.objects.get()
    assert answer["Location"] == address(version, "check")
    pages.append(client.get(address(version, "check")))
    material.drain(kinds=[build.KIND])
    distill.choose_model(DatasetVersion.objects.get(), builder, workshop, MODEL)
    pages += [client.get(address(version, step)) for step in ("data", "check", "launch")]
    for page in pages:
        assert page.status_code == 200
        text = page.content.decode()
        assert "<script>alert" not in text
        assert '"><script' not in text
        assert "14" not in text.partition("{{ 7")[0][-2:]
    assert distill.recipe_of(DatasetVersion.objects.get()).cap == Cap(f"meta.{HOSTILE}", 50)


@pytest.mark.parametrize(
    "suffix", [HOSTILE, "two words", "dot.ted", "ünïcode", "a/b", "x" * 32, "\u202eevil"]
)
def test_a_suffix_that_no_provider_takes_is_refused(
    builder: User, workshop: Connection, client_of: SignIn, suffix: str
) -> None:
    tune = material.prepared(builder, workshop)
    answer = client_of(builder).post(address(tune.trained_on, "launch"), launch_form(tune, suffix=suffix))
    assert answer.status_code == 422
    assert "<script>" not in answer.content.decode()


def test_what_a_recipe_would_take_is_shown_in_the_order_of_its_rules(
    builder: User, workshop: Connection, client_of: SignIn
) -> None:
    rows = [
        *material.many(workshop, 12),
        *(material.stored(workshop, question="The same?", answer="Yes.") for _ in range(3)),
        material.stored(workshop, question=HOSTILE, answer=HOSTILE, finish="length"),
    ]
    start = reverse("datasets:distill_start", args=[material.frozen(builder, rows).pk])
    recipe = Recipe(drop=("truncated",), duplicates="exact", split=Split(10))
    client = client_of(builder)
    shown = client.post(start, sent(recipe, look="1"), headers={"HX-Request": "true", "HX-Target": "survey"})
    text = shown.content.decode()
    assert shown.context["survey"].stays == 13
    assert [(step.text, step.left_out) for step, _ in shown.context["steps"]] == [
        ("Rules about the row", 1), ("Rules that look at all rows", 2),
    ]  # fmt: skip
    assert "<html" not in text
    assert "<script>" not in text
    half = client.post(start, sent(Recipe(), cap=True, look="1"))
    assert (half.status_code, "survey" in half.context) == (200, False)
    assert not DatasetVersion.objects.exists()


def test_whoever_may_not_act_on_a_source_sees_nothing_of_its_rows(
    builder: User, reader: User, workshop: Connection, client_of: SignIn
) -> None:
    frozen = material.frozen(builder, material.many(workshop, 12))
    start = reverse("datasets:distill_start", args=[frozen.pk])
    assert client_of(reader).post(start, sent(Recipe(), look="1")).status_code == 404
    version = material.built(builder, material.many(workshop, 12))
    for url in (address(version, "data"), reverse("datasets:distill_mend", args=[version.pk])):
        assert client_of(reader).post(url, sent(Recipe(), look="1")).status_code == 403
