"""Asking `RewardMinter` for tokens: the daily cap and "once for each id" are kept by the contract (SAFETY S29)."""

from __future__ import annotations

from uuid import UUID

from guerdon.chains import contracts
from guerdon.kit.database import PlatformSession
from guerdon.ledger.models import Asset
from guerdon.txmanager import repository_keys, service
from guerdon.txmanager import repository_treasuries as rows
from guerdon.txmanager.errors_treasuries import AssetWithoutTokenError, NotDeployedError
from guerdon.txmanager.models import KeyPurpose


def minter_name(symbol: str) -> str:
    """What the minter of an asset is called in the table `contracts`."""
    return f"RewardMinter:{symbol}"


async def queue_mint(session: PlatformSession, asset: Asset, *, to: str, amount_atomic: int, ref: UUID, work_kind: str) -> UUID:
    """Mint once for `ref`, whatever is repeated. Raises `AssetWithoutTokenError`, `NotDeployedError`."""
    if asset.network is None or asset.token_address is None:
        raise AssetWithoutTokenError
    minter = await rows.contract_address(session, asset.network, minter_name(asset.symbol))
    keys = [key for key in await repository_keys.keys(session, asset.network) if key.purpose == KeyPurpose.MINTER]
    if minter is None or not keys:
        raise NotDeployedError
    return await service.queue(
        session,
        key_id=keys[0].id,
        network=asset.network,
        kind="mint",
        to=minter,
        data=contracts.mint_call(asset.token_address, ref.bytes, to, amount_atomic),
        ref=ref,
        work_kind=work_kind,
    )
