"""What an operator sets up for the payments, call by call of the admin API; what is there already stays as it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from guerdon.chains.networks import LOCAL_NETWORK, LOCAL_SOLANA
from guerdon.chains.signing import address_of
from guerdon.demo.api import Api
from guerdon.demo.coins import DECIMALS, Coins, give_ether, give_sol
from guerdon.demo.errors import DemoError
from guerdon.demo.facilitator import SOLANA, Signers

POINTS: Final = "POINTS"
PROGRAM: Final = "CDNOW by x402"
POINTS_A_TOKEN: Final = 100
"""On either chain: a token for each dollar's worth of points."""
TIERS: Final = (("bronze", 0, 1), ("silver", 100, 1.1), ("gold", 500, 1.25))
"""Name, dollars from which it is reached, what points are multiplied by from then on."""
MULTIPLIER: Final = 2
"""Of the campaign."""
_SOURCE: Final = "facilitator"
_CAMPAIGN: Final = "Double points"
_FUNDS: Final = 2_000_000
_CAMPAIGN_BUDGET: Final = 500_000
_ATOMIC_A_TOKEN: Final = 10**DECIMALS
_MICRO_USD: Final = 1_000_000
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Opened:
    """The program, and what its facilitator reports with."""

    brand_id: str
    report_path: str
    report_secret: str
    ltz: str
    """The token that points are claimed in on the EVM chain."""


async def open_program(admin: Api, coins: Coins, signers: Signers) -> Opened:
    """Asset, payout options, treasuries, program, funds, source, terms and campaign. Raises `DemoError`."""
    assets = {asset["symbol"]: asset async for asset in admin.items("/api/admin/assets")}
    ltz = str(assets["LTZ"]["tokenAddress"])
    if POINTS not in assets:
        await admin("POST", "/api/admin/assets", {"symbol": POINTS, "delivery": "on_claim"}, key=POINTS)
    await _offer(admin, coins, ltz)
    programs = {program["name"]: program async for program in admin.items("/api/admin/programs")}
    program = programs.get(PROGRAM) or await admin(
        "POST", "/api/admin/programs", {"name": PROGRAM, "domains": ["x402.cdnow.example"], "asset": POINTS}, key="program"
    )
    brand_id = str(program["brandId"])
    # A second address of an account waits for a day, which is longer than a demo.
    await admin("PATCH", f"/api/admin/programs/{brand_id}", {"addressWaitHours": 0})
    own = admin.of(program=brand_id)
    await asyncio.gather(_fund(admin, brand_id), _say_what_is_earned(own))
    source = await _source(own, coins, signers)
    return Opened(brand_id, source["webhookPath"], source["secret"], ltz)


async def _offer(admin: Api, coins: Coins, ltz: str) -> None:
    """Points are claimed as LTZ on the EVM chain, which is minted here, and on the Solana as the reward token, from stock."""
    rate = {"pointsDenominator": POINTS_A_TOKEN}
    on_evm = {**rate, "tokenAddress": ltz, "atomicNumerator": "1", "mintable": True}
    token = {"tokenAddress": coins.reward_on_solana.address, "tokenDecimals": DECIMALS}
    on_solana = {**rate, **token, "atomicNumerator": str(_ATOMIC_A_TOKEN)}
    for network, option in ((LOCAL_NETWORK, on_evm), (LOCAL_SOLANA, on_solana)):
        await admin("PUT", f"/api/admin/payout-options/{POINTS}/{network}", option)
    known = {one["network"]: one async for one in admin.items("/api/admin/treasuries") if one["asset"] == POINTS}
    for network in (LOCAL_NETWORK, LOCAL_SOLANA):
        if network not in known:
            body = {"asset": POINTS, "network": network}
            known[network] = await admin("POST", "/api/admin/treasuries", body, key=f"{POINTS}-{network}")
    treasury = str(known[LOCAL_SOLANA]["address"])
    await give_ether(coins.evm, [known[LOCAL_NETWORK]["address"]])
    await give_sol(coins.solana, [treasury])
    if not await coins.held_on_solana(coins.reward_on_solana, treasury):
        await coins.make({}, {}, {treasury: _FUNDS // POINTS_A_TOKEN * _ATOMIC_A_TOKEN})


async def _fund(admin: Api, brand_id: str) -> None:
    path = f"/api/admin/programs/{brand_id}/fundings"
    funding = await admin("POST", path, {"points": _FUNDS, "network": LOCAL_NETWORK}, key="funds")
    while funding["state"] == "pending":
        await asyncio.sleep(_POLL_SECONDS)
        funding = await admin("GET", f"{path}/{funding['id']}")
    if funding["state"] != "booked":
        raise DemoError(f"the program could not be funded: {funding['reason']}")


async def _say_what_is_earned(own: Api) -> None:
    tiers = [
        {"name": name, "volume_micro_usd": str(dollars * _MICRO_USD), "multiplier": multiplier}
        for name, dollars, multiplier in TIERS
    ]
    await own("PUT", "/api/admin/rewards/volume", {"asset": POINTS, "tiers": tiers})
    if _CAMPAIGN not in {campaign["name"] async for campaign in own.items("/api/admin/rewards/campaigns")}:
        now = datetime.now(UTC)
        campaign = {
            "name": _CAMPAIGN, "type": "multiplier", "active": True,
            "config": {"multiplier": MULTIPLIER, "max_budget_points": str(_CAMPAIGN_BUDGET)},
            "start_at": (now - timedelta(hours=1)).isoformat(), "end_at": (now + timedelta(days=7)).isoformat(),
        }  # fmt: skip
        await own("POST", "/api/admin/rewards/campaigns", campaign, key="campaign")


async def _source(own: Api, coins: Coins, signers: Signers) -> dict[str, Any]:
    """The facilitator as a source, and a secret for its reports."""
    for network, token in ((LOCAL_NETWORK, coins.dollar_on_evm), (LOCAL_SOLANA, coins.dollar_on_solana.address)):
        dollar = {"network": network, "address": token, "symbol": "USDC", "decimals": DECIMALS}
        await own("PUT", "/api/admin/settlement-assets", dollar)
    async for source in own.items("/api/admin/sources"):
        if source["name"] == _SOURCE:
            made = await own("POST", f"/api/admin/sources/{source['id']}/secrets", {"revokeOld": True})
            return {**source, "secret": made["secret"]}
    body = {
        "name": _SOURCE,
        "kind": "x402",
        "signers": {
            LOCAL_NETWORK: [address_of(signers.evm_key)],
            LOCAL_SOLANA: [str(signers.solana_key.pubkey())],
        },
        "networkNames": {SOLANA: LOCAL_SOLANA},
    }
    made: dict[str, Any] = await own("POST", "/api/admin/sources", body, key=_SOURCE)
    return made
