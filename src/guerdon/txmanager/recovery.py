"""What an engine makes sure of before it sends anything: the right chain, the right database, and no transactions of the
key that the database does not know; and what it sends again because the chain lost it (SAFETY S21, S27).
"""

from __future__ import annotations

from uuid import UUID

import structlog

from guerdon.chains.networks import KNOWN_NETWORKS, SOLANA, begins_as
from guerdon.chains.port import WrongChainError
from guerdon.kit.database import Database
from guerdon.txmanager import alerts, foreign, repository, repository_keys, sending
from guerdon.txmanager.chain import Chain
from guerdon.txmanager.context import KeyContext
from guerdon.txmanager.errors import DeploymentMismatchError, NetworkNotFoundError
from guerdon.txmanager.models import Network

_log = structlog.stdlib.get_logger("guerdon.txmanager")


async def accepted_network(database: Database, chain: Chain, name: str, deployment_id: UUID) -> Network:
    """The network's row, once chain and deployment are proven to be the right ones; else raises what is wrong."""
    chain_id, genesis_hash = await chain.identity()
    network = await accept(database, name, deployment_id, chain_id, genesis_hash)
    chain.expect(genesis_hash)
    return network


async def accept(database: Database, name: str, deployment_id: UUID, chain_id: int | None, genesis_hash: str) -> Network:
    """Compare what the chain said of itself with the network's row, and the settings' deployment with the database's."""
    async with database.platform() as session:
        network = await repository_keys.network(session, name)
        deployment = await repository_keys.deployment(session)
        if network is None:
            raise NetworkNotFoundError(f"no network is called {name}")
        if deployment is None or deployment.id != deployment_id:
            raise DeploymentMismatchError(
                details={"settings": str(deployment_id), "database": None if deployment is None else str(deployment.id)}
            )
        compare(network, chain_id, genesis_hash)
        if network.genesis_hash is None:
            await repository_keys.record_genesis(session, name, genesis_hash)
        await alerts.network_accepted(session, name)
    return network


def compare(network: Network, chain_id: int | None, genesis_hash: str) -> None:
    """Raise `WrongChainError` unless this is the chain that the row stands for."""
    if network.chain_id != chain_id:
        raise WrongChainError(
            f"the RPC address of {network.name} answers for chain {chain_id}, not {network.chain_id}: correct the address, "
            "or the network's chain id"
        )
    known = KNOWN_NETWORKS.get(network.name)
    if known is not None and known.namespace == SOLANA and not begins_as(known, genesis_hash):
        raise WrongChainError(f"the RPC address of {network.name} answers for a chain with genesis {genesis_hash}: correct it")
    if network.genesis_hash is not None and network.genesis_hash != genesis_hash:
        raise WrongChainError(
            f"{network.name} begins with block {genesis_hash} and was used with one that begins with {network.genesis_hash}: "
            "point its RPC address at the old chain (a local chain and the database belong to one data directory: restore both, "
            "or begin with an empty one)"
        )


async def check_key(work: KeyContext) -> None:
    """Pause the key if the chain knows transactions of it that the database does not; send again what the chain lost."""
    counters, balance = await work.chain.counters_and_balance(work.address)
    # The database is read after the chain: a nonce used on the chain was committed here before.
    async with work.write() as (session, key):
        await repository_keys.note_native_balance(session, key.id, balance)
        if counters.pool > key.next_nonce:
            # One that waits for a block may land beside a payment of the same payouts under another nonce.
            waiting = f", {counters.pool - counters.head} of which wait for a block" if counters.pool > counters.head else ""
            reason = (
                f"the chain counts {counters.pool} transactions of {key.address}{waiting}, the database {key.next_nonce}: "
                "the database is older than the chain, or somebody else uses this key"
            )
            await foreign.pause(session, key, reason)
            return
    if counters.head < key.next_nonce:
        await _send_from(work, counters.head)


async def send_lost(work: KeyContext) -> None:
    """Send again what was final and what follows it, if the chain went back behind it while the key works (SAFETY S27)."""
    counters, _ = await work.chain.counters_and_balance(work.address)
    async with work.database.platform() as session:
        key = await repository_keys.key(session, work.key_id)
        unfinished = await repository.first_unfinished_nonce(session, work.key_id)
    if key is not None and counters.head < (key.next_nonce if unfinished is None else unfinished):
        await _send_from(work, counters.head)


async def _send_from(work: KeyContext, nonce: int) -> None:
    sent = await sending.send_stored_from(work, nonce)
    if sent:
        _log.warning("txmanager.sent_again", address=work.address, from_nonce=nonce, transactions=sent)
