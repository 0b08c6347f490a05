"""What the chain has of a published season: claims are delivered in the books when they are final, by ranges of blocks with a
stored cursor; after the window the season is closed, and what nobody took is given back when that is final (SAFETY S24, S31).

A range counts only if what the contract says it paid is what its logs add up to: a node that lags tells of no logs at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid5

import structlog

from guerdon.chains import answers, drop_contract
from guerdon.chains.drop_contract import ChainSeason
from guerdon.chains.port import ChainUnavailableError, Log, RpcError
from guerdon.kit import outbox
from guerdon.kit.database import PlatformSession, program_scope, run_in_platform, transaction_time
from guerdon.kit.outbox import Severity
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.payouts import alerts_drops
from guerdon.payouts import repository_drops as repository
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.drops import leaf_ref, unix
from guerdon.payouts.drops_publishing import retry_after
from guerdon.payouts.models_drops import WORK, DropSeason, LeafFate, SeasonState
from guerdon.payouts.terms_drops import DropTerms
from guerdon.txmanager import repository_treasuries, tokens, treasuries
from guerdon.txmanager import service as txmanager
from guerdon.txmanager.chain import Rpc
from guerdon.txmanager.errors import IntentNotCancellableError
from guerdon.txmanager.models import Intent, IntentState, Treasury
from guerdon.txmanager.treasuries import Finality

CLOSE: Final = "close_drop"

log = structlog.get_logger("guerdon.drops")


@dataclass(frozen=True, slots=True)
class _Final:
    """The finalized block and the season after it."""

    number: int
    timestamp: int
    season: ChainSeason


async def watch(deps: PayoutDeps, terms: DropTerms, season: DropSeason) -> bool:
    """Deliver what was claimed, close what is over; whether there is more to do at once."""
    rpc = await deps.chain(season.network)
    final = await _final(rpc, season)
    more = await _scan(deps, terms, rpc, season, final)
    if not more and season.state == SeasonState.OPEN and final.timestamp >= unix(season.closes_at):
        await _ask_to_close(deps, season, final)
    elif not more and season.state == SeasonState.CLOSING:
        await _follow_close(deps, terms, season, final)
    return more


async def _final(rpc: Rpc, season: DropSeason) -> _Final:
    (block,) = await rpc.batch([("eth_getBlockByNumber", ("finalized", False))])
    head = answers.head(_sure(block))
    data = drop_contract.season_of_call(season.chain_season)
    return _Final(
        head.number, head.timestamp, drop_contract.read_season(await tokens.read(rpc, season.contract, data, hex(head.number)))
    )


async def _scan(deps: PayoutDeps, terms: DropTerms, rpc: Rpc, season: DropSeason, final: _Final) -> bool:
    """Read claims up to the finalized block, range by range; whether some are left for the next turn."""
    scanned = season.scanned_block or 0
    for _ in range(terms.ranges_a_turn):
        if scanned >= final.number:
            return False
        last = min(scanned + terms.scan_blocks, final.number)
        logs = await _logs(rpc, season, scanned + 1, last)
        closed = any(drop_contract.is_closed(one) for one in logs)
        if closed and not final.season.closed:
            message = "logs tell that it is closed, and the contract that it is not"
            raise ClaimsDifferError(message)
        finality = await _treasury_finality(deps, rpc, season) if closed else None
        # A closed season pays no more, so what it says later is what it said when it closed.
        expected = final.season if last == final.number or closed else None
        taken = await run_in_platform(deps.database, _Range(season, scanned, last, logs, expected, finality))
        if not taken:
            return False
        scanned = last
    return scanned < final.number


async def _logs(rpc: Rpc, season: DropSeason, first: int, last: int) -> list[Log]:
    topics = [[drop_contract.CLAIMED_TOPIC, drop_contract.CLOSED_TOPIC], season.chain_season]
    query = {"address": season.contract, "topics": topics, "fromBlock": hex(first), "toBlock": hex(last)}
    (answer,) = await rpc.batch([("eth_getLogs", (query,))])
    found = answers.logs(_sure(answer))
    wanted = season.contract.lower()
    return [
        one for one in found
        if one.address.lower() == wanted and one.topics[1:2] == (season.chain_season,) and first <= one.block_number <= last
    ]  # fmt: skip


async def _treasury_finality(deps: PayoutDeps, rpc: Rpc, season: DropSeason) -> Finality:
    async with deps.database.platform() as session:
        treasury = await session.get_one(Treasury, season.treasury_id, populate_existing=True)
    return await tokens.finality(rpc, season.token_address, treasury.address)


class _DifferError(Exception):
    """What the chain says can't be what was published."""


