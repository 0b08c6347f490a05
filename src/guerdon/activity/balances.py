"""What a person has: the wallet read from the chain, and what is booked and not there yet; each point once (SAFETY S24)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from guerdon.accounts.repository import account_of
from guerdon.accounts.wallets import WalletProvider
from guerdon.activity import repository
from guerdon.activity.directory import KnownProgram
from guerdon.activity.schemas_lookups import HistoryEntry, UserBalance
from guerdon.chains.port import Head, Receipt
from guerdon.kit.database import Database
from guerdon.kit.errors import GuerdonError
from guerdon.ledger.models import Asset, Delivered
from guerdon.ledger.repository import account_balance

log = structlog.get_logger("guerdon.balances")


class Chain(Protocol):
    """What is asked of a network."""

    async def head(self) -> Head:
        """The newest block."""
        ...

    async def token_balance(self, token: str, owner: str, block: int, /) -> int:
        """What the owner held at the end of that block, in the token's smallest unit."""
        ...

    async def receipts(self, hashes: Sequence[str], /) -> dict[str, Receipt]:
        """Of those transactions that are in a block, by hash in lower case."""
        ...


class Chains(Protocol):
    """Gives the client of a network by its name."""

    async def __call__(self, network: str, /) -> Chain:
        """Raises a `GuerdonError` if the network can't be asked."""
        ...


@dataclass(frozen=True, slots=True)
class Balances:
    """Tells balances. The chain is asked outside of transactions (DESIGN section 4)."""

    database: Database
    chains: Chains
    wallets: WalletProvider

    async def of(self, program: KnownProgram, identity: str, history: int | None) -> UserBalance:
        """What the person has of the program's own asset, with the last `history` rewards."""
        async with self.database.program(program.id) as session:
            account = await account_of(session, program.id, identity)
            asset = await repository.asset_by_id(session, program.asset_id)
        # Who has no account yet has a wallet all the same: another program may have filled it.
        wallet = self.wallets.addresses([identity])[0] if account is None else account.wallet_address
        # First the chain, then the books: what is included meanwhile is in a later block than the one that was read.
        read = await self._on_chain(asset, wallet)
        booked = 0
        pending = 0
        in_flight: dict[str, int] = {}
        entries: list[HistoryEntry] = []
        if account is not None:
            async with self.database.program(program.id) as session:
                balance = await account_balance(session, program.id, asset.id, account.id)
                if balance is not None and read is None:
                    pending, booked = balance.available + balance.held, balance.claimed
                elif balance is not None and read is not None:
                    undelivered = await repository.undelivered(session, program.id, asset.id, account.id, read.block_number)
                    in_flight = await repository.in_flight(session, program.id, asset.id, account.id)
                    pending = balance.available + undelivered
                entries = await repository.history(session, program.id, account.id, history) if history else []
        if read is not None and in_flight:
            pending -= await self._arrived(read, in_flight)
        total = pending + (booked if read is None else read.points)
        return UserBalance(
            balance=total,
            on_chain=None if read is None else read.points,
            pending=pending,
            ltz_balance=total,
            wallet_address=wallet,
            history=None if history is None else entries,
        )

    async def _on_chain(self, asset: Asset, wallet: str) -> _Read | None:
        """Whole points in the wallet; None if its tokens can't be counted as points, or not now."""
        if asset.delivery != Delivered.AUTOMATIC or asset.network is None or asset.token_address is None:
            return None
        try:
            chain = await self.chains(asset.network)
            number = (await chain.head()).number
            atomic = await chain.token_balance(asset.token_address, wallet, number)
        except GuerdonError as error:
            log.warning("balance_without_chain", network=asset.network, code=error.code)
            return None
        return _Read(atomic // asset.atomic_per_point, number, chain)

    async def _arrived(self, read: _Read, in_flight: dict[str, int]) -> int:
        """Of points that were sent, those that the wallet had at the block that was read: the worker may not have looked yet."""
        try:
            receipts = await read.chain.receipts(list(in_flight))
        except GuerdonError as error:
            log.warning("balance_without_receipts", code=error.code)
            return 0
        landed = {value for value, receipt in receipts.items() if receipt.succeeded and receipt.block_number <= read.block_number}
        return sum(points for transaction_hash, points in in_flight.items() if transaction_hash.lower() in landed)


@dataclass(frozen=True, slots=True)
class _Read:
    points: int
    block_number: int
    chain: Chain
