"""How many tokens a row has, and how that is known."""

import json
from pathlib import Path
from typing import Any

import pytest

from completions import raw
from completions.conversation import Conversation, parse
from datasets.build import counted_rows, fit, tokens, vocabulary
from datasets.build.fit import Fit
from datasets.build.material import Material
from datasets.build.tokens import Counter
from datasets.models import DatasetVersion
from portal.models import User
from portal.sandbox.story import Story
from tests import factories
from tests.datasets import material

ASKED = {"role": "user", "content": "What is a tide?"}
ANSWERED = {"role": "assistant", "content": "The sea that comes and goes."}
LINE = {"messages": [ASKED, ANSWERED]}
PAIR = {"input": {"messages": [ASKED]}, "preferred_output": [ANSWERED], "non_preferred_output": [ANSWERED]}
USAGE = {"prompt_tokens": 30, "completion_tokens": 12}


def talk(choices: int = 1, **usage: Any) -> Conversation:
    said = [{"index": n, "message": ANSWERED, "finish_reason": "stop"} for n in range(choices)]
    return parse({"choices": said, "usage": usage or USAGE}, [ASKED])


def of(conversation: Conversation, data: dict[str, Any], **more: Any) -> tuple[int, str]:
    return Counter.plain().of(Material("demo/1", conversation, **more), data)


def test_what_the_provider_counted_comes_first() -> None:
    assert of(talk(), LINE) == (42, "usage")
    assert of(talk(), {"messages": [ASKED]}) == (30, "usage")
    assert of(talk(), {"item": {"input": [ASKED], "output": "x"}}) == (30, "usage")


def test_hidden_reasoning_is_not_trained_on() -> None:
    thought: dict[str, Any] = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 5}}
    assert of(talk(**thought), LINE) == (37, "usage")


@pytest.mark.parametrize(
    ("conversation", "data", "more"),
    [
        (talk(choices=2), LINE, {}),
        (talk(), LINE, {"edited": True}),
        (talk(), PAIR, {}),
        (talk(prompt_tokens=0), LINE, {}),
        (talk(prompt_tokens=True, completion_tokens="many"), LINE, {}),
        (talk(prompt_tokens=-3, completion_tokens=2**50), LINE, {}),
    ],
    ids=["two answers", "edited", "a pair", "no count", "nonsense", "out of bounds"],
)
def test_what_was_not_counted_as_it_stands_there_is_guessed(
    conversation: Conversation, data: dict[str, Any], more: dict[str, Any]
) -> None:
    count, how = of(conversation, data, **more)
    assert how == "guessed"
    assert 10 <= count <= 40


@pytest.mark.parametrize(("detail", "expected"), [("low", 85), ("high", 765), (None, 765), ({}, 765)])
def test_each_picture_has_a_flat_price(detail: Any, expected: int) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": detail}}
    plain = {"messages": [{"role": "user", "content": []}]}
    shown = {"messages": [{"role": "user", "content": [picture]}]}
    counter = Counter.plain()
    assert counter.of_data(shown)[0] - counter.of_data(plain)[0] == expected


@pytest.mark.parametrize(
    "data", [{}, {"messages": 3}, {"messages": [None, 3]}, {"item": []}, {"input": 3, "output": {}}]
)
def test_any_object_can_be_counted(data: dict[str, Any]) -> None:
    assert Counter.plain().of_data(data)[0] >= 1