class _Range:
    """One transaction: the claims of a range of final blocks are delivered, and the cursor moves past it."""

    def __init__(
        self,
        season: DropSeason,
        scanned: int,
        last: int,
        logs: Sequence[Log],
        expected: ChainSeason | None,
        finality: Finality | None,
    ) -> None:
        self._season = season
        self._scanned = scanned
        self._last = last
        self._logs = logs
        self._expected = expected
        """What the contract says after the range, where it was asked."""
        self._finality = finality

    async def __call__(self, session: PlatformSession) -> bool:
        treasury = None
        if self._finality is not None:
            treasury = await repository_treasuries.lock_treasury(session, self._season.treasury_id)
        season = await repository.lock_season(session, self._season.program_id, self._season.id)
        if season.state not in {SeasonState.OPEN, SeasonState.CLOSING} or season.scanned_block != self._scanned:
            return False
        try:
            async with program_scope(session, season.program_id):
                delivered = await self._deliver(session, season)
            season.claimed_atomic += delivered
            self._compare(season)
        except _DifferError as error:
            # Nothing of the range is kept; the alert is written by a transaction of its own.
            raise ClaimsDifferError(str(error)) from error
        season.scanned_block = self._last
        season.updated_at = await transaction_time(session)
        if treasury is not None and self._finality is not None:
            await self._returned(session, season, treasury, self._finality)
        await outbox.resolve_alert(session, alerts_drops.CLAIMS_DIFFER, str(season.id))
        if delivered:
            told = {"season": str(season.id), "amountAtomic": str(delivered), "block": self._last}
            await outbox.append(session, "drop.claims_delivered", told, program_id=season.program_id)
        return True

    async def _deliver(self, session: PlatformSession, season: DropSeason) -> int:
        """Atomic units of what was not delivered yet. One set of postings: accounts are locked in one order (S15)."""
        movements: list[Movement] = []
        delivered = 0
        for log in self._logs:
            claimed = drop_contract.read_claimed(log)
            if claimed is None:
                continue
            above = claimed.cumulative - claimed.amount
            leaves, paid_for = await repository.lock_claimed(
                session, season.program_id, season.id, claimed.account.lower(), above, claimed.cumulative
            )
            if paid_for != claimed.amount:
                what = f"{claimed.account} was paid {claimed.amount} in {log.transaction_hash}, and its leaves say {paid_for}"
                raise _DifferError(what)
            movements += [
                Movement(PostingKind.DELIVER, leaf_ref(leaf.drop_id, leaf.address), leaf.asset_id, leaf.points, leaf.account_id)
                for leaf in leaves
            ]
            await repository.mark_leaves(session, season.program_id, leaves, LeafFate.CLAIMED, log.transaction_hash)
            delivered += sum(leaf.amount_atomic for leaf in leaves)
        await ledger.post(session, season.program_id, movements, await transaction_time(session))
        return delivered

    def _compare(self, season: DropSeason) -> None:
        if self._expected is not None and self._expected.paid != season.claimed_atomic:
            what = f"{self._expected.paid} were paid up to block {self._last}, and logs tell of {season.claimed_atomic}"
            raise _DifferError(what)

    async def _returned(self, session: PlatformSession, season: DropSeason, treasury: Treasury, finality: Finality) -> None:
        season.state, season.closed_block = SeasonState.RETURNING, self._last
        treasuries.note_balance(treasury, finality)
        if season.close_intent_id is not None:
            intent = await session.get_one(Intent, season.close_intent_id, populate_existing=True)
            if intent.state == IntentState.QUEUED:
                await _cancel_quietly(session, intent)
        await outbox.resolve_alert(session, alerts_drops.CANNOT_CLOSE, str(season.id))
        await treasuries.wake_waiting(session)


