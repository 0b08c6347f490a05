"""Whose points are in a drop: held account by account before its root is known, and given back where it comes to nothing.

One transaction a chunk of accounts; killed anywhere it goes on from the drop's cursors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from guerdon.accounts import denials
from guerdon.chains.drop_contract import Leaves
from guerdon.chains.merkle import Tree
from guerdon.kit import outbox
from guerdon.kit.database import PlatformSession, program_scope, run_in_platform, transaction_time
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.payouts import alerts_drops
from guerdon.payouts import repository_drop_leaves as collecting
from guerdon.payouts import repository_drops as repository
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.drops import leaf_ref, whole
from guerdon.payouts.models_drops import Drop, DropSeason, DropState, LeafFate, SeasonState
from guerdon.payouts.repository_drop_leaves import Leaf
from guerdon.payouts.repository_drops import Waiting
from guerdon.payouts.terms_drops import DropTerms

_ALL_CARRIED: Final = "~"
_FIRST: Final = UUID(int=0)
_ZERO: Final = f"0x{'0' * 40}"


async def collect(deps: PayoutDeps, terms: DropTerms, drop: Drop) -> bool:
    """Hold points for some chunks of accounts; whether there is more to do at once."""
    for _ in range(terms.chunks_a_turn):
        if not await run_in_platform(deps.database, _Chunk(drop.program_id, drop.id, terms.chunk)):
            return False
    return True


class _Chunk:
    """One transaction: the next leaves of the root before, or the next accounts."""

    def __init__(self, program_id: UUID, drop_id: UUID, limit: int) -> None:
        self._program_id = program_id
        self._drop_id = drop_id
        self._limit = limit

    async def __call__(self, session: PlatformSession) -> bool:
        drop = await repository.lock_drop(session, self._program_id, self._drop_id, DropState.COLLECTING)
        if drop is None:
            return False
        season = await repository.season(session, drop.program_id, drop.season_id)
        if season is None:
            return False
        drop.updated_at = now = await transaction_time(session)
        if drop.carried_to != _ALL_CARRIED:
            await self._carry(session, drop, now)
            return True
        accounts, more = await self._next_accounts(session, drop, season)
        if accounts:
            drop.collected_to = accounts[-1][0]
            async with program_scope(session, drop.program_id):
                leaves = await self._take(session, drop, season, accounts, now)
                await collecting.put_leaves(session, drop, season.asset_id, leaves, now)
        if not more:
            drop.state = DropState.COLLECTED
        return more

    async def _carry(self, session: PlatformSession, drop: Drop, now: datetime) -> None:
        earlier = await repository.drops_of(session, drop.program_id, drop.season_id)
        before = next(one for one in earlier if one.number == drop.number - 1)
        async with program_scope(session, drop.program_id):
            carried, last = await collecting.carry_over(session, drop, before.id, self._limit, now)
        drop.carried_to = last if carried == self._limit else _ALL_CARRIED

    async def _next_accounts(
        self, session: PlatformSession, drop: Drop, season: DropSeason
    ) -> tuple[list[tuple[UUID, int | None]], bool]:
        after = drop.collected_to or _FIRST
        if drop.chosen is not None:
            rest = [(UUID(account), points) for account, points in drop.chosen if UUID(account) > after]
            return rest[: self._limit], len(rest) > self._limit
        async with program_scope(session, drop.program_id):
            found = await collecting.accounts_with(
                session, drop.program_id, season.asset_id, after, max(drop.minimum_points, 1), self._limit
            )
        return [(account, None) for account in found], len(found) == self._limit

    async def _take(
        self,
        session: PlatformSession,
        drop: Drop,
        season: DropSeason,
        accounts: Sequence[tuple[UUID, int | None]],
        now: datetime,
    ) -> list[Leaf]:
        """Hold what each account has and may give, and the leaves for it."""
        program_id, asset_id = drop.program_id, season.asset_id
        addresses = await collecting.destinations(session, program_id, [account for account, _ in accounts], now)
        known = [(account, asked) for account, asked in accounts if account in addresses]
        balances = await ledger_repository.lock_account_balances(
            session, program_id, {(asset_id, account) for account, _ in known}
        )
        present = await collecting.leaves_at(session, drop, set(addresses.values()))
        barred = {_ZERO, season.contract.lower(), season.token_address.lower()}
        barred |= await denials.denied(session, program_id, set(addresses.values()))
        leaves: dict[str, Leaf] = {}
        for account, asked in known:
            available, address = balances[asset_id, account].available, addresses[account]
            wanted = available if asked is None else asked
            if wanted > available or available < drop.minimum_points or address in barred:
                continue
            points, atomic = whole(wanted, season.atomic_numerator, season.points_denominator)
            earlier_points, earlier_atomic = present.get(address, (0, 0))
            # An address is one leaf: who else is paid there waits for another drop, and keeps the points.
            if atomic == 0 or earlier_points > 0 or address in leaves:
                continue
            leaves[address] = Leaf(address, account, points, atomic, earlier_atomic + atomic)
        held = [
            Movement(PostingKind.HOLD, leaf_ref(drop.id, leaf.address), asset_id, leaf.points, leaf.account_id)
            for leaf in leaves.values()
        ]
        await ledger.post(session, program_id, held, now)
        return list(leaves.values())


async def leave_stale_out(deps: PayoutDeps, terms: DropTerms, drop: Drop) -> None:
    """Give back what is for addresses that their accounts lost since, or that are denied now, and what a debt has to be repaid
    of (SAFETY S5, S13).
    """

    async def leave_out(session: PlatformSession) -> bool:
        locked = await repository.lock_drop(session, drop.program_id, drop.id, DropState.COLLECTED)
        if locked is None:
            return False
        async with program_scope(session, drop.program_id):
            stale = await collecting.lock_stale(session, locked, terms.chunk)
            if stale:
                await release(session, drop.program_id, stale, await transaction_time(session))
                await collecting.leave_out(session, stale, drop.program_id)
        return len(stale) == terms.chunk

    while await run_in_platform(deps.database, leave_out):
        pass


async def commit_root(deps: PayoutDeps, terms: DropTerms, drop: Drop) -> None:
    """Build the tree over a drop's leaves and fix its root; a drop that nobody is in is given up."""
    await leave_stale_out(deps, terms, drop)
    async with deps.database.platform() as session:
        season = await repository.season(session, drop.program_id, drop.season_id)
    if season is None:
        return
    async with deps.database.program(drop.program_id) as session:
        found = await repository.leaf_amounts(session, drop)
    tree, places = await asyncio.to_thread(_build, season, found) if found else (None, [])

    async def store(session: PlatformSession) -> None:
        locked = await repository.lock_drop(session, drop.program_id, drop.id, DropState.COLLECTED)
        if locked is None:
            return
        async with program_scope(session, drop.program_id):
            sums = await repository.sums(session, locked)
        if (sums.leaves, sums.total_atomic) != (len(found), sum(amount for _, amount in found)):
            # Somebody else has left leaves out since they were read: what is in the tree is paid, so it is built anew.
            return
        locked.updated_at = await transaction_time(session)
        if tree is None or not sums.points:
            locked.state, locked.reason = DropState.CANCELLING, "no account has that many points"
            return
        async with program_scope(session, drop.program_id):
            await repository.store_tree(session, locked, tree.nodes, places)
        locked.state, locked.root = DropState.COMMITTED, f"0x{tree.root.hex()}"
        locked.leaves, locked.points = sums.leaves, sums.points
        locked.total_atomic, locked.added_atomic = sums.total_atomic, sums.added_atomic

    await run_in_platform(deps.database, store)


