"""The step from reports to points: the chain is asked about many transactions at once, and what it proves is credited.

No transaction of the database is open while the chain is asked. What one report is about spoils no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from guerdon.activity.settlements import crediting, repository_hints, repository_sources
from guerdon.activity.settlements.assets import Listed, listed
from guerdon.activity.settlements.crediting import Proven, Surroundings
from guerdon.activity.settlements.deps import SettlementDeps
from guerdon.activity.settlements.models import HintState, SettlementHint, Source
from guerdon.activity.settlements.names import Networks
from guerdon.activity.settlements.proofs import Unclear, Verdict, judge, pause
from guerdon.activity.settlements.repository_hints import HintNews
from guerdon.activity.settlements.sources import known_networks
from guerdon.activity.settlements.work import WATCH
from guerdon.kit.database import UNIQUE_VIOLATION, ProgramSession, run_in_program, sqlstate, transaction_time
from guerdon.kit.errors import DatabaseUnavailableError, GuerdonError
from guerdon.kit.jobs import wake
from guerdon.ledger.errors import NotEnoughPointsError

log = structlog.get_logger("guerdon.settlements")

HINTS_A_ROUND: Final = 200
ROUNDS_A_TURN: Final = 10
"""Then it is the turn of others."""
PAYMENTS_A_TRANSACTION: Final = 500
_DOWN: Final = timedelta(seconds=30)
_LONGEST_DOWN: Final = timedelta(minutes=10)
_SPOILED: Final = timedelta(hours=1)
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class _Round:
    """Some reports whose turn it is, and what is known about them."""

    hints: Sequence[SettlementHint]
    sources: Mapping[UUID, Source]
    networks: Networks
    assets: Mapping[str, Mapping[str, Listed]]
    now: datetime


@dataclass(frozen=True, slots=True)
class _Judged:
    """A report, what came of it, and by which signers."""

    hint: SettlementHint
    verdict: Verdict
    signers: tuple[str, ...]

    @property
    def payments(self) -> int:
        return 0 if self.verdict.proof is None else len(self.verdict.proof.payments)


@dataclass(slots=True)
class _Down:
    """Networks that could not be asked this turn."""

    networks: set[str] = field(default_factory=set[str])


async def prove(deps: SettlementDeps, program_id: UUID) -> datetime | None:
    """A program's turn. When to come again; None once there is nothing left to ask about."""
    down = _Down()
    for _ in range(ROUNDS_A_TURN):
        turn = await _load(deps, program_id)
        if not turn.hints:
            break
        judged = await _ask(deps, turn, down)
        for some in _slices(judged):
            await _write(deps, program_id, some, turn)
        if len(turn.hints) < HINTS_A_ROUND:
            break
    async with deps.database.program(program_id) as session:
        return await repository_hints.next_due(session, program_id)


async def _load(deps: SettlementDeps, program_id: UUID) -> _Round:
    async with deps.database.program(program_id) as session:
        now = await transaction_time(session)
        hints = await repository_hints.due_hints(session, program_id, now, HINTS_A_ROUND)
        sources = await repository_sources.sources(session, program_id) if hints else {}
        networks = await known_networks(session)
        assets = listed(await repository_sources.settlement_assets(session, enabled_only=True))
    return _Round(hints, sources, networks, assets, now)


async def _ask(deps: SettlementDeps, turn: _Round, down: _Down) -> list[_Judged]:
    """The verdict on each report; the transactions of a network in as few requests as can be."""
    by_network: dict[str, list[SettlementHint]] = {}
    for hint in turn.hints:
        by_network.setdefault(hint.network, []).append(hint)
    judged: list[_Judged] = []
    for name, hints in by_network.items():
        network = turn.networks.by_name.get(name)
        try:
            if network is None or name in down.networks:
                judged += [_later(hint, turn, "the network can't be asked now") for hint in hints]
                continue
            reader = await deps.reader(network)
            found = await reader.ask(list({hint.transaction_hash for hint in hints}), turn.assets.get(name, {}))
        except GuerdonError as error:
            # An error is no knowledge: nothing is concluded from it, and others' networks may answer.
            log.warning("settlements.network_unavailable", network=name, code=error.code)
            down.networks.add(name)
            judged += [_later(hint, turn, error.message) for hint in hints]
            continue
        for hint in hints:
            signers = _signers(turn.sources.get(hint.source_id), name)
            answer = found.get(hint.transaction_hash, Unclear("the node said nothing of it"))
            verdict = judge(answer, signers, received_at=hint.received_at, attempts=hint.attempts, now=turn.now)
            judged.append(_Judged(hint, verdict, signers))
    return judged