class ClaimsDifferError(Exception):
    """Rolls a range back; what differs is told, and nothing is delivered or given back until the two agree."""


async def tell_differs(deps: PayoutDeps, season: DropSeason, what: str) -> None:
    """An operator hears; the season is read again from its first root on, since a log may have been missed (delivering again
    changes nothing).
    """

    async def tell(session: PlatformSession) -> None:
        locked = await repository.lock_season(session, season.program_id, season.id)
        if locked.published_block is not None:
            locked.scanned_block = locked.published_block - 1
        await outbox.raise_alert(
            session,
            alerts_drops.CLAIMS_DIFFER,
            str(season.id),
            severity=Severity.CRITICAL,
            program_id=season.program_id,
            message=f"season {season.id} on {season.network}: {what}",
            remedy="Nothing of it is delivered or given back until chain and logs agree. A node that lags or lost logs is the "
            "likely cause: give the network another RPC address; `guerdon doctor` tells what its node says.",
        )

    await run_in_platform(deps.database, tell)
    log.error("drops.claims_differ", season=str(season.id), what=what)


async def _cancel_quietly(session: PlatformSession, intent: Intent) -> None:
    try:
        await txmanager.cancel(session, intent.id, "the season is closed already")
    except IntentNotCancellableError:
        # It has a nonce: it reverts on chain, which costs gas and nothing else.
        log.info("drops.close_sent_in_vain", intent=str(intent.id))


async def _ask_to_close(deps: PayoutDeps, season: DropSeason, final: _Final) -> None:
    """Queue the transaction that returns what nobody took; somebody else may be quicker, which comes to the same."""
    if final.season.closed or final.timestamp < final.season.closes:
        # Closed by somebody, which the logs tell next; or a later root is final and not settled here yet.
        return

    async def ask(session: PlatformSession) -> None:
        treasury = await repository_treasuries.lock_treasury(session, season.treasury_id)
        locked = await repository.lock_season(session, season.program_id, season.id)
        if locked.state != SeasonState.OPEN or locked.closes_at != season.closes_at:
            return
        await _queue_close(session, treasury, locked)

    await run_in_platform(deps.database, ask)


async def _queue_close(session: PlatformSession, treasury: Treasury, season: DropSeason) -> None:
    season.close_intent_id = await txmanager.queue(
        session,
        key_id=treasury.key_id,
        network=season.network,
        kind=CLOSE,
        to=season.contract,
        data=drop_contract.close_call(season.chain_season),
        ref=uuid5(season.id, f"close {season.attempts}"),
        work_kind=WORK,
    )
    season.state, season.retry_at, season.updated_at = SeasonState.CLOSING, None, await transaction_time(session)


async def _follow_close(deps: PayoutDeps, terms: DropTerms, season: DropSeason, final: _Final) -> None:
    async def look(session: PlatformSession) -> None:
        treasury = await repository_treasuries.lock_treasury(session, season.treasury_id)
        locked = await repository.lock_season(session, season.program_id, season.id)
        if locked.state != SeasonState.CLOSING or locked.close_intent_id is None:
            return
        intent = await session.get_one(Intent, locked.close_intent_id, populate_existing=True)
        now = await transaction_time(session)
        if intent.state in {IntentState.FAILED, IntentState.VOID} and not final.season.closed:
            if locked.retry_at is None:
                locked.attempts += 1
                locked.retry_at = now + retry_after(terms, locked.attempts)
            elif locked.retry_at <= now:
                await _queue_close(session, treasury, locked)
        why = intent.error or intent.held_back or f"its transaction is {intent.state}"
        if final.timestamp >= unix(locked.closes_at) + terms.late_seconds and not final.season.closed:
            await outbox.raise_alert(
                session,
                alerts_drops.CANNOT_CLOSE,
                str(locked.id),
                severity=Severity.WARNING,
                program_id=locked.program_id,
                message=f"season {locked.id} is over and not closed: {why}",
                remedy=f"It goes on by itself once that is mended; `guerdon drop show {locked.id}` tells where it stands. "
                "Anyone may call `close` of the contract, too.",
            )

    await run_in_platform(deps.database, look)


def _sure(answer: Any) -> Any:
    if isinstance(answer, RpcError):
        raise ChainUnavailableError(str(answer)) from answer
    return answer
