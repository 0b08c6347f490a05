"""Balances with a real chain: each point is counted once, wherever its tokens are (SAFETY S24)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guerdon.activity.balances import Balances
from guerdon.chains import contracts
from guerdon.chains.evm import EvmClient
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from tests.activity.house import WALLETS, House, a_house, an_event
from tests.support.local_chain import Account, Deployed, deploy, running_chain

IDENTITY = "email:ann@example.org"
WALLET = WALLETS.addresses([IDENTITY])[0]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[tuple[EvmClient, Deployed]]:
    with running_chain(tmp_path / "chain") as chain:
        async with EvmClient(chain.url) as opened:
            payer = Account(opened, secrets.token_bytes(32))
            await Account(opened, chain.funder_key).send(payer.address, value=10**21)
            yield opened, await deploy(opened, payer)


async def found(house: House, client: EvmClient) -> tuple[int, int | None, int]:
    """(balance, on chain, pending)."""

    async def chains(_: str, /) -> EvmClient:
        return client

    program = await house.api.reception.directory.by_id(house.program_id)
    assert program is not None
    balance = await Balances(house.database, chains, WALLETS).of(program, IDENTITY, None)
    assert balance.ltz_balance == balance.balance
    return balance.balance, balance.on_chain, balance.pending


async def move(owner: RawConnection, house: House, state: str, block: int | None) -> None:
    await owner.execute(
        "update deliveries set state = $2, block_number = $3, amount_atomic = points, destination = 'x', batch_id = gen_random_uuid(), "
        "transaction_hash = '0x' || repeat('1', 64) where program_id = $1 and id = (select min(id::text)::uuid from deliveries where program_id = $1)",
        house.program_id,
        state,
        block,
    )


async def test_s24_a_payout_is_counted_once_in_every_state(
    database: Database, owner: RawConnection, client: tuple[EvmClient, Deployed]
) -> None:
    evm, deployed = client
    async with a_house(database) as house:
        await owner.execute(
            "update assets set token_address = $1, network = 'local' where id = $2", deployed.token, house.asset_id
        )
        assert await found(house, evm) == (0, 0, 0)
        await house.signed_bulk([an_event(idempotencyKey=str(n)) for n in range(3)])
        assert await found(house, evm) == (30, 0, 30)
        # Sent, and not known to be in a block.
        await move(owner, house, "sent", None)
        await house.signed_bulk([an_event(idempotencyKey="more")])
        assert await found(house, evm) == (40, 0, 40)
        receipt = await deployed.payer.send(deployed.token, contracts.transfer_call(WALLET, 30))
        await move(owner, house, "confirmed", receipt.block_number)
        assert await found(house, evm) == (40, 30, 10)
        await move(owner, house, "final", receipt.block_number)
        assert await found(house, evm) == (40, 30, 10)
        # Read at a block before the one that it is in: not on chain there yet.
        await move(owner, house, "final", receipt.block_number + 10_000)
        assert await found(house, evm) == (70, 30, 40)


async def test_s24_what_arrived_before_the_worker_looked_is_counted_once(
    database: Database, owner: RawConnection, client: tuple[EvmClient, Deployed]
) -> None:
    evm, deployed = client
    async with a_house(database) as house:
        await owner.execute(
            "update assets set token_address = $1, network = 'local' where id = $2", deployed.token, house.asset_id
        )
        await house.signed_bulk([an_event(idempotencyKey=str(n)) for n in range(3)])
        await move(owner, house, "sent", None)
        receipt = await deployed.payer.send(deployed.token, contracts.transfer_call(WALLET, 30))
        await owner.execute("update deliveries set transaction_hash = $1", receipt.transaction_hash)
        assert await found(house, evm) == (30, 30, 0)


async def test_tokens_of_another_program_are_in_the_same_wallet(
    database: Database, owner: RawConnection, client: tuple[EvmClient, Deployed]
) -> None:
    evm, deployed = client
    async with a_house(database) as house:
        await owner.execute(
            "update assets set token_address = $1, atomic_per_point = 10 where id = $2", deployed.token, house.asset_id
        )
        await deployed.payer.send(deployed.token, contracts.transfer_call(WALLET, 59))
        # Whole points only.
        assert await found(house, evm) == (5, 5, 0)


async def test_without_a_chain_the_books_tell_what_was_delivered(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        await house.signed_bulk([an_event(idempotencyKey="1")])
        async with EvmClient("http://127.0.0.1:9") as nowhere:
            assert await found(house, nowhere) == (10, None, 10)
            await owner.execute("update account_balances set held = 4, claimed = 6 where program_id = $1", house.program_id)
            assert await found(house, nowhere) == (10, None, 4)


async def test_points_that_are_claimed_are_no_tokens_on_any_chain(database: Database) -> None:
    async with a_house(database, delivery="on_claim") as house:
        await house.signed_bulk([an_event(idempotencyKey="1")])
        async with EvmClient("http://127.0.0.1:9") as nowhere:
            assert await found(house, nowhere) == (10, None, 10)
