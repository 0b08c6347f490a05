"""A house whose program gives points that are claimed as tokens of the local chain; its accounts own some of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from guerdon.chains.port import BadAnswerError
from guerdon.kit import driver
from guerdon.kit.clock import SystemClock
from guerdon.kit.database import Database, ProgramSession, run_in_program
from guerdon.kit.ids import uuid7
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.ledger import service as ledger
from guerdon.ledger.models import AccountBalance, Delivered, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.rates import Rate
from guerdon.ledger.verify import verify_program
from guerdon.payouts.claims.repository import ClaimRow
from guerdon.payouts.claims.schemas import ClaimView, claim_view
from guerdon.payouts.claims.service import ClaimRequest, request_claim
from guerdon.payouts.distributor import open_distributor
from guerdon.programs.models import Program
from guerdon.txmanager import assets, backing, options, setup, treasuries
from guerdon.txmanager.models import Treasury
from guerdon.txmanager.options import Limits, NewOption
from tests.payouts.house import NETWORK, House, a_wallet
from tests.payouts.moody import MoodyToken
from tests.support.postgres import Urls

TEN = Rate(10)


@dataclass
class Bank:
    """`points` is the asset, `token` what it is paid in: 10 atomic units a point unless told otherwise."""

    house: House
    points: UUID
    token: MoodyToken
    program: UUID = field(default_factory=uuid7)

    async def set_option(self, rate: Rate = TEN, **limits: Any) -> None:
        async with self.house.database.platform() as session:
            asset = await session.get_one(assets.Asset, self.points)
            new = NewOption(NETWORK, self.token.address, rate, Limits(**limits))
            await options.set_option(session, asset, new, 0, self.house.clock.now())

    async def treasury(self) -> Treasury:
        return await self.house.treasury(self.points)

    async def stock(self, atomic: int) -> None:
        await self.token.mint((await self.treasury()).address, atomic)

    async def seen(self) -> None:
        """The treasury's balance is known here as the chain has it at finality."""

        async def is_known() -> bool:
            treasury = await self.treasury()
            distributor = await open_distributor(self.house.deps, treasury)
            assert distributor is not None
            try:
                finality = await distributor.finality()
            except BadAnswerError:
                return False  # the token itself is not final yet
            async with self.house.database.platform() as session:
                await treasuries.refresh(session, treasury.id, finality)
            return finality.balance == await self.house.balance(treasury.address, self.token.address)

        await self.house.until(is_known)

    async def open_program(self, funds: int) -> None:
        """A program whose points are booked as a deposit would be; the test minted what backs them."""
        self.program = await self.house.stocked_program(self.points, funds)

    async def account(self, points: int, wallet: str | None = None) -> UUID:
        """An account with points that are available, and a built-in wallet."""
        account_id = await self.house.account(self.program, wallet or a_wallet())
        if points:
            await self.earn(account_id, points)
        return account_id

    async def earn(self, account_id: UUID, points: int) -> None:
        async with self.house.database.program(self.program) as session:
            reward = Movement(PostingKind.REWARD, uuid7(), self.points, points, account_id)
            await ledger.post(session, self.program, [reward], self.house.clock.now())

    async def prove(self, account_id: UUID, address: str, **changes: Any) -> UUID:
        """Register an address as one that the account has proven, as `accounts/registry.py` does."""
        address_id = uuid7()
        values: dict[str, Any] = {"proof_method": "eip191", "usable": "now()", "chain_id": None, **changes}
        await self.house.owner.execute(
            "insert into addresses (program_id, id, account_id, network, namespace, chain_id, address, verified_at, proof_method, "
            f"usable_from, created_at) values ($1, $2, $3, 'local', 'eip155', $4, $5, now(), $6, {values['usable']}, now())",
            self.program, address_id, account_id, values["chain_id"], address.lower(), values["proof_method"],
        )  # fmt: skip
        return address_id

    async def wallet(self, account_id: UUID) -> str:
        return str(await self.house.value("select wallet_address from accounts where id = $1", account_id))

    async def claim(self, account_id: UUID, points: int, destination: str | None = None) -> ClaimView:
        """As a member asks for it; to the account's built-in wallet where none is named."""
        wanted = ClaimRequest(points, destination or await self.wallet(account_id))

        async def work(session: ProgramSession) -> ClaimRow:
            program = await session.get_one(Program, self.program)
            return await request_claim(session, program, account_id, wanted)

        return claim_view(*await run_in_program(self.house.database, self.program, work))

    async def missing(self, more: int = 0) -> int:
        """Points that would lack backing if so many more were promised; below zero: so many could be."""
        async with self.house.database.platform() as session:
            asset = await session.get_one(assets.Asset, self.points)
            await backing.lock_vaults(session, asset)
            return await backing.unbacked(session, asset, more)

    async def state(self, claim_id: UUID) -> str:
        return str(await self.house.value("select state from deliveries where id = $1", claim_id))

    async def balance(self, account_id: UUID) -> tuple[int, int, int, int]:
        """(available, held, claimed, debt) of an account."""
        async with self.house.database.program(self.program) as session:
            row = await session.get_one(AccountBalance, (self.program, self.points, account_id), populate_existing=True)
            return row.available, row.held, row.claimed, row.debt

    async def check(self) -> None:
        """Books and chain agree."""
        assert await self.house.findings() == []
        async with self.house.database.program(self.program) as session:
            assert await verify_program(session, self.program) == []


