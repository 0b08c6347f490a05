"""Asking `RewardMinter` for tokens: the daily cap and "once for each id" are kept by the contract (SAFETY S29)."""

from __future__ import annotations

from uuid import UUID

from guerdon.chains import contracts
from guerdon.kit.database import PlatformSession
from guerdon.txmanager import repository_keys, repository_options, service
from guerdon.txmanager.errors_treasuries import NotDeployedError
from guerdon.txmanager.models import KeyPurpose, Treasury


def minter_name(symbol: str) -> str:
    """What the minter of an asset is called in the table `contracts`."""
    return f"RewardMinter:{symbol}"


async def queue_mint(session: PlatformSession, treasury: Treasury, *, amount_atomic: int, ref: UUID, work_kind: str) -> UUID:
    """Mint into a treasury, once for `ref`, whatever is repeated. Raises `NotDeployedError`."""
    minter = await repository_options.minter_of(session, treasury.network, treasury.token_address)
    keys = [key for key in await repository_keys.keys(session, treasury.network) if key.purpose == KeyPurpose.MINTER]
    if minter is None or not keys:
        raise NotDeployedError
    return await service.queue(
        session,
        key_id=keys[0].id,
        network=treasury.network,
        kind="mint",
        to=minter,
        data=contracts.mint_call(treasury.token_address, ref.bytes, treasury.address, amount_atomic),
        ref=ref,
        work_kind=work_kind,
    )
