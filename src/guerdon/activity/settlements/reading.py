"""The step that reads sources which do not report, or whose reports may be lost: databases, and the chain by its signers.

What is found becomes hints, as reports do; the cursor moves in the same transaction, so that nothing is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from guerdon.activity.settlements import ranges, repository_hints, repository_sources, rows
from guerdon.activity.settlements.assets import listed
from guerdon.activity.settlements.deps import SettlementDeps
from guerdon.activity.settlements.models import Source, SourceKind
from guerdon.activity.settlements.names import Network, Networks
from guerdon.activity.settlements.reporting import hint_of
from guerdon.activity.settlements.repository_hints import NewHint
from guerdon.activity.settlements.rows import Page, RowsUnreadableError
from guerdon.activity.settlements.solana import Place, read_signer
from guerdon.activity.settlements.sources import known_networks, open_location
from guerdon.activity.settlements.webhooks import Report
from guerdon.activity.settlements.work import PROVE
from guerdon.chains.networks import EIP155
from guerdon.kit.database import ProgramSession, run_in_program, transaction_time
from guerdon.kit.errors import GuerdonError
from guerdon.kit.jobs import wake

log = structlog.get_logger("guerdon.settlements")

PAGES_A_TURN: Final = 20
_AGAIN: Final = timedelta(seconds=10)
_DOWN: Final = timedelta(minutes=1)
_LONGEST_ERROR: Final = 200


async def read(deps: SettlementDeps, program_id: UUID) -> timedelta | None:
    """A program's turn: a part of each of its sources. When to come again; None if none of them is read."""
    async with deps.database.program(program_id) as session:
        sources = [one for one in (await repository_sources.sources(session, program_id)).values() if one.enabled]
        networks = await known_networks(session)
        assets = listed(await repository_sources.settlement_assets(session, enabled_only=True))
    waits: list[timedelta] = []
    for source in sources:
        if source.location_encrypted is not None:
            waits.append(await _guarded(deps, source, _read_rows(deps, source, networks)))
        if source.reads_chain:
            for name, signers in sorted(source.signers.items()):
                network = networks.by_name.get(name)
                if network is not None:
                    step = _read_chain(deps, source, network, (sorted(assets.get(name, {})), signers))
                    waits.append(await _guarded(deps, source, step))
    return min(waits, default=None)


async def _guarded(deps: SettlementDeps, source: Source, step: Any) -> timedelta:
    """Run a step; what went wrong is shown with the source, and the others go on."""
    problem: str | None = None
    try:
        more = await step
        wait = timedelta(0) if more else _AGAIN
    except (GuerdonError, RowsUnreadableError) as error:
        log.warning("settlements.source_unreadable", source=str(source.id), problem=str(error)[:_LONGEST_ERROR])
        problem, wait = str(error)[:_LONGEST_ERROR], _DOWN

    async def work(session: ProgramSession) -> None:
        now = await transaction_time(session)
        values: dict[str, Any] = {"read_error": problem} if problem else {"read_error": None, "read_at": now}
        await repository_sources.set_source(session, source.program_id, source.id, values)

    await run_in_program(deps.database, source.program_id, work)
    return wait


async def _read_rows(deps: SettlementDeps, source: Source, networks: Networks) -> bool:
    location = open_location(deps.ring, source)
    cursor: Mapping[str, Any] = source.cursor.get("rows", {})
    networks = networks.renamed(source.network_names)
    for _ in range(PAGES_A_TURN):
        async with deps.database.program(source.program_id) as session:
            now = await transaction_time(session)
        page: Page = (
            await rows.read_postgres(location or "", source.facilitator_id, cursor)
            if source.kind == SourceKind.POSTGRES
            else await rows.read_sqlite(location or "", source.facilitator_id, cursor, now)
        )
        found = [hint_of(source.id, networks, report) for report in page.reports]
        hints = [one for one in found if isinstance(one, NewHint)]
        await _keep(deps, source, hints, ("rows",), page.cursor)
        cursor = page.cursor
        if not page.more:
            return False
    return True


async def _read_chain(
    deps: SettlementDeps, source: Source, network: Network, wanted: tuple[Sequence[str], Sequence[str]]
) -> bool:
    assets, signers = wanted
    if network.namespace != EIP155:
        return await _read_signers(deps, source, network, signers)
    places: Mapping[str, int] = source.cursor.get("chain", {}).get(network.name, {})
    rpc = await deps.chains(network.name)
    sent = await ranges.read_ranges(rpc, assets, signers, places)
    networks = Networks.of([network])
    reports = [Report(network.name, one, {"event": "chain"}) for one in sent.transactions]
    hints = [one for one in (hint_of(source.id, networks, report) for report in reports) if isinstance(one, NewHint)]
    await _keep(deps, source, hints, ("chain", network.name), sent.places)
    return sent.more


async def _read_signers(deps: SettlementDeps, source: Source, network: Network, signers: Sequence[str]) -> bool:
    client = await deps.chains.solana(network.name)
    cursor: dict[str, Any] = dict(source.cursor.get("chain", {}).get(network.name, {}))
    networks, more = Networks.of([network]), False
    for signer in signers:
        known: Mapping[str, Any] = cursor.get(signer, {"from_slot": cursor["from_slot"]} if "from_slot" in cursor else {})
        found, place, goes_on = await read_signer(client, signer, Place(**known))
        more = more or goes_on
        cursor[signer] = {name: value for name, value in asdict(place).items() if value is not None}
        reports = [Report(network.name, one, {"event": "chain"}) for one in found]
        hints = [one for one in (hint_of(source.id, networks, report) for report in reports) if isinstance(one, NewHint)]
        await _keep(deps, source, hints, ("chain", network.name), cursor)
    return more


async def _keep(
    deps: SettlementDeps, source: Source, hints: Sequence[NewHint], path: Sequence[str], cursor: Mapping[str, Any]
) -> None:
    """Keep what was found and how far reading has come, together."""

    async def work(session: ProgramSession) -> None:
        now = await transaction_time(session)
        found = await repository_hints.put_hints(session, source.program_id, hints, now)
        await repository_sources.set_cursor(session, source.program_id, source.id, path, cursor, now)
        if found:
            await wake(session, PROVE, source.program_id)

    await run_in_program(deps.database, source.program_id, work)
