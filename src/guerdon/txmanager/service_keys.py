"""Use cases for networks, signing keys and the deployment: set up, create, import, pause, resume. Transactions: `service.py`;
what a key sent that this database does not know: `importing.py`.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from guerdon.chains.networks import EIP155, KNOWN_NETWORKS, SOLANA
from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.kit.ids import uuid7
from guerdon.txmanager import alerts, repository_keys
from guerdon.txmanager.errors import (
    DeploymentMismatchError,
    KeyExistsError,
    KeyNotFoundError,
    NetworkNotFoundError,
    WrongNamespaceError,
)
from guerdon.txmanager.models import Key, KeyPurpose, Network
from guerdon.txmanager.signer import SealedKey, Signer

_BLOCK_TIME_MS: Final = 2_000
"""Of an EVM network that nobody said more about."""
_SLOT_MS: Final = 400


async def set_network(
    session: PlatformSession,
    *,
    name: str,
    chain_id: int | None,
    block_time_ms: int | None = None,
    explorer_url: str | None = None,
    max_fee_per_gas: int | None = None,
    no_fee_cap: bool = False,
) -> None:
    """Add a network, or change what is given of its block time, explorer and fee cap (wei). Its chain never changes.

    With a chain id it is an EVM network, without one it is a Solana: which one, its genesis hash tells at the first contact. A
    network that is known by name begins with what is known of it. Raises `WrongNamespaceError`, `NetworkNotFoundError`.
    """
    namespace = SOLANA if chain_id is None else EIP155
    known = KNOWN_NETWORKS.get(name)
    if known is not None and known.namespace != namespace:
        raise WrongNamespaceError(f"{name} is known as {known.caip2}; give another chain a name of its own")
    if namespace == SOLANA and max_fee_per_gas is not None:
        raise WrongNamespaceError(f"{name} is no EVM network and has no fees a unit of gas")
    existing = await repository_keys.network(session, name)
    if existing is not None and (existing.namespace, existing.chain_id) != (namespace, chain_id):
        raise NetworkNotFoundError(f"{name} is {_chain(existing.chain_id)}; give {_chain(chain_id)} a name of its own")
    given = {"block_time_ms": block_time_ms, "explorer_url": explorer_url, "max_fee_per_gas": max_fee_per_gas}
    values: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    if existing is None:
        if known is None or known.chain_id != chain_id:
            usual = _BLOCK_TIME_MS if namespace == EIP155 else _SLOT_MS
            values = {"block_time_ms": usual, **values}
        else:
            begin = {"block_time_ms": known.block_time_ms, "explorer_url": known.explorer_url}
            values = {**begin, "max_fee_per_gas": known.max_fee_per_gas, **values}
    else:
        values = {"block_time_ms": existing.block_time_ms, **values}
    if no_fee_cap:
        values["max_fee_per_gas"] = None
    await repository_keys.upsert_network(session, {"name": name, "namespace": namespace, "chain_id": chain_id, **values})


def _chain(chain_id: int | None) -> str:
    return "a Solana" if chain_id is None else f"chain {chain_id}"


async def network(session: ScopedSession, name: str) -> Network:
    """A network by name; raises `NetworkNotFoundError`."""
    found = await repository_keys.network(session, name)
    if found is None:
        raise NetworkNotFoundError
    return found


async def evm_network(session: ScopedSession, name: str) -> Network:
    """An EVM network by name; raises `NetworkNotFoundError`, `WrongNamespaceError`."""
    found = await network(session, name)
    if found.namespace != EIP155:
        raise WrongNamespaceError(f"{name} is no EVM network: it is of namespace {found.namespace}")
    return found


async def name_deployment(session: PlatformSession, deployment_id: UUID) -> None:
    """Write the settings' deployment into an empty database; raises `DeploymentMismatchError` if it is another's."""
    await repository_keys.insert_deployment(session, deployment_id)
    found = await repository_keys.deployment(session)
    if found is None or found.id != deployment_id:
        raise DeploymentMismatchError(
            details={"settings": str(deployment_id), "database": None if found is None else str(found.id)}
        )


async def create_key(session: PlatformSession, signer: Signer, network_name: str, purpose: KeyPurpose) -> Key:
    """Make a new key, sealed before it is stored."""
    key_id, namespace = uuid7(), (await network(session, network_name)).namespace
    sealed = signer.generate(key_id, network_name, namespace)
    return await _store(session, key_id, network_name, purpose, sealed, {})


async def import_key(
    session: PlatformSession,
    signer: Signer,
    network_name: str,
    purpose: KeyPurpose,
    *,
    private_key: str,
    next_nonce: int = 0,
    reviewed_signature: str | None = None,
) -> Key:
    """Store an existing key (hexadecimal, or on Solana as wallets write it).

    `next_nonce` is its counter at the head of the chain, read by the caller just before, `reviewed_signature` its newest
    transaction on Solana: what it sent until now is taken as known, what it sends from elsewhere from now on is not (SAFETY S21).

    Raises `InvalidKeyError` and `KeyExistsError`.
    """
    key_id, namespace = uuid7(), (await network(session, network_name)).namespace
    sealed = signer.seal(key_id, network_name, private_key, namespace)
    known = {"next_nonce": next_nonce, "reviewed_signature": reviewed_signature}
    return await _store(session, key_id, network_name, purpose, sealed, known)


async def _store(
    session: PlatformSession, key_id: UUID, network_name: str, purpose: KeyPurpose, sealed: SealedKey, known: dict[str, Any]
) -> Key:
    values = {"id": key_id, "network": network_name, "purpose": purpose, **known}
    secret = {"address": sealed.address, "secret_encrypted": sealed.secret_encrypted}
    if await repository_keys.insert_key(session, {**values, **secret}) is None:
        raise KeyExistsError(details={"network": network_name, "address": sealed.address})
    await repository_keys.notify(session, network_name)
    return await key(session, key_id)


async def key(session: PlatformSession, key_id: UUID) -> Key:
    """A key by id; raises `KeyNotFoundError`."""
    found = await repository_keys.key(session, key_id)
    if found is None:
        raise KeyNotFoundError
    return found


async def key_by_address(session: PlatformSession, network_name: str, address: str) -> Key:
    """A key by its address, in any case; raises `KeyNotFoundError`."""
    for found in await repository_keys.keys(session, network_name):
        if found.address == address or (found.address.startswith("0x") and found.address.lower() == address.lower()):
            return found
    raise KeyNotFoundError(f"{network_name} has no key with address {address}")


async def pause_key(session: PlatformSession, key_id: UUID, reason: str) -> None:
    """Stop a key from signing; what it signed before is still watched, and sent again where needed."""
    found = await repository_keys.lock_key(session, key_id)
    if found is None:
        raise KeyNotFoundError
    await repository_keys.pause(session, key_id, reason, resumes_by_itself=False)


async def resume_key(session: PlatformSession, key_id: UUID, *, next_nonce: int | None = None) -> None:
    """Let a key sign again, by an operator's decision.

    `next_nonce` is the key's counter at the finalized block: it says that the operator has looked at everything the key
    sent until then (`importing.py`), and moves the counter forward. Without it, a key whose chain is ahead of the
    database pauses again.
    """
    found = await repository_keys.lock_key(session, key_id)
    if found is None:
        raise KeyNotFoundError
    if next_nonce is not None:
        await repository_keys.advance_counter(session, key_id, next_nonce)
    await repository_keys.resume(session, key_id, only_by_itself=False)
    await alerts.key_resumed(session, found)
    await repository_keys.notify(session, str(key_id))


async def rewrap_keys(session: PlatformSession, signer: Signer) -> int:
    """Seal every key under the current master key; how many were under an older one. The keys themselves never change.

    Those under a key that is not in the ring stay as they are.
    """
    changed = 0
    for one in await repository_keys.keys(session):
        sealed = signer.rewrap(one)
        if sealed is not None and sealed != one.secret_encrypted:
            await repository_keys.store_sealed(session, one.id, sealed)
            changed += 1
    return changed
