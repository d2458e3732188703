"""The calls that judges of a run take, as datasets.asking makes them: one for each answer, judge, order."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db.models import QuerySet

from datasets.asking import CALL_SECONDS, Asked, Unsendable
from datasets.evaluate import judging, template
from datasets.evaluate.calls import RunLedger
from datasets.evaluate.grading import Answered, answers_of, sample_of
from datasets.evaluate.judges import Judge
from datasets.evaluate.judging import Question
from datasets.evaluate.targets import Target
from datasets.evaluate.unread import with_earlier
from datasets.models import Call, Example, Run
from portal.upstream import ChatAnswer, Upstream, UpstreamError


class Judgements(RunLedger):
    """The ledger of a run's judges."""

    name = "run.judges"

    def __init__(self, run: Run, targets: Sequence[Target], judges: Sequence[Judge]) -> None:
        super().__init__(run, targets)
        self.first = targets[0]
        self.judges = {judge.key: judge for judge in judges}
        self.plain: set[str] = set()
        self.answers: dict[str, dict[Answered, Call]] = {}  # to the calls read last, by their judge

    @property
    def asked(self) -> list[Asked]:
        """Whom it asks."""
        return [Asked(key, judge.connection, judge.model) for key, judge in self.judges.items()]

    def calls(self) -> "QuerySet[Call]":
        found: QuerySet[Call] = Call.objects.filter(run=self.run).exclude(grader="")
        return found

    def pending(self, key: str, most: int) -> list[Call]:
        mine = self.calls().filter(state=Call.State.PENDING, grader=key)
        found = list(mine.select_related("example").order_by("id")[:most])
        answers = Call.objects.filter(
            run=self.run, example__in={call.example_id for call in found}, grader=""
        )
        self.answers[key] = {(each.example_id, each.target, each.repetition): each for each in answers}
        return found

    def waiting(self) -> set[str]:
        pending = self.calls().filter(state=Call.State.PENDING)
        return set(pending.order_by().values_list("grader", flat=True).distinct())

    def item(self, call: Call) -> Question | Unsendable:
        """What is asked, or why nothing can be."""
        item = self.items.of(call.example)
        judge = self.judges[call.grader]
        sample = self._sample(self.targets[call.target], item, call)
        against = self._sample(self.first, item, call) if judge.compares else {}
        for answer in (sample, against):
            if isinstance(answer, str):
                return Unsendable(answer)
        try:
            asked = judging.question(judge, item, sample, call.order, against)  # type: ignore[arg-type]  # the loop above leaves no text
        except (template.Missing, template.Broken) as problem:
            return Unsendable(str(problem))
        return replace(asked, used=call.answer.get("usage") or {})

    def ask(self, upstream: Upstream, asked: Asked, item: Question | Unsendable) -> ChatAnswer:
        if isinstance(item, Unsendable):
            raise item
        answer = ask(upstream, asked.model, item, CALL_SECONDS, self.plain)
        return replace(answer, usage=with_earlier(answer.usage, item.used)) if item.used else answer

    def _sample(self, target: Target, item: dict[str, Any], call: Call) -> dict[str, Any] | str:
        answered = call.example_id, target.key, call.repetition
        return sample_of(target, item, self.answers[call.grader].get(answered))


def ask(
    upstream: Upstream, model: str, question: Question, timeout: float, plain: set[str] | None = None
) -> ChatAnswer:
    """A judge's answer; never stored upstream. A model that takes no response format is asked without one,
    from then on at once if it is among the `plain` ones.

    Embeddings come as an answer without a text, whose message holds `cosine`. Raises UpstreamError.
    """
    if question.texts:
        answer = upstream.embeddings(model, question.texts)
        message = {"cosine": judging.cosine(*answer.vectors)}
        return ChatAnswer("", message, "stop", model, answer.usage, "", {})
    params = dict(question.params)
    if plain and model in plain:
        del params["response_format"]
    try:
        return upstream.chat(model, question.messages, store=False, timeout=timeout, **params)
    except UpstreamError as error:
        told = f"{error.message} {error.param}"
        if error.kind != "bad_request" or "response_format" not in told or "response_format" not in params:
            raise
    del params["response_format"]
    if plain is not None:
        plain.add(model)
    return upstream.chat(model, question.messages, store=False, timeout=timeout, **params)


def calls_for(
    run: Run, targets: Sequence[Target], judges: Sequence[Judge], batch: Sequence[Example]
) -> list[Call]:
    """One row for every call that these examples' answers take; where there is no answer, nobody is asked."""
    answered = set(
        Call.objects.filter(run=run, example__in=batch, grader="", state=Call.State.DONE).values_list(
            "example", "target", "repetition"
        )
    )

    def is_there(example: Example, target: Target, repetition: int) -> bool:
        return not target.is_fresh or (example.pk, target.key, repetition) in answered

    return [
        Call(
            run=run,
            example=example,
            target=target.key,
            repetition=repetition,
            grader=judge.key,
            order=order,
        )
        for example in batch
        for target, repetition in answers_of(run, targets)
        if is_there(example, target, repetition)
        for judge in judges
        if not judge.compares or (target.key != targets[0].key and is_there(example, targets[0], repetition))
        for order in judge.orders(example.pk, target.key, repetition)
    ]
