"""What is included becomes final, moves to another block, or is reorganised away and taken back (SAFETY S24, S34).

Nothing is concluded from one answer that is missing: a payment is gone only where another block is finally at its height, and
the same node at the same time has its transaction in none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from guerdon.activity.settlements import repository_hints, repository_settlements, repository_sources
from guerdon.activity.settlements.assets import Listed, listed
from guerdon.activity.settlements.deps import ChainReader, SettlementDeps
from guerdon.activity.settlements.models import Settlement, SettlementState
from guerdon.activity.settlements.names import Network
from guerdon.activity.settlements.proofs import Answer, Landed, NotIncluded, Payment
from guerdon.activity.settlements.repository_hints import NewHint
from guerdon.activity.settlements.sources import known_networks
from guerdon.earning.volume_life import finalise
from guerdon.earning.volume_terms import Held
from guerdon.earning.volume_undoing import undo
from guerdon.kit.database import ProgramSession, run_in_program, transaction_time
from guerdon.kit.errors import GuerdonError
from guerdon.kit.outbox import append

log = structlog.get_logger("guerdon.settlements")

PAYMENTS_A_ROUND: Final = 200
ROUNDS_A_TURN: Final = 20
REORGANISED: Final = "reorganised"
_SOONEST: Final = timedelta(seconds=1)
_LATEST: Final = timedelta(seconds=15)
_BLOCKS_BETWEEN_LOOKS: Final = 3
_DOWN: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class _Look:
    """What the chain says of some transactions, and which of them are finally gone."""

    network: Network
    answers: Mapping[str, Answer]
    gone: frozenset[str]


async def watch(deps: SettlementDeps, program_id: UUID) -> timedelta | None:
    """A program's turn. When to look again; None if nothing waits to become final."""
    async with deps.database.program(program_id) as session:
        names = await repository_settlements.networks_included(session, program_id)
        networks = await known_networks(session)
        block_times = {row.name: row.block_time_ms for row in await repository_sources.networks(session)}
        # Also those that count no more: what was paid in them was.
        assets = listed(await repository_sources.settlement_assets(session))
    waits: list[timedelta] = []
    for name in names:
        network = networks.by_name.get(name)
        if network is None:
            continue
        try:
            await _watch_network(deps, program_id, network, assets.get(name, {}))
        except GuerdonError as error:
            log.warning("settlements.network_unavailable", network=name, code=error.code)
            waits.append(_DOWN)
        else:
            blocks = timedelta(milliseconds=block_times.get(name, 0) * _BLOCKS_BETWEEN_LOOKS)
            waits.append(min(max(blocks, _SOONEST), _LATEST))
    return min(waits, default=None)


async def _watch_network(deps: SettlementDeps, program_id: UUID, network: Network, assets: Mapping[str, Listed]) -> None:
    reader = await deps.reader(network)
    final = await reader.final_block()
    place = repository_settlements.BEFORE_ALL
    for _ in range(ROUNDS_A_TURN):
        async with deps.database.program(program_id) as session:
            # Each once a turn: what the node can't tell of does not keep what comes after it.
            waiting, place = await repository_settlements.included(
                session, program_id, network.name, final, place, PAYMENTS_A_ROUND
            )
            rows = await repository_settlements.of_transactions(session, program_id, network.name, list(waiting))
            seen = {row.transaction_hash: (row.block_number, row.block_hash) for row in rows}
        if not seen:
            return
        look = await _look(reader, network, seen, assets)

        async def work(session: ProgramSession, look: _Look = look) -> None:
            await _move(session, program_id, look)

        await run_in_program(deps.database, program_id, work)


async def _look(
    reader: ChainReader, network: Network, seen: Mapping[str, tuple[int, str]], assets: Mapping[str, Listed]
) -> _Look:
    answers = await reader.ask(list(seen), assets)
    missing = {one: seen[one] for one, answer in answers.items() if isinstance(answer, NotIncluded)}
    gone = await reader.gone(missing) if missing else set[str]()
    if missing.keys() - gone:
        log.warning("settlements.node_unsure", network=network.name, transactions=len(missing.keys() - gone))
    return _Look(network, answers, frozenset(gone))


async def _move(session: ProgramSession, program_id: UUID, look: _Look) -> None:
    """Write down what changed."""
    now = await transaction_time(session)
    rows = await repository_settlements.of_transactions(session, program_id, look.network.name, list(look.answers))
    final: list[Settlement] = []
    gone: list[Settlement] = []
    for row in rows:
        if row.state != SettlementState.INCLUDED:
            continue
        answer = look.answers[row.transaction_hash]
        if isinstance(answer, Landed):
            if (row.block_number, row.block_hash) != (answer.block_number, answer.block_hash):
                row.block_number, row.block_hash, row.updated_at = answer.block_number, answer.block_hash, now
            if answer.is_final:
                (final if _is_there(row, answer.payments) else gone).append(row)
        elif row.transaction_hash in look.gone:
            gone.append(row)
    for state, some in ((SettlementState.FINAL, final), (SettlementState.REORGANISED, gone)):
        for row in some:
            row.state, row.updated_at = state, now
            row.why_not = REORGANISED if state is SettlementState.REORGANISED else row.why_not
    await session.flush()
    await _book(session, program_id, final, gone, now)


async def _book(
    session: ProgramSession, program_id: UUID, final: Sequence[Settlement], gone: Sequence[Settlement], now: datetime
) -> None:
    # Both before either, were they of one account: booking locks accounts in their order each time.
    undone = [row.id for row in gone if row.account_id is not None]
    if undone:
        await undo(session, program_id, undone, Held.REORGANISED, now)
    await finalise(session, program_id, [row.id for row in final if row.account_id is not None], now)
    for row in gone:
        facts = {"settlementId": str(row.id), "network": row.network, "transactionHash": row.transaction_hash}
        await append(session, "settlement.reorganised", facts, program_id=program_id)
    # It may come again in another block.
    again = {
        (row.source_id, row.network, row.transaction_hash): NewHint(row.source_id, row.network, row.transaction_hash, {})
        for row in gone
    }
    await repository_hints.watch_again(session, program_id, list(again.values()), now)


def _is_there(row: Settlement, payments: Sequence[Payment]) -> bool:
    """Is the payment in the transaction as it was: run in another block, it may have ended otherwise."""
    wanted = (row.place, row.asset_address, row.payer, row.payee, row.amount_atomic)
    return any((one.place, one.asset, one.payer, one.payee, one.amount) == wanted for one in payments)
