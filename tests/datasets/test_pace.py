"""How the number of calls at a time follows what a deployment says."""

from time import monotonic

from django.core.cache import cache

from datasets.evaluate.pace import DOWN_AFTER, MOST, Pace, Shared
from datasets.evaluate.storable import storable


def test_it_grows_while_answers_come_and_never_beyond_the_most() -> None:
    pace = Pace()
    for _ in range(2000):
        pace.answered()
    assert pace.room(0) == MOST


def test_one_refusal_halves_it_once_however_many_calls_were_on_their_way() -> None:
    pace = Pace(limit=16)
    for _ in range(8):
        pace.throttled(now=10, sent_at=9, retry_after=3)
    assert pace.limit == 8
    assert pace.room(12.9) == 0
    assert pace.room(13) == 8
    pace.throttled(now=14, sent_at=13, retry_after=None)
    assert pace.limit == 4
    assert pace.room(15) == 4


def test_it_never_falls_below_one_call() -> None:
    pace = Pace(limit=2)
    for now in range(20):
        pace.throttled(now, sent_at=now, retry_after=0)
    assert pace.room(100) == 1


def test_errors_in_a_row_mean_that_the_service_is_down_and_an_answer_that_it_is_not() -> None:
    pace = Pace()
    for _ in range(DOWN_AFTER - 1):
        pace.erred(0)
    pace.answered()
    pace.erred(0)
    assert not pace.is_down
    for _ in range(DOWN_AFTER):
        pace.erred(0)
    assert pace.is_down


def test_text_that_postgresql_refuses_is_replaced_everywhere() -> None:
    assert storable({"a\x00": ["\ud800x", {"b": "fine\n"}], "n": 1, "x": float("nan")}) == {
        "a\ufffd": ["\ufffdx", {"b": "fine\n"}],
        "n": 1,
        "x": "nan",
    }


def test_it_doubles_until_the_first_refusal_and_creeps_afterwards() -> None:
    pace = Pace()
    for _ in range(8):
        pace.answered()
    assert pace.limit == 16
    pace.throttled(now=1, sent_at=0, retry_after=0)
    for _ in range(8):
        pace.answered()
    assert 8.9 < pace.limit < 9.1


def test_what_one_run_is_refused_slows_another_one_on_the_same_deployment_and_no_other() -> None:
    cache.clear()
    mine, theirs, others = Pace(limit=24), Pace(limit=32), Pace(limit=32)
    told, heard, other = Shared.of(1, "gpt"), Shared.of(1, "gpt"), Shared.of(1, "mini")
    heard.learn(theirs)
    assert theirs.limit == 32
    mine.throttled(monotonic(), sent_at=monotonic(), retry_after=1.5)
    told.tell(mine)
    for shared, pace in ((heard, theirs), (other, others)):
        shared.learn(pace)
    assert (theirs.limit, others.limit) == (12, 32)
    assert theirs.room(monotonic()) == 0
    assert theirs.room(monotonic() + 2) == 12
    theirs.answered()
    heard.learn(theirs)  # the same refusal does not slow it down a second time
    assert theirs.limit > 12
