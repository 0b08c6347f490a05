"""What is seen of each network and of its keys' native coin every few seconds: for people and gauges, never for decisions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import structlog

from guerdon.chains import answers
from guerdon.chains.networks import SOLANA
from guerdon.chains.port import RpcError
from guerdon.kit.database import Database
from guerdon.txmanager import repository_keys
from guerdon.txmanager.models import Key, Network
from guerdon.txmanager.tokens import Chains, Solanas

_MOST_KEYS = 90
"""Of a network whose balances are asked for at a time: they fit one batch of RPC with the blocks."""
_log = structlog.stdlib.get_logger("guerdon.txmanager")


async def look_at_networks(database: Database, chain: Chains, solana: Solanas | None = None) -> None:
    """Write down the head, the finalized block and the base fee of each network, and what its keys could pay fees with."""
    async with database.platform() as session:
        networks = await repository_keys.networks(session)
        keys = await repository_keys.keys(session)
    looks = (
        (_look_at_solana(database, solana, one, its) if one.namespace == SOLANA else _look(database, chain, one, its))
        for one, its in ((one, [key for key in keys if key.network == one.name][:_MOST_KEYS]) for one in networks)
    )
    await asyncio.gather(*looks)


async def _look_at_solana(database: Database, solana: Solanas | None, network: Network, keys: list[Key]) -> None:
    """Slots in place of blocks: what people compare with an explorer."""
    if solana is None:
        return
    try:
        client = await solana(network.name)
        final, head = await client.slot("finalized"), await client.slot("processed")
        newest = await client.block(await client.slot("confirmed"), "confirmed")
        found = await client.accounts([key.address for key in keys], "processed")
    except Exception as error:  # noqa: BLE001 - as below
        _log.debug("txmanager.network_not_seen", network=network.name, error=f"{type(error).__name__}: {error}")
        return
    made = None if newest is None or newest.block_time is None else datetime.fromtimestamp(newest.block_time, UTC)
    async with database.platform() as session:
        await repository_keys.note_seen(session, network.name, {"head_block": head, "head_at": made, "final_block": final})
        for key in keys:
            account = found.found[key.address]
            await repository_keys.note_native_balance(session, key.id, 0 if account is None else account.lamports)


async def _look(database: Database, chain: Chains, network: Network, keys: list[Key]) -> None:
    try:
        rpc = await chain(network.name)
        found = await rpc.batch(
            [
                ("eth_getBlockByNumber", ("latest", False)),
                ("eth_getBlockByNumber", ("finalized", False)),
                *(("eth_getBalance", (key.address, "latest")) for key in keys),
            ]
        )
        head = answers.head(found[0])
    except Exception as error:  # noqa: BLE001 - the engine tells an operator of a chain that does not answer
        _log.debug("txmanager.network_not_seen", network=network.name, error=f"{type(error).__name__}: {error}")
        return
    final = None if isinstance(found[1], RpcError) or found[1] is None else answers.head(found[1]).number
    seen = {
        "head_block": head.number,
        "head_at": datetime.fromtimestamp(head.timestamp, UTC),
        "final_block": final,
        "base_fee_wei": head.base_fee_per_gas,
    }
    async with database.platform() as session:
        await repository_keys.note_seen(session, network.name, seen)
        for key, balance in zip(keys, found[2:], strict=True):
            if not isinstance(balance, RpcError):
                await repository_keys.note_native_balance(session, key.id, answers.quantity(balance, "a balance"))
