"""An old backup restored beside today's chain: what it does not know is imported, and nobody is paid twice (SAFETY S21)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from guerdon.kit import driver
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.verify import verify_program
from guerdon.payouts.importing import Import, import_key
from guerdon.txmanager import importing
from guerdon.txmanager.chain import Chain
from guerdon.txmanager.errors import KeyNotPausedError, UnknownOutgoingError
from tests.payouts.house import House, a_wallet
from tests.support.postgres import Server, Urls


class Place(Protocol):
    """Whatever works with a database: a house, a scene."""

    database: Database
    owner: driver.RawConnection
    urls: Urls


class Backup:
    """A place's database as it was, to be put in the place of the present one."""

    def __init__(self, house: Place, server: Server, name: str) -> None:
        self._house, self._server, self._name = house, server, name

    async def restore(self) -> None:
        house = self._house
        await house.database.close()
        await house.owner.close()
        house.urls = self._server.urls(self._name)
        house.owner = await driver.connect(house.urls.superuser)
        house.database = Database(house.urls.app)


@asynccontextmanager
async def ending(house: Place) -> AsyncGenerator[None]:
    """What a restoration opened is closed."""
    try:
        yield
    finally:
        await house.database.close()
        await house.owner.close()


async def back_up(house: Place, server: Server) -> Backup:
    """A copy of the database; nothing may be connected to it meanwhile."""
    await house.database.close()
    await house.owner.close()
    name = await server.create(template=urlsplit(house.urls.app).path.lstrip("/"))
    house.owner = await driver.connect(house.urls.superuser)
    house.database = Database(house.urls.app)
    return Backup(house, server, name)


async def treasury_key(house: House) -> UUID:
    return (await house.treasury()).key_id


async def until_paused(house: House) -> UUID:
    key_id = await treasury_key(house)
    await house.until(lambda: house.value("select paused_at is not null from keys where id = $1", key_id))
    return key_id


async def until_final(house: House, key_id: UUID) -> None:
    chain, address = Chain(house.rpc), await house.value("select address from keys where id = $1", key_id)

    async def all_final() -> bool:
        counters, _ = await chain.counters_and_balance(address)
        return await chain.final_nonce(address, await chain.finalized()) == counters.head

    await house.until(all_final)


async def imported(house: House, key_id: UUID) -> Import:
    await until_final(house, key_id)
    return await import_key(house.deps, key_id)


async def resume(house: House, key_id: UUID, accept: str | None = None) -> None:
    await importing.resume(house.database, Chain(house.rpc), key_id, accept=accept)


async def in_order(house: House, *programs: UUID) -> None:
    """Books against themselves and against the chain."""
    assert await house.findings() == []
    for program in programs:
        async with house.database.program(program) as session:
            assert await verify_program(session, program) == []


@pytest.mark.parametrize("imported_first", [False, True], ids=["reserved anew first", "still approved"])
async def test_s21_a_payout_that_the_backup_does_not_know_is_paid_once(
    house: House, postgres_server: Server, imported_first: bool
) -> None:
    wallet, other = a_wallet(), a_wallet()
    async with house.working():
        program, second = await house.program(funds=1000), await house.program(funds=1000)
        mine, hers = await house.account(program, wallet), await house.account(second, other)
        same = await house.account(second, wallet)
    await house.owe(program, {mine: 30})
    await house.owe(second, {hers: 7, same: 5})
    backup = await back_up(house, postgres_server)
    async with house.working():
        await house.until_states({"final": 3})
    await backup.restore()
    async with ending(house):
        if imported_first:
            async with house.engine():
                key_id = await until_paused(house)
            await settle_all(house, key_id)
        async with house.working():
            key_id = await until_paused(house)
            if not imported_first:
                await house.until(lambda: house.value("select count(*) > 0 from intents where kind = 'pay' and state = 'queued'"))
                with pytest.raises(UnknownOutgoingError):
                    await resume(house, key_id)
                await settle_all(house, key_id)
            await resume(house, key_id)
            await house.until_states({"final": 3})
            new = await house.account(program, a_wallet())
            await house.owe(program, {new: 4})
            await house.until_states({"final": 4})
            await house.until(lambda: house.value("select count(*) = 0 from batches where state = 'frozen'"))
        assert sum(amount for _, amount in await house.transfers()) == 30 + 7 + 5 + 4
        assert (await house.balance(wallet), await house.balance(other)) == (35, 7)
        await in_order(house, program, second)


