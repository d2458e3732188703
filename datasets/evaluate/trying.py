"""Graders on a few rows before a run: what they would say and why, and what asking for it costs.

Fresh targets and judges are really asked, once for each row, with store:false and within the budgets.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from decimal import Decimal
from time import monotonic
from typing import Any

from datasets.asking import Unsendable, in_words
from datasets.evaluate import calls, judgements, judging, samples, template
from datasets.evaluate.graders import Verdict, grade
from datasets.evaluate.judges import Judge, is_judged, judges_of
from datasets.evaluate.python_graders import Boxes
from datasets.evaluate.setup import Tried, rows_to_try, targets_of
from datasets.evaluate.storable import storable
from datasets.evaluate.targets import Target
from datasets.evaluate.trying_bill import Bill, Used
from datasets.models import Evaluation, Grader
from portal.models import Connection
from portal.upstream import ChatAnswer, Upstream, UpstreamError, connect

SECONDS = 25.0  # of one call: a person waits for it
TOGETHER = 60.0  # no call begins later than so many seconds after the first
LATE = "It was not asked: what came before took too long. Try fewer graders, or run it."
AT_ONCE = 8
MOST_TOKENS = 2_000  # that an answer is taken to have at most where nobody limits it
MOST_VERDICT = 400

Sample = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """What one grader says about one row; `used` where it asked a model."""

    name: str
    verdict: Verdict
    used: Used | None = None


@dataclass(frozen=True)
class Trial:
    """One row: its answer (or why there is none) and each grader's verdict."""

    tried: Tried
    text: str
    problem: str
    verdicts: tuple[Judged, ...]


@dataclass(frozen=True)
class Trials:
    """Every row, and what it took."""

    rows: tuple[Trial, ...]
    bills: tuple[Bill, ...]

    @property
    def calls(self) -> int:
        return sum(bill.sent for bill in self.bills)

    @property
    def tokens(self) -> tuple[int, int]:
        """Those sent and those answered."""
        return sum(bill.prompt for bill in self.bills), sum(bill.completion for bill in self.bills)

    @property
    def cost(self) -> Decimal | None:
        """None where a price is missing."""
        costs = [bill.cost for bill in self.bills if bill.sent]
        known = [cost for cost in costs if cost is not None]
        return sum(known, Decimal(0)) if len(known) == len(costs) else None


@dataclass(frozen=True)
class Said:
    """What became of one call."""

    answer: ChatAnswer | None = None
    problem: str = ""
    used: Used | None = None


@dataclass(frozen=True)
class _Call:
    """One call that is still to be made: whom it asks, what it may cost, and how it is made."""

    connection: int
    model: str
    sent: Any
    most: int
    make: Callable[[Upstream], ChatAnswer]


