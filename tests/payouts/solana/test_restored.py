"""An old backup restored beside today's Solana: what it does not know is imported, and nobody is paid twice (SAFETY S21)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import pytest

from guerdon.ledger.verify import verify_program
from guerdon.payouts import jobs as payout_jobs
from guerdon.payouts.models import Work
from guerdon.payouts.solana.importing import import_key
from guerdon.payouts.verify import verify_payouts
from guerdon.txmanager.errors import UnknownOutgoingError
from guerdon.txmanager.solana import importing
from guerdon.txmanager.solana.importing import Told
from tests.payouts.solana.purse import Purse
from tests.payouts.test_restored import back_up, ending
from tests.support.postgres import Server
from tests.txmanager.solana.scene import QUICK

POINTS = (100, 250, 7)


async def _claims(purse: Purse) -> list[str]:
    return [(await purse.claim(points))[1] for points in POINTS]


async def _pay(purse: Purse, count: int) -> None:
    async with purse.working():
        await purse.until_states({"final": count})
    await purse.node.advance(40)


async def _reserve(purse: Purse) -> None:
    await payout_jobs.handlers(purse.deps)[Work.RESERVE](purse.program)


async def _import(purse: Purse) -> list[Told]:
    return await import_key(purse.deps, purse.scene.chain(), purse.scene.key_id)


async def _resume(purse: Purse, accept: str | None = None) -> None:
    await importing.resume(purse.scene.database, purse.scene.chain(), purse.scene.key_id, accept=accept)


async def _import_and_resume(purse: Purse) -> None:
    for accept in (None, "never mind"):
        # What importing may still find is not given up.
        with pytest.raises(UnknownOutgoingError):
            await _resume(purse, accept)
    for _ in range(2):
        assert [one.unmatched for one in await _import(purse) if one.unmatched is not None] == []
    assert await purse.states() == {"final": len(POINTS)}
    await _resume(purse)


@asynccontextmanager
async def _restored(purse: Purse, server: Server, wallets: Sequence[str]) -> AsyncGenerator[None]:
    """Claims are paid, and then the books are what they were before. In the end each is paid once, and all agree."""
    backup = await back_up(purse.scene, server)
    await _pay(purse, len(wallets))
    await backup.restore()
    async with ending(purse.scene):
        yield
        await _pay(purse, len(wallets))
        _, new = await purse.claim(5)
        await _pay(purse, len(wallets) + 1)
        assert [await purse.held(wallet) for wallet in (*wallets, new)] == [10 * points for points in (*POINTS, 5)]
        treasury = await purse.treasury()
        assert (treasury.reserved, treasury.balance_final) == (0, await purse.held(purse.scene.address))
        assert await verify_payouts(purse.deps) == []
        async with purse.scene.database.program(purse.program) as session:
            assert await verify_program(session, purse.program) == []


@pytest.mark.parametrize("frozen_first", [False, True], ids=["still approved", "frozen anew first"])
async def test_s21_what_a_restored_dump_does_not_know_is_found_by_recipient_and_amount(
    purse: Purse, postgres_server: Server, frozen_first: bool
) -> None:
    wallets = await _claims(purse)
    async with _restored(purse, postgres_server, wallets):
        if frozen_first:
            async with purse.working():
                await purse.scene.until_paused()
                await purse.until(lambda: purse.value("select count(*) > 0 from intents where kind = 'pay' and state = 'queued'"))
        else:
            async with purse.scene.engine():
                await purse.scene.until_paused()
        await _import_and_resume(purse)


async def test_s21_a_batch_that_the_chain_has_paid_under_its_name_waits_until_it_is_imported(
    purse: Purse, postgres_server: Server
) -> None:
    """In the dump the batch takes payouts; on the chain it is paid."""
    wallets = await _claims(purse)
    await _reserve(purse)
    batch: UUID = await purse.value("select id from batches where state = 'open'")
    async with _restored(purse, postgres_server, wallets):
        async with purse.working():
            await purse.scene.until_paused()
            await purse.until(lambda: purse.value("select state = 'closed' from batches where id = $1", batch))
            await purse.until(
                lambda: purse.value("select count(*) > 0 from outbox where payload::text like '%these books do not know%'")
            )
            assert await purse.value("select count(*) from intents where kind = 'pay'") == 0
        await _import_and_resume(purse)
        assert await purse.value("select state from batches where id = $1", batch) == "dissolved"


async def test_s21_a_list_that_grew_after_its_name_was_taken_is_paid_under_another(purse: Purse, postgres_server: Server) -> None:
    """The chain paid the batch with some of its payouts; the rest is still owed."""
    wallets = await _claims(purse)
    await _reserve(purse)
    backup = await back_up(purse.scene, postgres_server)
    await _pay(purse, len(wallets))
    await backup.restore()
    async with ending(purse.scene):
        _, late = await purse.claim(11)
        await _reserve(purse)
        async with purse.scene.engine():
            await purse.scene.until_paused()
        assert [one.unmatched for one in await _import(purse)] == [None]
        assert await purse.states() == {"final": 3, "reserved": 1}
        await _resume(purse)
        await _pay(purse, 4)
        assert [await purse.held(wallet) for wallet in (*wallets, late)] == [10 * points for points in (*POINTS, 11)]
        assert await verify_payouts(purse.deps) == []


async def test_s21_rent_that_came_back_meanwhile_needs_no_accounting(purse: Purse, postgres_server: Server) -> None:
    await _claims(purse)
    await _pay(purse, len(POINTS))
    backup = await back_up(purse.scene, postgres_server)
    async with purse.scene.engine(replace(QUICK, close_markers_seconds=0.2)):
        await purse.node.advance(260)
        await purse.until(lambda: purse.value("select bool_and(marker_closed_at is not null) from intents where kind = 'pay'"))
    await purse.node.advance(40)
    await backup.restore()
    async with ending(purse.scene):
        async with purse.scene.engine():
            await purse.scene.until_paused()
        (told,) = await _import(purse)
        assert (told.what, told.unmatched) == ("gave rent back", None)
        await _resume(purse)