async def settle_all(house: House, key_id: UUID) -> None:
    came = await imported(house, key_id)
    assert came.is_complete, came
    assert await house.states() == {"final": 3}


async def test_s21_what_grew_since_the_backup_is_paid_but_for_what_went_out(house: House, postgres_server: Server) -> None:
    wallet = a_wallet()
    async with house.working():
        program = await house.program(funds=1000)
        account = await house.account(program, wallet)
    await house.owe(program, {account: 30})
    backup = await back_up(house, postgres_server)
    async with house.working():
        await house.until_states({"final": 1})
    await backup.restore()
    async with ending(house):
        # The account earns 12 more before the worker is started: what waits is one payout of 42.
        await grow(house, program, account, 12)
        async with house.engine():
            key_id = await until_paused(house)
        assert (await imported(house, key_id)).is_complete
        assert await house.states() == {"final": 1, "approved": 1}
        async with house.working():
            await resume(house, key_id)
            await house.until_states({"final": 2})
        assert await house.balance(wallet) == 42
        await in_order(house, program)


async def test_s21_what_grew_since_the_backup_and_is_reserved_is_paid_but_for_what_went_out(
    house: House, postgres_server: Server
) -> None:
    wallet, other = a_wallet(), a_wallet()
    async with house.working():
        program = await house.program(funds=1000)
        account, another = await house.account(program, wallet), await house.account(program, other)
    backup = await back_up(house, postgres_server)
    await house.owe(program, {account: 30, another: 5})
    async with house.working():
        await house.until_states({"final": 2})
        await house.owe(program, {account: 7})
        await house.until_states({"final": 3})
    await backup.restore()
    async with ending(house):
        # All of it is reported again, and summed up otherwise than it was paid: 30 and 7 to one wallet are one payout of 49.
        await house.owe(program, {account: 49, another: 5})
        async with house.working():
            key_id = await until_paused(house)
            await house.until(lambda: house.value("select count(*) > 0 from intents where kind = 'pay' and state = 'queued'"))
            came = await imported(house, key_id)
            assert came.is_complete, came
            await resume(house, key_id)
            await house.until_states({"final": 4})
            await house.until(lambda: house.value("select count(*) = 0 from batches where state = 'frozen'"))
        assert (await house.balance(wallet), await house.balance(other)) == (49, 5)
        await in_order(house, program)


async def grow(house: House, program: UUID, account: UUID, points: int) -> None:
    """What intake does with a reward while a payout waits."""
    async with house.database.program(program) as session:
        held = Movement(PostingKind.REWARD_HELD, uuid7(), house.asset_id, points, account)
        await ledger.post(session, program, [held], house.clock.now())
    await house.owner.execute("update deliveries set points = points + $1 where account_id = $2", points, account)


async def test_s21_a_payment_for_what_the_books_lost_stops_the_key_until_it_is_accounted_for(
    house: House, postgres_server: Server
) -> None:
    async with house.working():
        program = await house.program(funds=1000)
        lost, wallet = await house.account(program, a_wallet()), a_wallet()
        gone = await house.account(program, wallet)
        key_id = await treasury_key(house)
        with pytest.raises(KeyNotPausedError):
            await import_key(house.deps, key_id)
    backup = await back_up(house, postgres_server)
    await house.owe(program, {lost: 9, gone: 3})
    async with house.working():
        await house.until_states({"final": 2})
    await backup.restore()
    async with ending(house), house.working():
        await until_paused(house)
        (one,) = (await imported(house, key_id)).transactions
        assert "9 to 0x" in str(one.unmatched)
        with pytest.raises(UnknownOutgoingError):
            await resume(house, key_id)
        # The partner reports the purchase again, as after every loss: what was paid for it then is matched now.
        await house.owe(program, {lost: 9})
        (one,) = (await imported(house, key_id)).transactions
        assert one.unmatched == f"3 to {wallet.lower()}"
        with pytest.raises(UnknownOutgoingError):
            await resume(house, key_id)
        await resume(house, key_id, accept="written off")
        assert await house.states() == {"final": 1}
        assert (
            await house.value("select error from intents where kind = 'imported'")
            == f"3 to {wallet.lower()}; left so: written off"
        )
        assert await house.value("select paused_at is null from keys where id = $1", key_id)
        # What was paid for nothing that the books know is missing from the treasury, and the check says so.
        assert [finding.check for finding in await house.findings()] == ["funds and what is owed are backed by the treasury"]
