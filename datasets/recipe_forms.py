"""The first step of Distill as a form: a name, a purpose, and the rules of the recipe, each one optional."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django import forms

from datasets.models import Purpose
from datasets.recipe import (
    DROPS,
    LONGEST_SEED,
    LONGEST_TEXT,
    PERSONAL,
    Cap,
    Pairs,
    Recipe,
    Sample,
    Split,
    SystemPrompt,
)

Choices = Sequence[tuple[str, str]]
PURPOSES = (
    (Purpose.SUPERVISED, "Answer like this", "Supervised: the model learns to give these answers."),
    (Purpose.PREFERENCE, "Prefer this to that", "DPO: pairs of a better and a worse answer to one prompt."),
    (Purpose.REINFORCEMENT, "Reason towards a score", "Reinforcement: a grader scores what the model tries."),
)
SYSTEM_PROMPTS = (("keep", "Keep as they are"), ("remove", "Remove"), ("replace", "Replace with another"))
TRAIN_ON = (
    ("all", "Every answer in a conversation"),
    ("last", "Only the stored answer; earlier ones are context"),
)
PAIRS = (
    ("corrections", "A correction over the answer that it corrects"),
    ("ratings", "An answer rated good over one rated bad, to the same prompt"),
    ("models", "One model's answer over another's, to the same prompt"),
)
DUPLICATES = (
    ("", "Keep all"),
    ("exact", "Keep the best of those that are the same"),
    ("near", "Keep the best of those that are the same or nearly so"),
)
PERSONAL_DO = (("replace", "Put a placeholder in their place"), ("leave_out", "Leave the row out"))
UNITS = (
    ("conversation", "Rows of one conversation stay together"),
    ("near", "Near-duplicates stay together, too"),
)
# What belongs to a rule, and is not looked at where the rule is off.
OF_RULES = {
    "lengths": ("shortest", "longest"),
    "prune": ("beginning",),
    "window": ("last_turns",),
    "personal": ("personal_kinds", "personal_do"),
    "cap": ("cap_by", "cap_most"),
    "sample": ("sample_rows", "sample_by", "sample_seed"),
    "split": ("validation", "test", "split_unit", "split_even", "split_seed"),
}
OF_PURPOSES = {
    Purpose.SUPERVISED: ("train_on",),
    Purpose.PREFERENCE: ("pairs_source", "pairs_preferred", "pairs_other"),
    Purpose.REINFORCEMENT: ("reference", "columns"),
}
SAME_SEED = "The same seed and rows give the same choice."


def _number(label: str, low: int, high: int, help_text: str = "", **more: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, min_value=low, max_value=high, required=False, help_text=help_text, **more
    )


def _rule(label: str, help_text: str) -> forms.BooleanField:
    return forms.BooleanField(label=label, help_text=help_text, required=False)


def _pick(label: str, choices: Choices = (), help_text: str = "", **more: Any) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=choices, required=False, help_text=help_text, **more)


def _several(label: str, choices: Choices = (), help_text: str = "") -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label,
        choices=choices,
        required=False,
        help_text=help_text,
        widget=forms.CheckboxSelectMultiple,
    )


def _text(label: str, help_text: str, rows: int) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=LONGEST_TEXT,
        required=False,
        strip=False,
        help_text=help_text,
        widget=forms.Textarea(attrs={"rows": rows, "spellcheck": "false"}),
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


class NameForm(forms.Form):
    """What the dataset is called, where its rows came as a file."""

    name = forms.CharField(max_length=120, label="Name of the dataset", strip=True)


class DataForm(NameForm):
    """What the dataset is called, what it is for, and its recipe.

    Fields of a rule that is off are not looked at. `groups`, `references` and `models` can be chosen from.
    """

    purpose = forms.ChoiceField(
        label="What it teaches", choices=[(value, title) for value, title, _ in PURPOSES]
    )
    # Which rows
    only_approved = _rule("Only approved completions", "Leaves out what nobody approved in review.")
    drop = _several("Leave out", [(code, _sentence(words)) for code, words in DROPS.items()])
    lengths = _rule("Only answers of a certain length", "Leaves out what is too short or too long.")
    shortest = _number("Shortest", 0, 10**6, "Tokens of the answer; empty for no limit.")
    longest = _number("Longest", 0, 10**6, "Tokens of the answer; empty for no limit.")
    put_back = _rule("Put back what was excluded by hand", "The next version has these rows again.")
    # What a row says
    use_corrections = _rule(
        "Use corrections", "Where a reviewer corrected an answer, the row says what it should have been."
    )
    train_on = _pick("Train on", TRAIN_ON, widget=forms.RadioSelect)
    pairs_source = _pick("A pair is", PAIRS, widget=forms.RadioSelect)
    pairs_preferred = _pick("Preferred model")
    pairs_other = _pick("Over")
    reference = _pick("Reference", help_text="What a grader can compare with, as item.reference.")
    columns = _several("Further fields", help_text="A grader can name each of them, as item.…")
    system_prompt = _pick("System prompts", SYSTEM_PROMPTS)
    system_text = _text("The system prompt of every row", "A student learns best with one prompt.", 4)
    prune = _rule(
        "Cut off a fixed beginning", "A text that every first user message begins with teaches nothing new."
    )
    beginning = _text("The beginning to cut off", "Exactly as it stands; other rows stay as they are.", 3)
    window = _rule("Only the last turns", "Shortens long conversations; the system prompt stays.")
    last_turns = _number("Turns to keep", 1, 1000, "A turn is a question with its answer.")
    personal = _rule(
        "Take out personal data", "Found by patterns with checksums, the same in the whole conversation."
    )
    personal_kinds = _several("What", [(code, _sentence(words)) for code, words in PERSONAL.items()])
    personal_do = _pick("What becomes of it", PERSONAL_DO, widget=forms.RadioSelect)
    # Among all rows
    duplicates = _pick("Duplicates", DUPLICATES, widget=forms.RadioSelect)
    cap = _rule("At most so many of a kind", "Keeps one customer or one template from outweighing the rest.")
    cap_by = _pick("Of the same")
    cap_most = _number("Most rows of each", 1, 10**7, "The best are kept.")
    sample = _rule("Only a sample", "Draws some of the rows that are left.")
    sample_rows = _number("Rows", 1, 10**7)
    sample_by = _pick("Evenly over")
    sample_seed = _number("Seed", 0, LONGEST_SEED, SAME_SEED)
    # Where rows go
    split = _rule(
        "Set rows apart to validate and to test", "No conversation stands on two sides, so nothing leaks."
    )
    validation = _number("Validation, %", 0, 50, "Measured while it trains.")
    test = _number("Test, %", 0, 50, "Kept for Evaluate.")
    split_unit = _pick("What stays together", UNITS)
    split_even = _pick("Evenly over")
    split_seed = _number("Seed", 0, LONGEST_SEED, SAME_SEED)
    byte_order_mark = _rule(
        "Begin the file with a byte order mark",
        "Azure's documents ask for it; its services take files without.",
    )

    def __init__(
        self,
        *args: Any,
        base: Recipe | None = None,
        fixed: bool = False,
        groups: Choices = (),
        references: Choices = (),
        models: Choices = (),
        **kwargs: Any,
    ) -> None:
        """`base` keeps what the form does not show; `fixed` keeps its purpose."""
        self.base = base or Recipe()
        super().__init__(*args, **kwargs)
        self.fields["purpose"].disabled = fixed
        nothing = [("", "Nothing in particular")]
        held = self.base
        self._offer("cap_by", groups, held.cap.by if held.cap else "")
        self._offer("sample_by", [*nothing, *groups], held.sample.by if held.sample else "")
        self._offer("split_even", [*nothing, *groups], held.split.even)
        self._offer("columns", [each for each in groups if "." in each[0]], *held.columns)
        self._offer("reference", [("", "None"), *references], held.reference)
        for name, model in (("pairs_preferred", held.pairs.preferred), ("pairs_other", held.pairs.other)):
            self._offer(name, [("", "Choose a model"), *models], model)

    def _offer(self, name: str, choices: Choices, *held: str) -> None:
        """What can be chosen; what the recipe holds already stays among it."""
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        known = {value for value, _ in choices}
        field.choices = [*choices, *((value, value) for value in held if value and value not in known)]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        self._forget_what_is_off(values)
        for rule, needed, words in (
            ("prune", ("beginning",), "Enter the beginning to cut off."),
            ("window", ("last_turns",), "Enter how many turns to keep."),
            ("cap", ("cap_by", "cap_most"), "Say what, and how many of it."),
            ("sample", ("sample_rows",), "Enter how many rows to draw."),
        ):
            for name in needed:
                if values.get(rule) and name not in self.errors and not values.get(name):
                    self.add_error(name, words)
        if values.get("system_prompt") == "replace" and not str(values.get("system_text") or "").strip():
            self.add_error("system_text", "Enter the prompt, or keep those that are there.")
        if values.get("lengths"):
            self._check_lengths(values)
        if values.get("personal") and not (values.get("personal_kinds") or self.base.personal.patterns):
            self.add_error("personal_kinds", "Choose what to take out.")
        if values.get("split") and not (values.get("validation") or values.get("test")):
            self.add_error("validation", "Enter a share for one of them.")
        self._check_purpose(values)
        return values

    def _forget_what_is_off(self, values: dict[str, Any]) -> None:
        """What stands in a field that nobody sees can neither count nor be wrong."""
        off = [name for rule, names in OF_RULES.items() if not values.get(rule) for name in names]
        if "purpose" in values:
            others = (names for purpose, names in OF_PURPOSES.items() if purpose != values["purpose"])
            off += [name for names in others for name in names]
        if values.get("system_prompt") != "replace":
            off.append("system_text")
        for name in off:
            self.errors.pop(name, None)
            values[name] = [] if isinstance(self.fields[name], forms.MultipleChoiceField) else ""

    def _check_lengths(self, values: Mapping[str, Any]) -> None:
        shortest, longest = values.get("shortest") or 0, values.get("longest") or 0
        if longest and shortest > longest:
            self.add_error("longest", "Enter as much as the least, or more.")
        elif not longest and not shortest and not {"shortest", "longest"} & set(self.errors):
            self.add_error("shortest", "Enter a least or a greatest length.")

    def _check_purpose(self, values: Mapping[str, Any]) -> None:
        purpose = values.get("purpose")
        if purpose == Purpose.PREFERENCE and values.get("pairs_source") == "models":
            preferred, other = values.get("pairs_preferred"), values.get("pairs_other")
            if not preferred or not other:
                self.add_error("pairs_preferred", "Choose the model that is preferred, and the other.")
            elif preferred == other:
                self.add_error("pairs_other", "Choose another model.")
        if purpose == Purpose.REINFORCEMENT and not (values.get("split") and values.get("validation")):
            self.add_error(
                "validation" if values.get("split") else "split",
                "A reinforcement job is refused without rows to validate with. Set some apart.",
            )

    def recipe(self) -> Recipe:
        """The recipe of a form that is valid."""
        values = self.cleaned_data
        return replace(
            self.base,
            **_of_rows(values, self.base),
            **_of_texts(values, self.base),
            **_of_choice(values),
        )


def _of_rows(values: Mapping[str, Any], base: Recipe) -> dict[str, Any]:
    within = values["lengths"]
    return {
        "purpose": str(values["purpose"]),
        "only_approved": values["only_approved"],
        "drop": tuple(code for code in DROPS if code in values["drop"]),
        "shortest": (values["shortest"] or 0) if within else 0,
        "longest": (values["longest"] or 0) if within else 0,
        "excluded": () if values["put_back"] else base.excluded,
    }


def _of_texts(values: Mapping[str, Any], base: Recipe) -> dict[str, Any]:
    do = values["system_prompt"] or "keep"
    purpose, source = values["purpose"], values["pairs_source"] or "corrections"
    models = (values["pairs_preferred"], values["pairs_other"]) if source == "models" else ("", "")
    kinds = tuple(code for code in PERSONAL if code in values["personal_kinds"])
    return {
        "use_corrections": values["use_corrections"],
        "system_prompt": SystemPrompt(do, _lines(values["system_text"]) if do == "replace" else ""),
        "prefix": _lines(values["beginning"]) if values["prune"] else "",
        "last_turns": values["last_turns"] if values["window"] else 0,
        "train_on": (values["train_on"] or "all") if purpose == Purpose.SUPERVISED else "all",
        "pairs": Pairs(source, *models) if purpose == Purpose.PREFERENCE else Pairs(),
        "reference": values["reference"] if purpose == Purpose.REINFORCEMENT else "",
        "columns": tuple(values["columns"]) if purpose == Purpose.REINFORCEMENT else (),
        "personal": replace(
            base.personal,
            kinds=kinds if values["personal"] else (),
            patterns=base.personal.patterns if values["personal"] else (),
            do=values["personal_do"] or "replace",
        ),
    }


def _of_choice(values: Mapping[str, Any]) -> dict[str, Any]:
    split = values["split"]
    return {
        "duplicates": values["duplicates"],
        "cap": Cap(values["cap_by"], values["cap_most"]) if values["cap"] else None,
        "sample": Sample(values["sample_rows"], values["sample_seed"] or 0, values["sample_by"])
        if values["sample"]
        else None,
        "split": Split(
            values["validation"] or 0,
            values["test"] or 0,
            values["split_seed"] or 0,
            values["split_unit"] or "conversation",
            values["split_even"],
        )
        if split
        else Split(),
        "byte_order_mark": values["byte_order_mark"],
    }


def _lines(text: str) -> str:
    """Browsers send line ends as CR LF, whatever stood there."""
    return text.replace("\r\n", "\n")
