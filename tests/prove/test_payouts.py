"""The long proof of payouts (`python -m tests.prove payouts`), in short."""

from __future__ import annotations

import pytest

from tests.prove.payouts import Plan, portions, prove

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.campaign
async def test_s19_payouts_are_paid_once_while_whoever_holds_the_key_is_killed() -> None:
    proof = await prove(Plan(count=300, workers=3, kills=3, seed=1), print)
    assert proof.complaints == []
    assert proof.kills == 3
    assert proof.takeovers >= 4
    assert proof.transactions >= 3


def test_every_payout_is_in_one_portion() -> None:
    parts = portions(Plan(count=301, workers=3, kills=3, seed=1))
    assert [number for part in parts for number in part] == list(range(301))
    assert len(parts) == 4
