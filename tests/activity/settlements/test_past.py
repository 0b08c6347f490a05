"""A campaign is simulated over the payments that were proven and credited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from guerdon.activity.settlements import past
from guerdon.activity.settlements.past import settled_history
from tests.activity.settlements.scene import Scene, Wallet

MERCHANT = "0x" + "77" * 20


async def test_a_draft_is_simulated_over_what_was_settled(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "_PIECE", 2)
    payer, other, stranger = Wallet(), Wallet(), Wallet()
    ann, bob = await scene.member(payer), await scene.member(other)
    for wallet, amount in ((payer, 1_000_000), (payer, 2_000_000), (other, 500_000), (stranger, 9_000_000)):
        await scene.settle(wallet, MERCHANT, amount)
    now = datetime.now(UTC)
    since, until = now - timedelta(days=900), now + timedelta(days=900)
    async with scene.database.program(scene.program_id) as session:
        pieces = [list(piece) async for piece in settled_history(session, since, until)]
    found = [one for piece in pieces for one in piece]
    assert [len(piece) for piece in pieces] == [2, 1]
    assert {(one.account_id, one.payer, one.volume_micro_usd) for one in found} == {
        (ann, f"eip155:{payer.stored}", 1_000_000),
        (ann, f"eip155:{payer.stored}", 2_000_000),
        (bob, f"eip155:{other.stored}", 500_000),
    }
    assert found == sorted(found, key=lambda one: (one.settled_at, one.id))
    draft = {
        "name": "Welcome", "type": "bonus", "config": {"bonus_points": "50"}, "facilitator_id": scene.source["id"],
        "start_at": now.isoformat(), "end_at": until.isoformat(),
    }  # fmt: skip
    body = {"campaign": draft, "since": since.isoformat(), "until": until.isoformat()}
    view = await scene.admin("POST", "/rewards/campaigns/simulate", body)
    assert (view["cost_points"], view["participants"], view["settlements"]) == ("100", 2, 3)
    assert {winner["account_id"] for winner in view["winners"]} == {str(ann), str(bob)}
    assert sum(int(day["points"]) for day in view["days"]) == 100
