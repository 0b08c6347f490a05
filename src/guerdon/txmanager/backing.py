"""What backs points (SAFETY S3): all that programs may give or owe of an asset can be paid from its treasuries, at its rates.

Points of an `on_claim` asset may be paid by any of its treasuries, so these back them together; what is promised in claims is
owed by one treasury each, in tokens that the claim fixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from guerdon.kit.database import PlatformSession
from guerdon.ledger.models import Asset, Delivered
from guerdon.ledger.rates import Rate
from guerdon.txmanager import repository_options, repository_treasuries
from guerdon.txmanager.models import Treasury
from guerdon.txmanager.repository_options import Claimed


@dataclass(frozen=True, slots=True)
class Vault:
    """What one treasury can pay. Amounts are in its token's smallest unit."""

    rate: Rate
    held_atomic: int
    """What it holds at finality, with what left it for payouts that are not posted yet."""
    claimed_atomic: int = 0
    """What claims, and leaves of drops, that are not over have fixed of it."""
    is_open: bool = True
    """May further points be claimed from it?"""

    @property
    def points(self) -> int:
        """Points that it can pay besides its claims; below zero, points that others have to make up for."""
        left = self.rate.points(self.held_atomic - self.claimed_atomic)
        return left if self.is_open else min(left, 0)


@dataclass(frozen=True, slots=True)
class Promised:
    """What all programs together may still give or owe of an asset, in points; of these, what is in claims and drops."""

    points: int
    in_claims: int


def missing_points(promised: Promised, vaults: Iterable[Vault]) -> int:
    """How many promised points nothing can pay; zero or less when all are backed."""
    return promised.points - promised.in_claims - sum(vault.points for vault in vaults)


async def promised(session: PlatformSession, asset: Asset) -> tuple[Promised, dict[str, Claimed]]:
    """What is promised of an asset now, and what claims and drops have fixed of it, by network: read once, for one that ends in
    between would be taken off the points and not off the tokens.
    """
    points = await repository_treasuries.promised_points(session, asset.id)
    claims = await repository_options.claims_by_network(session, asset.id)
    return Promised(points, sum(claim.points for claim in claims.values())), claims


async def vaults(session: PlatformSession, asset: Asset, claims: Mapping[str, Claimed]) -> list[Vault]:
    """What the asset's treasuries can pay, by what is known of the chain. Locked by whoever is to decide by it (SAFETY S15)."""
    found: list[Vault] = []
    for treasury in await repository_treasuries.treasuries_of_asset(session, asset.id):
        on_the_way = await repository_treasuries.landed_unsettled(session, treasury.id, treasury.balance_block)
        found += await vault_of(session, asset, treasury, treasury.balance_final + on_the_way, claims)
    return found


async def vault_of(
    session: PlatformSession, asset: Asset, treasury: Treasury, held_atomic: int, claims: Mapping[str, Claimed]
) -> list[Vault]:
    """The vault of one treasury that holds so much; none where its asset is not paid from it any more."""
    claimed = claims[treasury.network].amount_atomic if treasury.network in claims else 0
    if asset.delivery != Delivered.ON_CLAIM:
        return [Vault(asset.rate, held_atomic, claimed)]
    option = await repository_options.option(session, asset.id, treasury.network)
    if option is None:
        return []
    return [Vault(option.rate, held_atomic, claimed, option.enabled)]


async def unbacked(session: PlatformSession, asset: Asset, more_points: int = 0) -> int:
    """How many points would lack backing if so many more were promised; the asset's treasuries are locked."""
    now, claims = await promised(session, asset)
    return missing_points(Promised(now.points + more_points, now.in_claims), await vaults(session, asset, claims))


async def lock_vaults(session: PlatformSession, asset: Asset) -> Sequence[Treasury]:
    """Lock all treasuries of an asset, in the order of their ids: what backs it is compared under these locks."""
    return await repository_treasuries.lock_treasuries_of_asset(session, asset.id)
