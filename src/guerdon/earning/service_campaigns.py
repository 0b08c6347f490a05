"""Use cases of campaigns: what an operator does with them. Nothing here commits.

A change of a published campaign is a new version, effective from now by the time of the blocks: what was earned stays. What
points are claimed at meanwhile is `conversion.py`; whatever publishes a campaign or changes one may raise its errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from guerdon.earning import conversion
from guerdon.earning import repository_campaigns as repository
from guerdon.earning.campaigns import check, check_promises, is_active, shown_state
from guerdon.earning.errors import CampaignNotFoundError, CampaignStateError
from guerdon.earning.models_volume import CampaignRow
from guerdon.earning.schemas_campaigns import CampaignConfig, CampaignFacts, CampaignFields, CampaignView, NewCampaign
from guerdon.earning.volume_terms import MILLION, CampaignState, CampaignType
from guerdon.kit.database import ProgramSession, ScopedSession
from guerdon.kit.ids import uuid7
from guerdon.kit.jobs import wake
from guerdon.kit.outbox import append

FREEZE = "campaigns.freeze"
"""The work that shares pools out when they have ended."""
_NOT_PUBLIC: dict[str, None] = {"max_budget_points": None, "max_points_per_payer": None, "settle_seconds": None}
"""What members are not told of a campaign's configuration."""
_LIVE = (CampaignState.PUBLISHED, CampaignState.PAUSED)


async def add_campaign(session: ProgramSession, new: NewCampaign, now: datetime) -> CampaignView:
    """Make a campaign: a draft, or published at once. Raises `InvalidCampaignError`."""
    config = new.config.stored()
    check(new.type, config, new.start_at, new.end_at)
    row = await repository.insert_campaign(
        session,
        {
            "program_id": session.program_id,
            "id": uuid7(),
            "name": new.name,
            "description": new.description,
            "type": new.type.value,
            "facilitator_id": new.facilitator_id,
            "config": config,
            "start_at": new.start_at,
            "end_at": new.end_at,
            "state": CampaignState.DRAFT.value,
            "version": 0,
            "created_at": now,
            "updated_at": now,
        },
    )
    if new.active:
        return await publish(session, row.id, now)
    return await view(session, row, now)


async def put_campaign(session: ProgramSession, campaign_id: UUID, fields: CampaignFields, now: datetime) -> CampaignView:
    """Change what is said of a campaign. A published one has a new version from now on.

    Raises `CampaignNotFoundError`, `InvalidCampaignError`, `CampaignStateError`, `CampaignPromisedError`.
    """
    row = await _locked(session, campaign_id)
    if row.state == CampaignState.DRAFT:
        values = _changed(row, fields)
        check(CampaignType(row.type), values["config"], values["start_at"], values["end_at"])
        row = await _updated(session, campaign_id, values | {"updated_at": now})
        return await publish(session, campaign_id, now) if fields.active else await view(session, row, now)
    _require(row, now, *_LIVE)
    values = _changed(row, fields)
    check(CampaignType(row.type), values["config"], values["start_at"], values["end_at"])
    check_promises(CampaignType(row.type), row.config, values["config"], (row.end_at, values["end_at"]))
    state = CampaignState(row.state)
    if fields.active is not None:
        state = CampaignState.PUBLISHED if fields.active else CampaignState.PAUSED
    return await _new_version(session, row, values, state, now)


async def publish(session: ProgramSession, campaign_id: UUID, now: datetime) -> CampaignView:
    """Let a draft count for what is settled from now on, within its dates."""
    row = await _locked(session, campaign_id)
    if row.state != CampaignState.DRAFT or row.end_at <= now:
        raise CampaignStateError(_why_not(row, now), details={"state": shown_state(row.state, row.end_at, now)})
    return await _new_version(session, row, {}, CampaignState.PUBLISHED, now)


async def pause(session: ProgramSession, campaign_id: UUID, now: datetime) -> CampaignView:
    """Let a published campaign count for nothing that is settled from now on, until it is resumed."""
    row = await _locked(session, campaign_id)
    _require(row, now, CampaignState.PUBLISHED)
    return await _new_version(session, row, {}, CampaignState.PAUSED, now)


async def resume(session: ProgramSession, campaign_id: UUID, now: datetime) -> CampaignView:
    """Let a paused campaign count again from now on."""
    row = await _locked(session, campaign_id)
    _require(row, now, CampaignState.PAUSED)
    return await _new_version(session, row, {}, CampaignState.PUBLISHED, now)


async def end(session: ProgramSession, campaign_id: UUID, now: datetime) -> CampaignView:
    """End a campaign before its time; a pool is shared out as if this had been its end."""
    row = await _locked(session, campaign_id)
    _require(row, now, *_LIVE)
    return await _new_version(session, row, {}, CampaignState.ENDED, now)


async def delete_campaign(session: ProgramSession, campaign_id: UUID) -> None:
    """Remove a draft; what was published stays on record, and is ended."""
    row = await _locked(session, campaign_id)
    if not await repository.delete_draft(session, session.program_id, campaign_id):
        raise CampaignStateError("A campaign that was published is ended, not deleted.", details={"state": row.state})