def test_a_fit_comes_near_what_the_demo_provider_counts() -> None:
    rows = _demo(400)
    fitted = Fit.of(rows[:300])
    assert fitted is not None
    errors = sorted(abs(fitted.tokens(counts) / count - 1) for counts, count in rows[300:])
    assert errors[len(errors) // 2] < 0.03
    assert errors[int(len(errors) * 0.9)] < 0.1
    assert fitted.error < 0.03
    guesses = sorted(abs(_guess(counts) / count - 1) for counts, count in rows[300:])
    assert errors[len(errors) // 2] < guesses[len(guesses) // 2]


def _demo(rows: int) -> list[tuple[fit.Counts, int]]:
    """Rows of the demo's provider with what it counted."""
    story, made = Story("tokens", 7, rows, until=1_790_000_000), []
    for index in range(rows):
        row = story.row(index)
        conversation = parse(row.completion, row.messages)
        usage = row.completion["usage"]
        if not conversation.has_image:
            count = usage["prompt_tokens"] + usage["completion_tokens"]
            made.append((fit.counts(*tokens.of_conversation(conversation)), count))
    return made


def _guess(counts: fit.Counts) -> float:
    return float(counts[: fit.CLASSES.index("messages")].sum()) / tokens.BYTES_PER_TOKEN


def test_a_fit_learns_how_many_tokens_each_script_takes() -> None:
    def row(latin: int, chinese: int) -> tuple[fit.Counts, int]:
        text = "ab cd ef " * latin + "\u6f6e\u6c50" * chinese
        counts = fit.counts([{"content": text}])
        return counts, round(2.25 * latin + 3 * chinese + 7)

    fitted = Fit.of([row(n % 13 + 1, n % 7) for n in range(60)])
    assert fitted is not None
    assert fitted == Fit.read(json.loads(json.dumps(fitted.as_data())))
    for latin, chinese in ((20, 0), (5, 20), (40, 40)):
        counts, count = row(latin, chinese)
        assert abs(fitted.tokens(counts) / count - 1) < 0.05
    assert all(weight >= 0 for weight in fitted.weights)


def test_too_few_rows_teach_nothing() -> None:
    assert Fit.of(_demo(fit.LEAST_ROWS - 1)) is None
    assert Fit.of([]) is None


@pytest.mark.django_db(transaction=True)
def test_a_version_is_counted_from_its_rows_and_says_how(builder: User) -> None:
    source = factories.connection("Library")
    rows = [_counted(source, "word " * (5 + n % 9), usage=n % 4 != 0) for n in range(32)]
    version = material.built(builder, rows)
    assert version.counts["tokens_by"] == {"usage": 24, "fitted": 8}
    for example in version.examples.all():
        assert example.completion is not None
        words = example.completion.body.prompt_text.count("word")
        assert example.tokens is not None
        assert abs(example.tokens / (words + 20) - 1) < 0.15
    said = tokens.in_words(version.counts)
    assert said[0] == "24 rows as the provider counted them."
    assert said[1].startswith("8 rows estimated from rows that the provider counted (24 of them; half")


def _counted(source: Any, question: str, *, usage: bool) -> Any:
    """A row that upstream has counted: a token for each word."""
    row = material.stored(source, question=question, answer="Yes.", usage=False)
    if usage:
        count = {"prompt_tokens": question.count("word") + 10, "completion_tokens": 10}
        held = raw.unpack(row.body.raw)
        item = {**json.loads(held.item), "usage": count}
        row.body.raw = raw.pack(json.dumps(item).encode(), held.pages)
        row.body.save(update_fields=["raw"])
        type(row).objects.filter(pk=row.pk).update(**count)
    return row


@pytest.mark.django_db(transaction=True)
def test_every_step_of_a_build_counts_alike(builder: User) -> None:
    source = factories.connection("Library")
    rows = [_counted(source, "word " * (5 + n % 9), usage=n % 4 != 0) for n in range(32)]
    version = DatasetVersion.objects.get(pk=material.draft(builder, rows).pk)
    first = Counter.for_version(version)
    assert first.of_data(LINE)[1] == "fitted"
    assert set(version.counts[tokens.FIT]) == {tokens.EVERY}
    source.completions.update(prompt_tokens=None)
    assert counted_rows.learn(version) == {}
    assert Counter.for_version(version).of_data(LINE) == first.of_data(LINE)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-2024-08-06", "o200k_base"),
        ("ft:gpt-4.1-mini-2025-04-14:team::1", "o200k_base"),
        ("o4-mini", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("Llama-3.3-70B-Instruct", ""),
        ("gpt-oss-120b", ""),
        ("", ""),
    ],
)
def test_the_vocabulary_of_a_model_is_known_by_its_name(model: str, name: str) -> None:
    assert vocabulary.encoding_of(model) == name


def test_nothing_is_counted_exactly_without_the_whole_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package would fetch a file that is missing or damaged, so it is not asked at all."""
    (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").write_bytes(b"damaged")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert not vocabulary.is_present("o200k_base", str(tmp_path))
    assert not vocabulary.is_present("cl100k_base", str(tmp_path))
    assert not vocabulary.is_present("o200k_base", "")
    assert vocabulary.counter_of("gpt-4o") is None
