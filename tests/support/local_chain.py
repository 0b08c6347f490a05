"""A real local chain for tests, in a thread of its own so that one serves tests of any event loop, and an account to send from."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guerdon.chains import contracts
from guerdon.chains.anvil import LocalChain
from guerdon.chains.evm import EvmClient
from guerdon.chains.port import Receipt, SendOutcome
from guerdon.chains.signing import address_of, sign_transaction

WAIT_SECONDS = 20


@dataclass
class ChainInThread:
    """A running `LocalChain`."""

    chain: LocalChain
    _loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return self.chain.url

    @property
    def funder_key(self) -> bytes:
        return self.chain.funder.private_key

    def mine(self, blocks: int = 1) -> None:
        self.run(self.chain.mine(blocks))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


@contextmanager
def running_chain(folder: Path, *, block_seconds: float = 0.1) -> Iterator[ChainInThread]:
    """Start a chain in the folder, and stop it cleanly."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    running = ChainInThread(LocalChain(folder, block_seconds=block_seconds), loop)
    try:
        running.run(running.chain.start())
        yield running
    finally:
        running.run(running.chain.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass
class Account:
    """Sends transactions one after the other and waits for each."""

    client: EvmClient
    key: bytes
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.address = address_of(self.key)

    async def sign(self, to: str | None, data: bytes = b"", *, value: int = 0, gas_limit: int | None = None) -> tuple[bytes, str]:
        fees = await self.client.fees()
        if gas_limit is None:
            gas_limit = await self.client.estimate_gas(to, data, sender=self.address, value=value) * 6 // 5
        return sign_transaction(
            self.key,
            chain_id=await self.client.chain_id(),
            nonce=await self.client.nonce(self.address, "latest"),
            to=to,
            data=data,
            value=value,
            gas_limit=gas_limit,
            max_fee_per_gas=2 * fees.base_fee + fees.priority_fee,
            max_priority_fee_per_gas=fees.priority_fee,
        )

    async def send(self, to: str | None, data: bytes = b"", *, value: int = 0, gas_limit: int | None = None) -> Receipt:
        raw, transaction_hash = await self.sign(to, data, value=value, gas_limit=gas_limit)
        outcome, words = await self.client.send_raw(raw)
        assert outcome is SendOutcome.ACCEPTED, words
        return await included(self.client, transaction_hash)


async def included(client: EvmClient, transaction_hash: str) -> Receipt:
    """The receipt, as soon as there is one."""
    for _ in range(WAIT_SECONDS * 20):
        found = await client.receipts([transaction_hash])
        if found:
            return found[transaction_hash]
        await asyncio.sleep(0.05)
    raise AssertionError(f"{transaction_hash} was not included within {WAIT_SECONDS} s")


@dataclass(frozen=True)
class Deployed:
    """A token and a distributor that `payer` may pay through; `payer` also administers and mints the token."""

    payer: Account
    token: str
    distributor: str


async def deploy(client: EvmClient, payer: Account, *, supply: int = 10**15, symbol: str = "LTZ") -> Deployed:
    """Token, distributor, supply and approval."""
    token = (await payer.send(None, contracts.token_creation("Loyal", symbol, 0, payer.address))).contract_address
    distributor = (await payer.send(None, contracts.distributor_creation())).contract_address
    assert token is not None
    assert distributor is not None
    await payer.send(token, contracts.grant_role_call(contracts.MINTER_ROLE, payer.address))
    await payer.send(token, contracts.direct_mint_call(payer.address, supply))
    await payer.send(token, contracts.approve_call(distributor, 2**256 - 1))
    return Deployed(payer, token, distributor)