async def campaign_of(session: ProgramSession, campaign_id: UUID, now: datetime) -> CampaignView:
    """One campaign."""
    row = await repository.campaign(session, session.program_id, campaign_id)
    if row is None:
        raise CampaignNotFoundError
    return await view(session, row, now)


async def campaigns_page(session: ProgramSession, after: UUID | None, limit: int, now: datetime) -> list[CampaignView]:
    """Campaigns as they were made, one more than `limit` if there are more."""
    rows = await repository.campaigns_after(session, session.program_id, after, limit + 1)
    return await views(session, rows, now)


async def public_page(session: ProgramSession, after: UUID | None, limit: int, now: datetime) -> list[CampaignFacts]:
    """What members see: campaigns that are published and not over, one more than `limit` if there are more."""
    rows = await repository.public_campaigns_after(session, session.program_id, now, after, limit + 1)
    facts = [_facts(row, now) for row in rows]
    return [CampaignFacts(**{**one, "config": one["config"].model_copy(update=_NOT_PUBLIC)}) for one in facts]


async def view(session: ScopedSession, row: CampaignRow, now: datetime) -> CampaignView:
    """A campaign as it is shown to its operators."""
    return (await views(session, [row], now))[0]


async def views(session: ScopedSession, rows: Sequence[CampaignRow], now: datetime) -> list[CampaignView]:
    """Campaigns with what they have cost."""
    counters = await repository.counters(session, rows[0].program_id, [row.id for row in rows]) if rows else {}
    shown: list[CampaignView] = []
    for row in rows:
        counter = counters.get(row.id)
        shown.append(
            CampaignView(
                **_facts(row, now),
                state=shown_state(row.state, row.end_at, now),
                version=row.version,
                spent_points=0 if counter is None else int(counter.spent) // MILLION,
                participants=0 if counter is None else counter.participants,
                frozen_at=row.frozen_at,
                paid_at=row.paid_at,
                created_at=row.created_at,
                updated_at=row.updated_at,
            )
        )
    return shown


def _facts(row: CampaignRow, now: datetime) -> dict[str, Any]:
    return {
        "id": row.id,
        "facilitator_id": row.facilitator_id,
        "name": row.name,
        "description": row.description,
        "type": CampaignType(row.type),
        "config": CampaignConfig.model_validate(row.config),
        "start_at": row.start_at,
        "end_at": row.end_at,
        "active": is_active(row.state, row.start_at, row.end_at, now),
    }


async def _locked(session: ProgramSession, campaign_id: UUID) -> CampaignRow:
    row = await repository.lock_campaign(session, session.program_id, campaign_id)
    if row is None:
        raise CampaignNotFoundError
    return row


def _require(row: CampaignRow, now: datetime, *states: CampaignState) -> None:
    if shown_state(row.state, row.end_at, now) not in states or row.frozen_at is not None:
        raise CampaignStateError(_why_not(row, now), details={"state": shown_state(row.state, row.end_at, now)})


def _why_not(row: CampaignRow, now: datetime) -> str:
    return f"The campaign is {'over' if row.end_at <= now else row.state}."


def _changed(row: CampaignRow, fields: CampaignFields) -> dict[str, Any]:
    said = fields.model_fields_set
    values: dict[str, Any] = {
        name: getattr(fields, name) if name in said and getattr(fields, name) is not None else getattr(row, name)
        for name in ("name", "description", "start_at", "end_at")
    }
    values["facilitator_id"] = fields.facilitator_id if "facilitator_id" in said else row.facilitator_id
    values["config"] = row.config if fields.config is None else fields.config.stored()
    return values


async def _new_version(
    session: ProgramSession, row: CampaignRow, values: Mapping[str, Any], state: CampaignState, now: datetime
) -> CampaignView:
    program_id, version = session.program_id, row.version + 1
    if state is CampaignState.PUBLISHED:
        config, *dates = (values.get(name, getattr(row, name)) for name in ("config", "start_at", "end_at"))
        await conversion.publish_rates(session, row.id, config, (dates[0], dates[1]))
    else:
        await conversion.withdraw_rates(session, row.id)
    effective_from = await repository.lock_counter(session, program_id, row.id)
    changed = dict(values)
    if state is CampaignState.ENDED:
        # Ended before it began, it has lasted for no time at all.
        changed["end_at"] = max(effective_from, row.start_at + timedelta(microseconds=1))
    row = await _updated(
        session, row.id, changed | {"state": state.value, "version": version, "updated_at": max(now, row.updated_at)}
    )
    terms = {name: getattr(row, name) for name in ("state", "facilitator_id", "config", "start_at", "end_at")}
    ids = {"program_id": program_id, "campaign_id": row.id, "version": version}
    await repository.insert_version(session, {**ids, **terms, "effective_from": effective_from})
    if row.type == CampaignType.POOL:
        await wake(session, FREEZE, program_id, row.end_at)
    told = {"campaignId": str(row.id), "name": row.name, "state": state.value, "version": version}
    await append(session, "campaign.changed", told, program_id=program_id)
    return await view(session, row, now)


async def _updated(session: ProgramSession, campaign_id: UUID, values: Mapping[str, Any]) -> CampaignRow:
    row = await repository.update_campaign(session, session.program_id, campaign_id, values)
    if row is None:
        raise CampaignNotFoundError
    return row