def _build(season: DropSeason, amounts: Sequence[tuple[str, int]]) -> tuple[Tree, list[tuple[str, int]]]:
    leaves = Leaves(season.chain_id, season.contract, season.token_address)
    hashes = {address: leaves.leaf(address, cumulative) for address, cumulative in amounts}
    tree = Tree(list(hashes.values()))
    return tree, [(address, tree.place_of(leaf)) for address, leaf in hashes.items()]


async def give_back(deps: PayoutDeps, terms: DropTerms, season: DropSeason, drop: Drop | None) -> bool:
    """Return held points, of one drop that is given up or of a season that is closed; whether there is more to do at once."""
    for _ in range(terms.chunks_a_turn):
        if not await run_in_platform(deps.database, _Return(season, drop, terms.chunk)):
            return False
    return True


class _Return:
    """One transaction: some leaves' points become available again, after what their accounts owe (SAFETY S13)."""

    def __init__(self, season: DropSeason, drop: Drop | None, limit: int) -> None:
        self._season = season
        self._drop = drop
        self._limit = limit

    async def __call__(self, session: PlatformSession) -> bool:
        program_id, now = self._season.program_id, await transaction_time(session)
        season = await repository.lock_season(session, program_id, self._season.id)
        drop = None
        if self._drop is None:
            if season.state != SeasonState.RETURNING:
                return False
        else:
            drop = await repository.lock_drop(session, program_id, self._drop.id, DropState.CANCELLING)
            if drop is None:
                return False
        async with program_scope(session, program_id):
            waiting = await repository.lock_waiting(
                session, program_id, season.id, None if drop is None else drop.id, self._limit
            )
            if waiting:
                await release(session, program_id, waiting, now)
                await repository.mark_leaves(session, program_id, waiting, LeafFate.RETURNED)
        if len(waiting) == self._limit:
            return True
        season.updated_at = now
        if drop is None:
            season.state = SeasonState.CLOSED
            await outbox.append(session, "drop_season.closed", {"season": str(season.id)}, program_id=program_id)
            return False
        drop.state, drop.updated_at = DropState.CANCELLED, now
        if season.state == SeasonState.PREPARING:
            season.state = SeasonState.CANCELLED
        await outbox.resolve_alert(session, alerts_drops.CANNOT_PUBLISH, str(drop.id))
        await outbox.append(session, "drop.cancelled", {"drop": str(drop.id), "reason": drop.reason}, program_id=program_id)
        return False


async def release(session: PlatformSession, program_id: UUID, leaves: Sequence[Waiting], now: datetime) -> None:
    """Make the points of leaves available again, after what their accounts owe (SAFETY S13)."""
    keys = {(leaf.asset_id, leaf.account_id) for leaf in leaves}
    balances = await ledger_repository.lock_account_balances(session, program_id, keys)
    debts = {key: balance.debt for key, balance in balances.items()}
    movements: list[Movement] = []
    for leaf in leaves:
        key, ref = (leaf.asset_id, leaf.account_id), leaf_ref(leaf.drop_id, leaf.address)
        repaid = min(debts[key], leaf.points)
        debts[key] -= repaid
        amounts = ((PostingKind.RELEASE, leaf.points), (PostingKind.REPAY, repaid), (PostingKind.SETTLE_DEBT, repaid))
        movements += [Movement(kind, ref, leaf.asset_id, amount, leaf.account_id) for kind, amount in amounts if amount]
    await ledger.post(session, program_id, movements, now)
