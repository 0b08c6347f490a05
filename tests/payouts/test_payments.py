"""The list that a batch pays: properties that hold whatever is in it."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from guerdon.payouts.payments import Member, by_program, child_batch_id, halves, merged, shared_cost

WALLETS = [f"0x{number:040x}" for number in range(1, 9)]
members = st.lists(
    st.builds(
        Member,
        program_id=st.integers(1, 3).map(lambda number: UUID(int=number)),
        delivery_id=st.uuids(),
        destination=st.sampled_from(WALLETS),
        amount_atomic=st.integers(1, 2**90),
    ),
    min_size=1,
    max_size=40,
)


@given(members)
def test_merging_pays_each_wallet_once_and_the_same_in_all(listed: list[Member]) -> None:
    paid = merged(listed)
    assert [payment.recipient for payment in paid] == sorted({member.destination for member in listed})
    assert sum(payment.amount_atomic for payment in paid) == sum(member.amount_atomic for member in listed)


@given(members, st.randoms())
def test_the_order_of_members_changes_nothing(listed: list[Member], random: object) -> None:
    shuffled = list(listed)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merged(shuffled) == merged(listed)


@given(members)
def test_halving_loses_nobody_never_parts_a_wallet_and_ends(listed: list[Member]) -> None:
    first, second = halves(listed)
    assert sorted(first + second, key=lambda m: m.delivery_id) == sorted(listed, key=lambda m: m.delivery_id)
    assert not {m.destination for m in first} & {m.destination for m in second}
    assert first
    assert bool(second) == (len({m.destination for m in listed}) > 1)


@given(members)
def test_each_member_is_in_its_own_programs_part(listed: list[Member]) -> None:
    grouped = by_program(listed)
    assert list(grouped) == sorted(grouped)
    assert sum(len(theirs) for theirs in grouped.values()) == len(listed)
    assert all(member.program_id == program for program, theirs in grouped.items() for member in theirs)


@given(st.integers(0, 10**18), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_programs_bear_at_least_the_cost_of_their_batch(cost: int, sizes: list[int]) -> None:
    borne = sum(shared_cost(cost, size, sum(sizes)) for size in sizes)
    assert cost <= borne < cost + len(sizes)


def test_a_child_of_a_batch_has_the_same_id_however_often_it_is_made() -> None:
    parent = UUID(int=7)
    assert child_batch_id(parent, 0) == child_batch_id(parent, 0) != child_batch_id(parent, 1)