def _later(hint: SettlementHint, turn: _Round, why: str) -> _Judged:
    # Ever more rarely, or a network that is down for long would have all its reports written anew all the time.
    due_at = turn.now + min(max(pause(hint.attempts), _DOWN), _LONGEST_DOWN)
    verdict = Verdict(HintState(hint.state), why[:200], due_at, hint.attempts + 1)
    return _Judged(hint, verdict, _signers(turn.sources.get(hint.source_id), hint.network))


def _signers(source: Source | None, network: str) -> tuple[str, ...]:
    return tuple(source.signers.get(network, ())) if source is not None and source.enabled else ()


def _slices(judged: Sequence[_Judged]) -> list[list[_Judged]]:
    """Parts that one transaction can take: a transaction on chain may carry many payments."""
    found: list[list[_Judged]] = []
    payments = 0
    for one in judged:
        if not found or payments + one.payments > PAYMENTS_A_TRANSACTION:
            found.append([])
            payments = 0
        found[-1].append(one)
        payments += one.payments
    return found


async def _write(deps: SettlementDeps, program_id: UUID, judged: Sequence[_Judged], turn: _Round) -> None:
    """Credit what is proven and write down what became of the reports; what fails all the same is halved, down to one."""

    async def work(session: ProgramSession) -> None:
        await _settle(session, program_id, judged, turn)

    try:
        await credited(deps, program_id, work)
    except DatabaseUnavailableError:
        raise
    except Exception as error:
        if len(judged) > 1:
            half = len(judged) // 2
            await _write(deps, program_id, judged[:half], turn)
            await _write(deps, program_id, judged[half:], turn)
            return
        log.exception("settlements.not_credited", transaction=judged[0].hint.transaction_hash)
        reason = f"could not be credited: {type(error).__name__}"
        async with deps.database.program(program_id) as session:
            news = _news(judged[0], Verdict(HintState.WATCHING, reason, turn.now + _SPOILED, judged[0].hint.attempts + 1))
            await repository_hints.tell(session, program_id, [news], turn.now)


async def credited(deps: SettlementDeps, program_id: UUID, work: object) -> None:
    """Run a crediting transaction, again where funds went elsewhere, or another kept the same payments, while it decided."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await run_in_program(deps.database, program_id, work)  # type: ignore[arg-type]
        except Exception as error:
            again = isinstance(error, NotEnoughPointsError) or sqlstate(error) == UNIQUE_VIOLATION
            if not again or attempt == _ATTEMPTS:
                raise
        else:
            return


async def _settle(session: ProgramSession, program_id: UUID, judged: Sequence[_Judged], turn: _Round) -> None:
    now = await transaction_time(session)
    sources = await repository_sources.sources(session, program_id)
    # Judged by signers that were changed meanwhile: its turn comes again, with the present ones.
    valid = [one for one in judged if _signers(sources.get(one.hint.source_id), one.hint.network) == one.signers]
    proven: dict[tuple[str, str], Proven] = {}
    for one in sorted(valid, key=lambda one: one.hint.received_at):
        proof = one.verdict.proof
        if proof is not None:
            network = turn.networks.by_name[one.hint.network]
            proven.setdefault((network.name, proof.transaction_hash), Proven(network, one.hint.source_id, proof))
    around = Surroundings(turn.networks, sources, turn.assets, now)
    await crediting.credit_proven(session, program_id, list(proven.values()), around)
    await repository_hints.tell(session, program_id, [_news(one, one.verdict) for one in valid], now)
    if any(not one.landed.is_final for one in proven.values()):
        await wake(session, WATCH, program_id)


def _news(one: _Judged, verdict: Verdict) -> HintNews:
    key = (one.hint.source_id, one.hint.network, one.hint.transaction_hash)
    return HintNews(key, verdict.state, verdict.reason, verdict.due_at, verdict.attempts)