async def a_bank(house: House, *, stock: int = 1_000_000, funds: int = 10_000, rate: Rate = TEN, **limits: Any) -> Bank:
    """Points that are claimed, with a treasury that holds `stock` atomic units, and a program with `funds` points."""
    token = await MoodyToken.deploy(house.node)
    new = assets.NewAsset(f"P{uuid7().hex[-6:]}", None, None, Delivered.ON_CLAIM)
    asset = await assets.create_asset(setup.deployment_deps(house), new)
    bank = Bank(house, asset.id, token)
    await bank.set_option(rate, **limits)
    async with house.database.platform() as session:
        treasury = await treasuries.create_treasury(session, house.ring, asset, network=NETWORK, now=house.clock.now())
    await house.node.fund(treasury.address, 10**20)
    if stock:
        await bank.stock(stock)
        await bank.seen()
    await bank.open_program(funds)
    return bank


async def a_bank_on_paper(
    database: Database,
    urls: Urls,
    owner: driver.RawConnection,
    *,
    stock: int = 1_000,
    funds: int = 100,
    rate: Rate = TEN,
) -> Bank:
    """The same without a chain, for what is decided by rows alone: the treasury is said to hold `stock`."""
    master = MasterKey.generate()
    nowhere: Any = None
    house = House(database, urls, owner, nowhere, nowhere, KeyRing(master), master, uuid7(), SystemClock())
    bank = Bank(house, uuid7(), MoodyToken(nowhere, a_wallet()))
    key = uuid7()
    await owner.execute(
        f"""
        insert into networks (name, chain_id, block_time_ms, created_at) values ('{NETWORK}', 31337, 100, now());
        insert into assets (id, symbol, decimals, delivery, mintable, created_at)
            values ('{bank.points}', 'PTS', 0, 'on_claim', false, now());
        insert into keys (id, network, purpose, address, secret_encrypted, created_at)
            values ('{key}', '{NETWORK}', 'treasury', '{a_wallet()}', '', now());
        insert into contracts (network, name, address, created_at) values ('{NETWORK}', 'MerkleDrop', '{a_wallet()}', now());
        insert into treasuries (id, network, asset_id, key_id, token_address, token_decimals, address, balance_final, created_at)
            select '{uuid7()}', '{NETWORK}', '{bank.points}', id, '{bank.token.address}', 0, address, {stock}, now() from keys;
        """
    )
    await bank.set_option(rate)
    await bank.open_program(funds)
    return bank
