"""The payments from beginning to end: a store, its facilitator, its customers, and what became of what they paid."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
import uvicorn
from fastapi import FastAPI

from guerdon.app import Runtime
from guerdon.chains.networks import LOCAL_NETWORK, LOCAL_SOLANA
from guerdon.chains.signing import address_of
from guerdon.demo.api import Api
from guerdon.demo.coins import DECIMALS, Coins, give_ether, give_sol, hurrying, key_of, keypair_of, open_coins
from guerdon.demo.facilitator import EVM, SOLANA, Signers, facilitator, facilitator_app
from guerdon.demo.members import MICRO_USD_A_CENT, Member, Wallets
from guerdon.demo.program import MULTIPLIER, POINTS_A_TOKEN, TIERS, open_program
from guerdon.demo.purchases import Purchase, read_purchases
from guerdon.demo.store import Till, store_app
from guerdon.local.stack import Stack
from guerdon.programs.admin_keys import create_admin_key, revoke_admin_key
from guerdon.programs.models import AdminRole
from guerdon.programs.schemas import NewAdminKey

MEMBERS: Final = 6
PURCHASES_EACH: Final = 5
_WAYS: Final = ((LOCAL_SOLANA, LOCAL_SOLANA), (LOCAL_NETWORK, LOCAL_SOLANA), (LOCAL_NETWORK, LOCAL_NETWORK))
"""Where members pay and where they claim, in turns."""
_TIMEOUT_SECONDS: Final = 30
STORY: Final = (
    f"{MEMBERS * PURCHASES_EACH} more are paid in a test USDC by x402, on the EVM chain or on Solana: a point for each cent,\n"
    f"{MULTIPLIER} in a campaign, more from ${TIERS[1][1]} on (silver); {POINTS_A_TOKEN} points are claimed as a token"
)


@dataclass(frozen=True, slots=True)
class Market:
    """Everything in place: who pays, where, in which coins, and for which program."""

    own: Api
    """An operator's calls about the program."""
    coins: Coins
    ltz: str
    till: Wallets
    """Of the store."""
    members: Sequence[Member]
    unpaid: dict[str, list[Purchase]]
    """By customer, what no earlier run has paid."""
    store_url: str
    solana_url: str

    @property
    def payments(self) -> int:
        """How many there are to make."""
        return sum(map(len, self.unpaid.values()))

    async def held(self, network: str, owner: str) -> int:
        """What a wallet holds of the token that points are claimed in there."""
        if network == LOCAL_SOLANA:
            return await self.coins.held_on_solana(self.coins.reward_on_solana, owner)
        return await self.coins.evm.token_balance(self.ltz, owner, "latest")


@dataclass(frozen=True, slots=True)
class PaymentsOutcome:
    """All of it is read from the API and from the chains, nothing from what was sent. Tokens are in their smallest unit."""

    members: int
    settled: int
    volume_cents: int
    points_booked: int
    points_claimed: int
    claims: int
    tokens_on_solana: int
    """Whole ones, which is how points are claimed."""
    tokens_on_evm: int
    tiers: dict[str, int]
    findings: list[str]
    """What the books and the chains do not agree about."""

    def report(self) -> dict[str, Any]:
        """As it is written to a file."""
        return {
            "members": self.members,
            "settled": self.settled,
            "volume_cents": self.volume_cents,
            "points_booked": self.points_booked,
            "points_claimed": self.points_claimed,
            "claims": self.claims,
            "tokens_on_solana": self.tokens_on_solana,
            "tokens_on_evm": self.tokens_on_evm,
            "tiers": self.tiers,
        }


def faithful() -> dict[str, list[Purchase]]:
    """The customers who bought most often, with their first purchases that cost anything."""
    counts = Counter(purchase.customer for purchase in read_purchases())
    chosen: dict[str, list[Purchase]] = {customer: [] for customer, _ in counts.most_common(MEMBERS)}
    for purchase in read_purchases():
        bought = chosen.get(purchase.customer)
        if bought is not None and purchase.amount_cents and len(bought) < PURCHASES_EACH:
            bought.append(purchase)
    return chosen


@asynccontextmanager
async def open_market(runtime: Runtime, stack: Stack) -> AsyncGenerator[Market]:
    """All that has to be there before the first payment, for the time of a block. Raises `DemoError`."""
    async with AsyncExitStack() as opened:
        evm, solana = await runtime.chain(LOCAL_NETWORK), await runtime.chain.solana(LOCAL_SOLANA)
        client = await opened.enter_async_context(
            httpx.AsyncClient(base_url=stack.web_url, timeout=_TIMEOUT_SECONDS, trust_env=False)
        )
        admin = await opened.enter_async_context(_operator(runtime, Api(client)))
        coins = await open_coins(evm, solana)
        signers = Signers(stack.rpc_url, key_of("facilitator"), stack.solana_url, keypair_of("facilitator"))
        await give_ether(evm, [address_of(signers.evm_key)])
        await give_sol(solana, [str(signers.solana_key.pubkey())])
        program = await open_program(admin, coins, signers)
        api = Api(client).of(program=program.brand_id)
        bought = faithful()
        members = [
            Member(customer, Wallets.of(customer), *_WAYS[number % len(_WAYS)], purchases, api)
            for number, (customer, purchases) in enumerate(bought.items())
        ]
        await asyncio.gather(*(member.join() for member in members))
        unpaid = {member.customer: await member.unpaid() for member in members}
        till = Wallets.of("store")
        await _give_dollars(coins, till, members, unpaid)
        outbox = stack.settings.data_dir / "demo-outbox.sqlite3"
        sdk = facilitator(signers, stack.web_url + program.report_path, program.report_secret, outbox)
        tills = {
            EVM: Till(till.address(LOCAL_NETWORK), coins.dollar_on_evm),
            SOLANA: Till(till.address(LOCAL_SOLANA), coins.dollar_on_solana.address),
        }
        prices = {str(one.row): one.amount_cents for purchases in bought.values() for one in purchases}
        facilitator_url = opened.enter_context(served(facilitator_app(sdk)))
        store_url = opened.enter_context(served(store_app(facilitator_url, tills, prices)))
        own = admin.of(program=program.brand_id)
        yield Market(own, coins, program.ltz, till, members, unpaid, store_url, stack.solana_url)


