"""Which reports make a batch: nothing overtakes what it shares a person or a key with. With the books it is `test_faults.py`."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from guerdon.activity.batcher import _Queue, _take
from guerdon.activity.submissions import Outcome, Submission
from guerdon.earning.terms import Trust
from guerdon.kit.ids import uuid7


def a_report(person: str, key: int | None = None, signature: int | None = None) -> Submission:
    return Submission(
        identity=person,
        event_type="order",
        trust=Trust.SERVER,
        operation="manual-event",
        body_hash=b"",
        key=None if key is None else bytes([1, key]),
        signature=None if signature is None else bytes([2, signature]),
    )


REPORTS = st.lists(
    st.builds(a_report, st.sampled_from("abcd"), st.none() | st.integers(0, 3), st.none() | st.integers(0, 3)), max_size=20
)
LANES = st.sets(st.sampled_from(["a", "b", b"\x01\x00", b"\x02\x01"]))


def ignore(_: Outcome) -> None:
    """Nobody waits for it."""


@given(REPORTS, LANES, st.integers(1, 10))
def test_a_batch_shares_nothing_with_what_flies_and_overtakes_nothing_that_it_depends_on(
    reports: list[Submission], in_flight: set[str | bytes], limit: int
) -> None:
    waiting = deque((report, ignore) for report in reports)
    blocked: set[str | bytes] = set()
    taken = [report for report, _ in _take(waiting, limit, in_flight, blocked)]
    left = [report for report, _ in waiting]

    assert len(taken) <= limit
    assert sorted(map(id, taken + left)) == sorted(map(id, reports))
    places = {id(report): place for place, report in enumerate(reports)}
    for part in (taken, left):
        assert [places[id(report)] for report in part] == sorted(places[id(report)] for report in part)
    for report in taken:
        assert in_flight.isdisjoint(report.lanes)
        for other in left:
            if places[id(other)] < places[id(report)]:
                assert set(other.lanes).isdisjoint(report.lanes)
    if len(taken) < limit:
        # Whatever may fly does.
        for report in left:
            assert not blocked.isdisjoint(report.lanes)


@given(REPORTS, LANES, REPORTS)
def test_a_report_is_held_back_only_by_what_it_shares_something_with(
    waiting: list[Submission], in_flight: set[str | bytes], arriving: list[Submission]
) -> None:
    queue = _Queue(uuid7(), lanes=in_flight)
    queue.singles.waiting.extend((report, ignore) for report in waiting)
    while queue.take()[1]:
        pass
    assert queue.stuck is not None
    stuck = [report for report, _ in queue.singles.waiting]
    for report in arriving:
        held_back = queue.must_wait(report)
        assert held_back == (
            not in_flight.isdisjoint(report.lanes) or any(not set(other.lanes).isdisjoint(report.lanes) for other in stuck)
        )
        if held_back:
            stuck.append(report)


def depart(queue: _Queue) -> tuple[str, int]:
    """Let the next batch fly; its line and size."""
    line, batch = queue.take()
    line.flying += len(batch)
    line.flights += bool(batch)
    return "bulk" if line is queue.bulk else "singles", len(batch)


def land(queue: _Queue, line: str, size: int) -> None:
    landed = queue.bulk if line == "bulk" else queue.singles
    landed.flying -= size
    landed.flights -= 1


def arrive(queue: _Queue, number: int, *, bulk: bool = False) -> None:
    waiting = (queue.bulk if bulk else queue.singles).waiting
    waiting.extend((a_report(uuid7().hex), ignore) for _ in range(number))


def test_while_single_reports_fly_the_other_flight_is_for_bulk_and_the_other_way_round() -> None:
    queue = _Queue(uuid7())
    arrive(queue, 400)
    arrive(queue, 4_000, bulk=True)
    assert depart(queue) == ("singles", 128)
    assert depart(queue) == ("bulk", 1_000)
    land(queue, "singles", 128)
    # One bulk flight is left: the next goes to those who wait one by one.
    assert depart(queue) == ("singles", 128)
    land(queue, "bulk", 1_000)
    assert depart(queue) == ("bulk", 1_000)


def test_what_comes_first_flies_at_once_and_alone() -> None:
    queue = _Queue(uuid7())
    arrive(queue, 1)
    assert depart(queue) == ("singles", 1)


def test_two_flights_share_what_there_is() -> None:
    queue = _Queue(uuid7())
    arrive(queue, 64)
    assert depart(queue) == ("singles", 32)
    assert depart(queue) == ("singles", 32)


def test_a_second_flight_waits_until_it_is_as_large_as_the_first() -> None:
    queue = _Queue(uuid7())
    arrive(queue, 20)
    assert depart(queue) == ("singles", 16)
    assert not queue.may_fly
    assert depart(queue) == ("singles", 0)
    arrive(queue, 12)
    assert queue.may_fly
    assert depart(queue) == ("singles", 16)


def test_when_a_flight_lands_and_none_is_in_the_air_nothing_waits_for_more() -> None:
    queue = _Queue(uuid7())
    arrive(queue, 40)
    assert depart(queue) == ("singles", 20)
    arrive(queue, 3)
    assert depart(queue) == ("singles", 22)
    arrive(queue, 2)
    land(queue, "singles", 20)
    assert not queue.may_fly
    land(queue, "singles", 22)
    assert depart(queue) == ("singles", 3)


def test_in_a_flood_batches_grow_with_what_waits() -> None:
    queue = _Queue(uuid7())
    arrive(queue, 2_048)
    assert depart(queue) == ("singles", 512)
    assert depart(queue) == ("singles", 384)
