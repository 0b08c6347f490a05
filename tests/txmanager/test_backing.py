"""What backs points that several treasuries pay (SAFETY S3), as a table."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.kit.ids import uuid7
from guerdon.ledger.rates import Rate
from guerdon.txmanager.backing import Books, Promised, Vault, missing_points
from guerdon.txmanager.repository_options import Claimed


@pytest.mark.parametrize(
    ("promised", "vaults", "missing"),
    [
        (Promised(100, 0), [Vault(Rate(1), 100)], 0),
        (Promised(100, 0), [Vault(Rate(1), 99)], 1),
        # Two treasuries back the points together, each at its rate.
        (Promised(100, 0), [Vault(Rate(10), 600), Vault(Rate(1, 2), 20)], 0),
        (Promised(101, 0), [Vault(Rate(10), 600), Vault(Rate(1, 2), 20)], 1),
        # What a claim fixed is owed by its treasury, whatever the rate is by now.
        (Promised(100, 40), [Vault(Rate(1), 100, claimed_atomic=40)], 0),
        (Promised(100, 40), [Vault(Rate(1), 100, claimed_atomic=80)], 40),
        # One that can't pay its claims is made up for by the others.
        (Promised(50, 40), [Vault(Rate(1), 30, claimed_atomic=40), Vault(Rate(1), 20)], 0),
        (Promised(50, 40), [Vault(Rate(1), 30, claimed_atomic=40), Vault(Rate(1), 19)], 1),
        # One that is not offered any more pays its claims and backs nothing else.
        (Promised(50, 0), [Vault(Rate(1), 100, is_open=False)], 50),
        (Promised(50, 50), [Vault(Rate(1), 40, claimed_atomic=50, is_open=False)], 10),
    ],
)
def test_s3_examples(promised: Promised, vaults: list[Vault], missing: int) -> None:
    assert missing_points(promised, vaults) == missing


@given(st.integers(1, 10**18), st.integers(1, 10**6), st.integers(0, 10**12), st.lists(st.integers(1, 10**6), max_size=6))
def test_s3_what_is_backed_can_be_claimed_to_the_last_point(
    numerator: int, denominator: int, held: int, claims: list[int]
) -> None:
    rate = Rate(numerator, denominator)
    points = sum(claims)
    if missing_points(Promised(points, 0), [Vault(rate, held)]) <= 0:
        assert sum(rate.atomic(claim) for claim in claims) <= held


BOOSTED, PLAIN = uuid7(), uuid7()
rates = st.builds(Rate, st.integers(1, 40), st.integers(1, 40))


@given(st.lists(rates, min_size=1, max_size=2), st.lists(rates, max_size=3), st.data())
def test_s3_no_claim_at_a_campaigns_rate_and_none_that_is_given_back_makes_less_backed(
    own: list[Rate], campaign: list[Rate], data: st.DataObject
) -> None:
    """Two programs, one of them with campaigns on all networks, which claim, are refused and are paid in any order."""
    best = max((rate.fraction / one.fraction for rate in campaign for one in own), default=Fraction(1))
    worths = {BOOSTED: max(best, Fraction(1))}
    offers = {BOOSTED: [*campaign, *own], PLAIN: own}
    points, held = {BOOSTED: 60, PLAIN: 60}, [data.draw(st.integers(0, 4_000)) for _ in own]
    claims: list[Claimed] = []

    def missing() -> int:
        in_claims = {program: sum(one.points for one in claims if one.program_id == program) for program in points}
        raised = (worths[BOOSTED] - 1) * (points[BOOSTED] - in_claims[BOOSTED])
        books = Books(Promised(sum(points.values()), sum(in_claims.values()), raised), claims, worths)
        vaults = [Vault(one, held[n], books.claimed_atomic(str(n), one, is_open=True)) for n, one in enumerate(own)]
        return missing_points(books.promised, vaults)

    before = missing()
    for _ in range(data.draw(st.integers(1, 8))):
        program, network = data.draw(st.sampled_from([BOOSTED, PLAIN])), data.draw(st.integers(0, len(own) - 1))
        free = points[program] - sum(one.points for one in claims if one.program_id == program)
        match data.draw(st.sampled_from(["claim", "refuse", "pay"])):
            case "claim" if free:
                rate = data.draw(st.sampled_from(offers[program]))
                asked = data.draw(st.integers(1, free))
                if rate.fraction <= own[network].fraction * worths.get(program, 1) and rate.atomic(asked):
                    claims.append(Claimed(program, str(network), rate, rate.converting(asked), rate.atomic(asked)))
            case "refuse" if claims:
                claims.pop()
            case "pay" if claims:
                paid = claims.pop(0)
                points[paid.program_id] -= paid.points
                held[int(paid.network)] -= paid.amount_atomic
            case _:
                pass
        assert missing() <= before
        before = missing()


def test_s3_a_claim_is_counted_at_what_it_fixed_or_what_its_points_are_worth_when_given_back() -> None:
    claims = [Claimed(BOOSTED, "base", Rate(15), 4, 60), Claimed(PLAIN, "base", Rate(15), 4, 60)]
    claims += [Claimed(BOOSTED, "base", Rate(25), 4, 100), Claimed(PLAIN, "other", Rate(15), 4, 60)]
    books = Books(Promised(0, 0), claims, {BOOSTED: Fraction(2)})
    assert books.claimed_atomic("base", Rate(10), is_open=True) == 4 * 20 + 4 * 15 + 4 * 25
    assert books.claimed_atomic("base", Rate(10), is_open=False) == 60 + 60 + 100