@dataclass
class _Desk:
    """Makes calls, connection by connection, and pays for them."""

    stack: ExitStack
    evaluation: Evaluation
    user: Any
    bills: dict[int, Bill] = field(default_factory=dict)
    upstreams: dict[int, Upstream | str] = field(default_factory=dict)
    until: float = field(default_factory=lambda: monotonic() + TOGETHER)

    def ask(self, asked: Sequence[_Call]) -> list[Said]:
        """All of them, some at a time. Money is kept first, and only this thread writes it down."""
        said: list[Said] = [Said()] * len(asked)
        ready: list[tuple[int, Upstream, Decimal | None]] = []
        for connection in sorted({call.connection for call in asked}):
            mine = [place for place, call in enumerate(asked) if call.connection == connection]
            bill, upstream = self._bill(connection), self._upstream(connection)
            expected = [
                bill.expected(asked[place].model, asked[place].sent, asked[place].most) for place in mine
            ]
            if isinstance(upstream, str) or not bill.keep(expected):
                problem = upstream if isinstance(upstream, str) else bill.refusal
                for place in mine:
                    said[place] = Said(problem=problem)
                continue
            ready += [(place, upstream, cost) for place, cost in zip(mine, expected, strict=True)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = list(pool.map(lambda each: self._made(asked[each[0]], each[1]), ready))
        for (place, _, cost), outcome in zip(ready, outcomes, strict=True):
            said[place] = self._paid(asked[place], outcome, cost)
        return said

    def _made(self, call: _Call, upstream: Upstream) -> ChatAnswer | Exception:
        if monotonic() > self.until:
            return Unsendable(LATE)
        try:
            return call.make(upstream)
        except (UpstreamError, Unsendable) as problem:
            return problem

    def _paid(self, call: _Call, outcome: ChatAnswer | Exception, expected: Decimal | None) -> Said:
        bill = self.bills[call.connection]
        if isinstance(outcome, ChatAnswer):
            return Said(outcome, used=bill.paid(call.model, outcome.usage, expected))
        if isinstance(outcome, UpstreamError):
            if outcome.outcome_unknown:
                bill.lost(expected)
            return Said(problem=_problem(outcome))
        return Said(problem=str(outcome))

    def _bill(self, pk: int) -> Bill:
        if pk not in self.bills:
            connection = Connection.objects.filter(pk__in=[pk]).get()
            self.bills[pk] = Bill.of(connection, self.evaluation, self.user)
            self.stack.callback(self.bills[pk].settle)
        return self.bills[pk]

    def _upstream(self, pk: int) -> Upstream | str:
        if pk not in self.upstreams:
            try:
                self.upstreams[pk] = self.stack.enter_context(connect(self._bill(pk).connection))
            except UpstreamError as error:
                self.upstreams[pk] = in_words(error)
        return self.upstreams[pk]


def _problem(error: UpstreamError) -> str:
    """What upstream said. A run would go on by itself after a rest; what is tried is asked once."""
    if error.kind == "throttled":
        return f"{error.message} It was asked once only. Wait a moment, then try again."
    return in_words(error)


def try_on(evaluation: Evaluation, target: Target, graders: Sequence[Grader], user: Any) -> Trials:
    """The graders on the first rows' answers of `target`, within the budgets of whoever is asked."""
    rows = rows_to_try(evaluation)
    items = [tried for tried in rows if tried.item is not None]
    targets = targets_of(evaluation)
    keys = [each.key for each in targets]
    judges = [judge for judge in judges_of(graders) if not judge.compares or target.key != keys[0]]
    wanted = [target, *(targets[:1] if any(judge.compares for judge in judges) else ())]
    with ExitStack() as stack:
        desk = _Desk(stack, evaluation, user)
        answers = _answers(desk, wanted, items)
        verdicts = _judge(desk, judges, items, answers, target.key, keys[0])
        boxes = stack.enter_context(Boxes())
        trials = []
        for tried in rows:
            sample = answers.get((id(tried), target.key), tried.refusal)
            if isinstance(sample, str) or tried.item is None:
                trials.append(Trial(tried, "", str(sample), ()))
                continue
            told = []
            for grader in graders:
                if not is_judged(grader, target.key, keys):
                    continue
                mine = verdicts.get((id(tried), grader.pk), {})
                beside = {name: verdict for name, (verdict, _) in mine.items()}
                if monotonic() < desk.until:
                    beside |= boxes.beside(grader.kind, grader.params, tried.item, sample)
                verdict = grade(grader.kind, grader.params, tried.item, sample, beside)
                shown = replace(verdict, reason=storable(verdict.reason), error=storable(verdict.error)[:300])
                told.append(Judged(grader.name, shown, _together([used for _, used in mine.values()])))
            trials.append(Trial(tried, storable(str(sample["output_text"])), "", tuple(told)))
    return Trials(tuple(trials), tuple(desk.bills.values()))


def _answers(
    desk: _Desk, targets: Sequence[Target], items: Sequence[Tried]
) -> dict[tuple[int, str], Sample | str]:
    """What each target answers to each row, or why there is no answer."""
    found: dict[tuple[int, str], Sample | str] = {}
    asked: list[tuple[Tried, Target]] = []
    for tried in items:
        item = tried.item or {}
        for target in targets:
            if target.is_fresh:
                asked.append((tried, target))
            elif isinstance(item.get("output"), str):
                found[id(tried), target.key] = samples.stored(item)
            else:
                found[id(tried), target.key] = "The item has no stored answer."
    for (tried, target), said in zip(asked, desk.ask(list(_fresh(asked))), strict=True):
        found[id(tried), target.key] = said.problem
        if said.answer is not None:
            answer = said.answer
            found[id(tried), target.key] = samples.fresh(  # as a run keeps it
                tried.item or {},
                storable(answer.text),
                storable(answer.message),
                answer.finish_reason,
                target.params,
            )
    return found


def _fresh(asked: Sequence[tuple[Tried, Target]]) -> Iterator[_Call]:
    for tried, target in asked:
        assert target.connection is not None
        item, most = tried.item or {}, target.params.get("max_completion_tokens", MOST_TOKENS)

        def make(upstream: Upstream, target: Target = target, item: Sample = item) -> ChatAnswer:
            return calls.ask(upstream, target, item, SECONDS)

        yield _Call(target.connection, target.model, item.get("input"), most, make)


def _judge(
    desk: _Desk,
    judges: Sequence[Judge],
    items: Sequence[Tried],
    answers: dict[tuple[int, str], Sample | str],
    target: str,
    first: str,
) -> dict[tuple[int, int], dict[str, tuple[Verdict, Used | None]]]:
    """The judges' verdicts by row and grader, under the names of the parts that give them."""
    asked: list[tuple[Tried, Judge, str, _Call]] = []
    found: dict[tuple[int, int, str], list[tuple[Verdict, Used | None]]] = {}
    for tried in items:
        sample, against = answers[id(tried), target], answers.get((id(tried), first), "")
        if isinstance(sample, str):
            continue
        for judge in judges:
            if judge.compares and isinstance(against, str):
                problem = Verdict(None, None, "", f"The first target gives no answer. {against}"[:300])
                found.setdefault((id(tried), judge.grader, judge.part.name), []).append((problem, None))
                continue
            for order in judge.orders(id(tried), target, 0):
                other = against if isinstance(against, dict) else None
                try:
                    question = judging.question(judge, tried.item or {}, sample, order, other)
                except (template.Missing, template.Broken) as problem_:
                    verdict = Verdict(None, None, "", str(problem_)[:300])
                    found.setdefault((id(tried), judge.grader, judge.part.name), []).append((verdict, None))
                    continue
                asked.append((tried, judge, order, _judgement(judge, question)))
    answered = desk.ask([call for *_, call in asked])
    for (tried, judge, order, _), said in zip(asked, answered, strict=True):
        if said.answer is None:
            verdict = Verdict(None, None, "", f"No verdict. {said.problem}"[:300])
        else:
            known = {"message": said.answer.message, "finish_reason": said.answer.finish_reason}
            verdict = judging.verdict(judge.part, known, said.answer.text, order)
        found.setdefault((id(tried), judge.grader, judge.part.name), []).append((verdict, said.used))
    told: dict[tuple[int, int], dict[str, tuple[Verdict, Used | None]]] = {}
    for (row, grader, name), given in found.items():
        verdicts = [verdict for verdict, _ in given]
        one = judging.both(*verdicts) if len(verdicts) == 2 else verdicts[0]
        told.setdefault((row, grader), {})[name] = one, _together([used for _, used in given])
    return told


def _judgement(judge: Judge, question: judging.Question) -> _Call:
    def make(upstream: Upstream) -> ChatAnswer:
        return judgements.ask(upstream, judge.model, question, SECONDS)

    sent: list[Any] = [*question.texts, *question.messages, question.params]
    most = 0 if question.texts else question.params.get("max_completion_tokens", MOST_VERDICT)
    return _Call(judge.connection, judge.model, sent, most, make)


def _together(used: Sequence[Used | None]) -> Used | None:
    """What several calls used; None if none was made."""
    made = [each for each in used if each is not None]
    if not made:
        return None
    costs = [each.cost for each in made]
    known = [cost for cost in costs if cost is not None]
    return Used(
        sum(each.prompt for each in made),
        sum(each.completion for each in made),
        sum(known, Decimal(0)) if len(known) == len(costs) else None,
    )
