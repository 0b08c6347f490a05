"""Use case: run a campaign over past data. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from guerdon.earning import repository_campaigns, repository_volume
from guerdon.earning.campaign_config import terms_of_row
from guerdon.earning.campaigns import check
from guerdon.earning.errors import CampaignNotFoundError, InvalidCampaignError, SimulationTooLargeError
from guerdon.earning.schemas_campaigns import NewCampaign, SimulatedDay, SimulatedWinner, SimulationRequest, SimulationView
from guerdon.earning.simulation import SettledHistory, Simulation
from guerdon.earning.volume_terms import CampaignState, CampaignTerms, CampaignType, lookback_days
from guerdon.kit.database import ProgramSession
from guerdon.kit.ids import uuid7
from guerdon.programs.errors import ProgramNotFoundError

MOST_IN_A_REQUEST = 200_000
"""Settlements that one HTTP request looks at; the command line looks at all there are."""


async def simulate_new(
    session: ProgramSession, new: NewCampaign, asked: SimulationRequest, history: SettledHistory, now: datetime, most: int | None
) -> SimulationView:
    """The same for a campaign that was not made. Raises `InvalidCampaignError`."""
    config = new.config.stored()
    check(new.type, config, new.start_at, new.end_at)
    row = {"id": uuid7(), "name": new.name, "type": new.type.value, "config": config, "facilitator_id": new.facilitator_id}
    return await _simulate(session, _terms(row, new.start_at, new.end_at), asked, history, now, most)


async def simulate_known(
    session: ProgramSession,
    campaign_id: UUID,
    asked: SimulationRequest,
    history: SettledHistory,
    now: datetime,
    most: int | None,
) -> SimulationView:
    """What a campaign would have cost, had it been active from `since` to `until`; left out: as long as it is to last, up to now.

    Raises `CampaignNotFoundError`, `SimulationTooLargeError` for more than `most` settlements.
    """
    known = await repository_campaigns.campaign(session, session.program_id, campaign_id)
    if known is None:
        raise CampaignNotFoundError
    row = {name: getattr(known, name) for name in ("id", "name", "type", "config", "facilitator_id")}
    return await _simulate(session, _terms(row, known.start_at, known.end_at), asked, history, now, most)


def _terms(row: Mapping[str, Any], start_at: datetime, end_at: datetime) -> CampaignTerms:
    state = CampaignState.PUBLISHED.value
    return terms_of_row({**row, "version": 1, "state": state, "effective_from": start_at, "start_at": start_at, "end_at": end_at})


async def _simulate(
    session: ProgramSession,
    campaign: CampaignTerms,
    asked: SimulationRequest,
    history: SettledHistory,
    now: datetime,
    most: int | None,
) -> SimulationView:
    terms = await repository_volume.terms_of(session, session.program_id)
    if terms is None:
        raise ProgramNotFoundError
    until = asked.until or now
    since = asked.since or until - (campaign.end_at - campaign.start_at)
    if since >= until:
        raise InvalidCampaignError(
            "since has to be before until.", details=[{"field": "since", "message": "has to be before until"}]
        )
    simulation, seen = Simulation(terms, campaign, since, until), 0
    async for piece in history(session, since - timedelta(days=lookback_days(terms)), until):
        seen += len(piece)
        if most is not None and seen > most:
            raise SimulationTooLargeError(details={"most": most})
        for settled in piece:
            simulation.add(settled)
    result = simulation.result()
    return SimulationView(
        since=since,
        until=until,
        type=CampaignType(campaign.type),
        settlements=result.settlements,
        volume_micro_usd=result.volume_micro_usd,
        base_points=result.base_points,
        cost_points=result.cost_points,
        participants=result.participants,
        winners=[SimulatedWinner(account_id=account, points=points) for account, points in result.winners],
        days=[
            SimulatedDay(day=day.isoformat(), points=points, settlements=settlements, participants=joined)
            for day, points, settlements, joined in result.days
        ],
    )
