"""Assets: those of a token that exists, after the chain was asked of it, and points without a token, which payout options pay.

Tokens that we make are in `setup.py`, payout options in `options.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from guerdon.kit.database import PlatformSession, run_in_platform
from guerdon.kit.ids import uuid7
from guerdon.ledger.models import Asset, Delivered
from guerdon.ledger.rates import Rate
from guerdon.txmanager import options, repository_treasuries, service_keys, tokens
from guerdon.txmanager.chain import Rpc
from guerdon.txmanager.deployment import DeploymentDeps
from guerdon.txmanager.errors_treasuries import AssetExistsError, AssetWithoutTokenError, CodeMismatchError
from guerdon.txmanager.options import NewOption
from guerdon.txmanager.tokens import Chains


@dataclass(frozen=True, slots=True)
class NewAsset:
    """An asset whose token exists already, so that it is paid from stock. One point is `atomic_per_point` atomic units.

    Points that are claimed may have no token here: `options.py` says what they are paid in.
    """

    symbol: str
    network: str | None
    token_address: str | None
    delivery: Delivered
    atomic_per_point: int = 1


async def token_decimals(rpc: Rpc, network: str, token_address: str) -> int:
    """The decimals that a token has on chain. Raises `CodeMismatchError` where there is no contract."""
    if not await tokens.code(rpc, token_address):
        message = f"There is no contract at {token_address} on {network}."
        raise CodeMismatchError(message)
    return await tokens.decimals(rpc, token_address)


async def add_asset(session: PlatformSession, new: NewAsset, decimals: int, now: datetime) -> Asset:
    """Add the asset; one that is claimed gets a payout option for the token that is named with it.

    Raises `NetworkNotFoundError`, `AssetExistsError`, `AssetWithoutTokenError`.
    """
    on_claim = new.delivery is Delivered.ON_CLAIM
    if (new.network is None) != (new.token_address is None) or (new.network is None and not on_claim):
        raise AssetWithoutTokenError
    if new.network is not None:
        await service_keys.network(session, new.network)
    asset = Asset(
        id=uuid7(),
        symbol=new.symbol,
        decimals=0 if on_claim else decimals,
        delivery=new.delivery,
        network=None if on_claim else new.network,
        token_address=None if on_claim else new.token_address,
        atomic_per_point=1 if on_claim else new.atomic_per_point,
        mintable=False,
        created_at=now,
    )
    if not await repository_treasuries.insert_asset(session, asset):
        raise AssetExistsError
    if on_claim and new.network is not None and new.token_address is not None:
        option = NewOption(new.network, new.token_address, Rate(new.atomic_per_point))
        await options.set_option(session, asset, option, decimals, now)
    return asset


async def decimals_of(chain: Chains, new: NewAsset) -> int:
    """The decimals of the token that an asset is to have, by its chain; 0 for points without one. Raises `CodeMismatchError`."""
    if new.network is None or new.token_address is None:
        return 0
    return await token_decimals(await chain(new.network), new.network, new.token_address)


async def create_asset(deps: DeploymentDeps, new: NewAsset) -> Asset:
    """Ask the chain, then add the asset. Raises as both."""
    decimals = await decimals_of(deps.chain, new)
    return await run_in_platform(deps.database, lambda session: add_asset(session, new, decimals, deps.clock.now()))
