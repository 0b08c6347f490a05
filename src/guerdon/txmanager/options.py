"""Payout options: in which tokens the points of an `on_claim` asset may be claimed, at which rate and within which limits.

They are the platform operator's (SAFETY S3). A change that would leave promised points without backing is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from eth_utils.address import to_checksum_address

from guerdon.chains.networks import EIP155
from guerdon.kit.database import PlatformSession
from guerdon.ledger.models import Asset, Delivered, PayoutOption
from guerdon.ledger.rates import Rate
from guerdon.txmanager import backing, repository_options, service_keys, tokens
from guerdon.txmanager import repository_treasuries as treasuries
from guerdon.txmanager.errors_options import (
    AssetNotClaimedError,
    OptionDecimalsError,
    OptionNotMintableError,
    OptionTokenError,
    OptionUnbackedError,
)
from guerdon.txmanager.models import Network
from guerdon.txmanager.tokens import Chains


@dataclass(frozen=True, slots=True)
class Limits:
    """What claims of one account are held to. Points; seconds."""

    min_points: int = 1
    max_points: int | None = None
    period_points: int | None = None
    period_seconds: int | None = None
    cooldown_seconds: int = 0


@dataclass(frozen=True, slots=True)
class NewOption:
    """An option as it is to be; what it was before is replaced."""

    network: str
    token_address: str
    rate: Rate
    limits: Limits = Limits()
    mintable: bool = False
    is_default: bool = False
    """Of its namespace. The first one of a namespace is, whatever is said."""
    enabled: bool = True


async def decimals_on_chain(chain: Chains, network: Network, token_address: str, told: int | None) -> int:
    """The decimals of a token, by its chain; raises `OptionDecimalsError` where they are not those that were told.

    On Solana they have to be told: each transfer is checked against them by the token's program.
    """
    if network.namespace != EIP155:
        if told is None:
            raise OptionDecimalsError
        return told
    rpc = await chain(network.name)
    if not await tokens.code(rpc, token_address):
        raise OptionTokenError
    found = await tokens.decimals(rpc, token_address)
    if told not in {None, found}:
        raise OptionDecimalsError(details={"told": told, "onChain": found})
    return found


async def set_option(session: PlatformSession, asset: Asset, new: NewOption, decimals: int, now: datetime) -> PayoutOption:
    """Make an option, or change it. Claims that were made keep what they fixed (SAFETY S14).

    Raises `AssetNotClaimedError`, `NetworkNotFoundError`, `OptionTokenError`, `OptionNotMintableError`, `OptionUnbackedError`.
    """
    if asset.delivery != Delivered.ON_CLAIM:
        raise AssetNotClaimedError
    network = await service_keys.network(session, new.network)
    # Fundings wait for what is decided here, and claims too (SAFETY S15).
    await backing.lock_vaults(session, asset)
    token = to_checksum_address(new.token_address) if network.namespace == EIP155 else new.token_address
    known = await repository_options.option(session, asset.id, new.network)
    if known is not None and known.token_address != token and await treasuries.treasury_on(session, asset.id, new.network):
        raise OptionTokenError
    if new.mintable and network.namespace == EIP155 and not await repository_options.minter_of(session, network.name, token):
        raise OptionNotMintableError
    short_before = await backing.unbacked(session, asset)
    is_default = await _is_default(session, asset, network.namespace, new)
    if is_default:
        await repository_options.no_default(session, asset.id, network.namespace)
    limits = new.limits
    option = await repository_options.set_option(
        session,
        {
            "asset_id": asset.id,
            "network": network.name,
            "namespace": network.namespace,
            "token_address": token,
            "token_decimals": decimals,
            "atomic_numerator": new.rate.atomic_numerator,
            "points_denominator": new.rate.points_denominator,
            "mintable": new.mintable,
            "min_points": limits.min_points,
            "max_points": limits.max_points,
            "period_points": limits.period_points,
            "period_seconds": limits.period_seconds,
            "cooldown_seconds": limits.cooldown_seconds,
            "is_default": is_default,
            "enabled": new.enabled,
            "created_at": now,
            "updated_at": now,
        },
    )
    short = await backing.unbacked(session, asset)
    if short > max(short_before, 0):
        raise OptionUnbackedError(details={"missingPoints": str(short)})
    return option


async def _is_default(session: PlatformSession, asset: Asset, namespace: str, new: NewOption) -> bool:
    """One that is enabled and asks for it, is it already, or has no other beside it."""
    if not new.enabled:
        return False
    if new.is_default:
        return True
    defaults = [
        option.network
        for option, _ in await repository_options.options(session, asset.id)
        if option.namespace == namespace and option.is_default
    ]
    return defaults in ([], [new.network])
