"""Assets of tokens that exist: what the chain says of the token, then the asset. Tokens that we make are in `setup.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from guerdon.kit.database import PlatformSession, run_in_platform
from guerdon.kit.ids import uuid7
from guerdon.ledger.models import Asset, Delivered
from guerdon.txmanager import repository_treasuries, service_keys, tokens
from guerdon.txmanager.chain import Rpc
from guerdon.txmanager.deployment import DeploymentDeps
from guerdon.txmanager.errors_treasuries import AssetExistsError, CodeMismatchError


@dataclass(frozen=True, slots=True)
class NewAsset:
    """An asset whose token exists already, so that it is paid from stock. One point is `atomic_per_point` atomic units."""

    symbol: str
    network: str
    token_address: str
    delivery: Delivered
    atomic_per_point: int


async def token_decimals(rpc: Rpc, new: NewAsset) -> int:
    """The decimals that the asset's token has on chain. Raises `CodeMismatchError` where there is no contract."""
    if not await tokens.code(rpc, new.token_address):
        message = f"There is no contract at {new.token_address} on {new.network}."
        raise CodeMismatchError(message)
    return await tokens.decimals(rpc, new.token_address)


async def add_asset(session: PlatformSession, new: NewAsset, decimals: int, now: datetime) -> Asset:
    """Add the asset. Raises `NetworkNotFoundError`, `AssetExistsError`."""
    await service_keys.network(session, new.network)
    asset = Asset(
        id=uuid7(),
        symbol=new.symbol,
        decimals=decimals,
        delivery=new.delivery,
        network=new.network,
        token_address=new.token_address,
        atomic_per_point=new.atomic_per_point,
        mintable=False,
        created_at=now,
    )
    if not await repository_treasuries.insert_asset(session, asset):
        raise AssetExistsError
    return asset


async def create_asset(deps: DeploymentDeps, new: NewAsset) -> Asset:
    """Ask the chain, then add the asset. Raises as both."""
    decimals = await token_decimals(await deps.chain(new.network), new)
    return await run_in_platform(deps.database, lambda session: add_asset(session, new, decimals, deps.clock.now()))
