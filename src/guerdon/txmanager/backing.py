"""What backs points (SAFETY S3): all that programs may give or owe of an asset can be paid from its treasuries, at its rates.

Points of an `on_claim` asset may be paid by any of its treasuries, so these back them together; what is promised in claims and
drops is owed by one treasury each, in tokens that they fixed. While a program's campaign pays more than an option does, or will,
a point of that program counts as many as it may be worth at most. Counted exactly: no claim, and none that is given back, makes
less backed than it was (decision 0042).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from uuid import UUID

from guerdon.kit.database import PlatformSession
from guerdon.ledger.models import Asset, Delivered
from guerdon.ledger.rates import Rate
from guerdon.txmanager import repository_options, repository_rates, repository_treasuries
from guerdon.txmanager.models import Treasury
from guerdon.txmanager.repository_options import Claimed

_ONCE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Vault:
    """What one treasury can pay. Amounts are in its token's smallest unit."""

    rate: Rate
    held_atomic: int
    """What it holds at finality, with what left it for payouts that are not posted yet."""
    claimed_atomic: int | Fraction = 0
    """What claims, and leaves of drops, that are not over may take of it."""
    is_open: bool = True
    """May further points be claimed from it?"""

    @property
    def points(self) -> Fraction:
        """Points that it can pay besides its claims; below zero, points that others have to make up for."""
        left = (self.held_atomic - self.claimed_atomic) / self.rate.fraction
        return left if self.is_open else min(left, Fraction())


@dataclass(frozen=True, slots=True)
class Promised:
    """What all programs together may still give or owe of an asset, in points; of these, what is in claims and drops."""

    points: int
    in_claims: int
    raised: Fraction = Fraction()
    """What those that are in neither may be worth besides, by campaigns, in points at the options' rates."""


@dataclass(frozen=True, slots=True)
class Books:
    """What is promised of an asset, and how: read once, for a claim or drop that ends in between would be taken off the points
    and not off the tokens.
    """

    promised: Promised
    claims: Sequence[Claimed]
    worths: Mapping[UUID, Fraction]
    """Of programs whose campaigns pay more: how many times as much as the options do, at most."""

    def claimed_atomic(self, network: str, rate: Rate, *, is_open: bool) -> Fraction:
        """What claims and drops on a network may take: the tokens that they fixed; or, given back, what points are worth then."""
        total = Fraction()
        for claim in self.claims:
            if claim.network == network:
                best = max(claim.rate.fraction, rate.fraction * self.worths.get(claim.program_id, _ONCE))
                total += max(claim.amount_atomic, claim.points * best) if is_open else claim.amount_atomic
        return total


def missing_points(promised: Promised, vaults: Iterable[Vault]) -> int:
    """How many promised points nothing can pay; zero or less when all are backed."""
    return ceil(promised.points - promised.in_claims + promised.raised - sum(vault.points for vault in vaults))


async def books(session: PlatformSession, asset: Asset) -> Books:
    """What is promised of an asset now."""
    points = await repository_treasuries.promised_by_program(session, asset.id)
    claims = await repository_options.claimed(session, asset.id)
    worths = await repository_rates.worths(session, asset.id)
    free = dict(points)
    for claim in claims:
        free[claim.program_id] = free.get(claim.program_id, 0) - claim.points
    raised = sum((free.get(program, 0) * (worth - 1) for program, worth in worths.items()), Fraction())
    return Books(Promised(sum(points.values()), sum(claim.points for claim in claims), raised), claims, worths)


async def vaults(session: PlatformSession, asset: Asset, known: Books) -> list[Vault]:
    """What the asset's treasuries can pay, by what is known of the chain. Locked by whoever is to decide by it (SAFETY S15)."""
    found: list[Vault] = []
    for treasury in await repository_treasuries.treasuries_of_asset(session, asset.id):
        on_the_way = await repository_treasuries.landed_unsettled(session, treasury.id, treasury.balance_block)
        found += await vault_of(session, asset, treasury, treasury.balance_final + on_the_way, known)
    return found


async def vault_of(session: PlatformSession, asset: Asset, treasury: Treasury, held_atomic: int, known: Books) -> list[Vault]:
    """The vault of one treasury that holds so much; none where its asset is not paid from it any more."""
    if asset.delivery != Delivered.ON_CLAIM:
        rate, is_open = asset.rate, True
    elif (option := await repository_options.option(session, asset.id, treasury.network)) is not None:
        rate, is_open = option.rate, option.enabled
    else:
        return []
    return [Vault(rate, held_atomic, known.claimed_atomic(treasury.network, rate, is_open=is_open), is_open)]


async def worth(session: PlatformSession, asset: Asset, program_id: UUID) -> Fraction:
    """How many times as much as the options pay a point of a program may be worth: 1, or more until its campaigns are over."""
    return (await repository_rates.worths(session, asset.id)).get(program_id, _ONCE)


async def unbacked(session: PlatformSession, asset: Asset, more_points: int = 0, *, of_program: UUID | None = None) -> int:
    """How many points would lack backing if so many more were promised to a program; the asset is locked by `lock_vaults`."""
    known = await books(session, asset)
    more = more_points * (_ONCE if of_program is None else known.worths.get(of_program, _ONCE))
    wanted = replace(known.promised, raised=known.promised.raised + more)
    return missing_points(wanted, await vaults(session, asset, known))


async def lock_vaults(session: PlatformSession, asset: Asset) -> Sequence[Treasury]:
    """Lock all treasuries of an asset, in the order of their ids, then its rates: what backs it is compared under these locks.

    Claims are made before or after: one beside it could be at a rate that is not counted any more.
    """
    locked = await repository_treasuries.lock_treasuries_of_asset(session, asset.id)
    await repository_options.begin_change(session, asset.id)
    return locked
