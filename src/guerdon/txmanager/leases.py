"""One worker at a time signs for a key: a lease with an epoch, by the database's clock (SAFETY S19).

Whatever an engine writes about a key begins with `hold`, in the same transaction.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from guerdon.kit.database import PlatformSession
from guerdon.kit.ids import uuid7
from guerdon.txmanager import repository_keys
from guerdon.txmanager.errors import LeaseLostError
from guerdon.txmanager.models import Key


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one worker to sign with one key, until it runs out or is taken over under a higher epoch."""

    key_id: UUID
    network: str
    address: str
    owner: str
    epoch: int


def new_owner() -> str:
    """A name for this process that no other process has or had."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid7()}"


async def acquire(session: PlatformSession, network: str, owner: str, seconds: float) -> list[Lease]:
    """Take every key of a network that nobody holds."""
    keys = await repository_keys.acquire_leases(session, network, owner, seconds)
    return [Lease(key.id, key.network, key.address, owner, key.lease_epoch) for key in keys]


async def renew(session: PlatformSession, leases: Iterable[Lease], seconds: float) -> set[UUID]:
    """Prolong these leases; the keys that are still held under the same epoch."""
    held = {lease.key_id: lease for lease in leases}
    if not held:
        return set()
    owner = next(iter(held.values())).owner
    epochs = await repository_keys.renew_leases(session, owner, sorted(held), seconds)
    return {key_id for key_id, epoch in epochs.items() if held[key_id].epoch == epoch}


async def release(session: PlatformSession, lease: Lease) -> None:
    """Give a key back, so that another worker takes it at once."""
    await repository_keys.release_lease(session, lease.key_id, lease.owner, lease.epoch)


async def hold(session: PlatformSession, lease: Lease) -> Key:
    """Lock the leased key for this transaction and return it; raises `LeaseLostError` if another worker may have it.

    The lock makes a take-over wait until this transaction has ended, and this transaction wait for a take-over.
    """
    key = await repository_keys.hold(session, lease.key_id, lease.owner, lease.epoch)
    if key is None:
        raise LeaseLostError(lease.key_id)
    return key