@asynccontextmanager
async def _operator(runtime: Runtime, api: Api) -> AsyncGenerator[Api]:
    """An operator of the platform, whose key ends with the block (`guerdon admin-key create`)."""
    async with runtime.database.platform() as session:
        key = await create_admin_key(session, NewAdminKey(name="demo", role=AdminRole.PLATFORM), runtime.clock.now())
    try:
        yield api.of(token=key.token)
    finally:
        async with runtime.database.platform() as session:
            await revoke_admin_key(session, key.id, runtime.clock.now())


async def _give_dollars(coins: Coins, till: Wallets, members: Sequence[Member], unpaid: dict[str, list[Purchase]]) -> None:
    """To each member what is to be paid; the store has an account to be paid into."""
    due: dict[str, dict[str, int]] = {LOCAL_NETWORK: {}, LOCAL_SOLANA: {till.address(LOCAL_SOLANA): 0}}
    for member in members:
        cents = sum(purchase.amount_cents for purchase in unpaid[member.customer])
        if cents:
            due[member.pays_on][member.wallets.address(member.pays_on)] = cents * MICRO_USD_A_CENT
    await coins.make(due[LOCAL_NETWORK], due[LOCAL_SOLANA], {})


@contextmanager
def served(app: FastAPI) -> Generator[str]:
    """The address of an application, served by a thread of its own for the time of a block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, ws="none", lifespan="off", access_log=False, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            host, port = listening.getsockname()
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            thread.join()


async def pay_and_claim(market: Market, on_paid: Callable[[], None], on_claimed: Callable[[], None]) -> None:
    """Every member pays what is unpaid; then each waits for its points and claims them all. Raises `DemoError`."""

    async def claim(member: Member) -> None:
        balance = await member.earn()
        if int(balance["available_points"]) >= POINTS_A_TOKEN:
            await member.claim(balance["available_points"])
        on_claimed()

    members = market.members
    await asyncio.gather(
        *(member.pay(market.store_url, market.solana_url, market.unpaid[member.customer], on_paid) for member in members)
    )
    # Nothing is signed by hand any more, so that no blockhash grows old while somebody thinks.
    async with hurrying(market.coins.solana):
        await asyncio.gather(*(claim(member) for member in members))


async def payments_outcome(market: Market) -> PaymentsOutcome:
    """Compare, for each payment and each member, what the API says with what the chains say."""
    coins = market.coins
    settlements = [one async for one in market.own.items("/api/admin/settlements")]
    findings = [
        f"payment {one['transactionHash']} earned nothing: {one['whyNot']}" for one in settlements if not one["accountId"]
    ]
    volume = sum(int(one["volumeMicroUsd"]) for one in settlements)
    in_till = await coins.dollars_on_evm(market.till.address(LOCAL_NETWORK)) + await coins.held_on_solana(
        coins.dollar_on_solana, market.till.address(LOCAL_SOLANA)
    )
    if in_till != volume:
        findings.append(f"the store was paid {in_till} micro-dollars on the chains, and {volume} are proven")
    claimed = Counter[str]()
    points: Counter[str] = Counter()
    tiers: Counter[str] = Counter()
    for member in market.members:
        balance = await member.api("GET", "/api/rewards/balance")
        earned = sum(int(accrual["points_earned"]) for accrual in await member.history())
        if earned != int(balance["earned_points"]):
            findings.append(
                f"customer {member.customer} earned {earned} points by history, {balance['earned_points']} by balance"
            )
        claims = [claim async for claim in member.api.items("/api/rewards/claims")]
        tiers[balance["tier"]] += 1
        points.update(booked=int(balance["earned_points"]), claimed=int(balance["claimed_points"]), claims=len(claims))
        for network in (LOCAL_NETWORK, LOCAL_SOLANA):
            owed = sum(int(claim["token_amount"]) for claim in claims if claim["network"] == network and claim["final"])
            held = await market.held(network, member.wallets.address(network))
            claimed[network] += owed
            if held != owed:
                findings.append(f"customer {member.customer} has {held} on {network}; claimed {owed}")
    return PaymentsOutcome(
        members=len(market.members), settled=len(settlements), volume_cents=volume // MICRO_USD_A_CENT,
        points_booked=points["booked"], points_claimed=points["claimed"], claims=points["claims"],
        tokens_on_solana=claimed[LOCAL_SOLANA] // 10**DECIMALS, tokens_on_evm=claimed[LOCAL_NETWORK], tiers=dict(tiers),
        findings=findings,
    )  # fmt: skip
