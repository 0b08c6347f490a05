"""Use cases of a program's terms for settled volume, and where an account stands. Nothing here commits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from guerdon.earning import repository as rules
from guerdon.earning import repository_volume as repository
from guerdon.earning.errors import AssetNotClaimableError, InvalidVolumeTermsError
from guerdon.earning.models_volume import VolumeTermsRow
from guerdon.earning.schemas_volume import TierConfig, VolumeTermsFields, VolumeTermsView
from guerdon.earning.tiers import Standing, standing
from guerdon.earning.volume_terms import VolumeTerms, lookback_days, multiplier_text
from guerdon.kit.database import ProgramSession, ScopedSession
from guerdon.kit.jobs import wake
from guerdon.ledger.models import Delivered
from guerdon.programs.errors import ProgramNotFoundError
from guerdon.programs.service import asset_of

EXPIRE = "points.expire"
"""The work that warns of points which will expire, and takes those that have."""
_NULLABLE = ("cap_account", "cap_payer", "cap_program", "expire_after_days", "expire_idle_days")
_PLAIN = (
    "points_per_unit", "unit_micro_usd", "backdate_days", "holding_seconds", "min_volume_micro_usd", "window_days", "grace_days",
    "warn_days",
)  # fmt: skip


async def volume_terms(session: ProgramSession) -> VolumeTermsView:
    """What the program lays down, or the defaults."""
    terms = await _terms(session)
    row = await session.get(VolumeTermsRow, session.program_id)
    return await _view(session, terms, None if row is None else row.updated_at)


async def put_volume_terms(session: ProgramSession, fields: VolumeTermsFields, now: datetime) -> VolumeTermsView:
    """Change what is said and keep the rest; for what is booked from now on.

    Raises `AssetNotFoundError`, `AssetNotClaimableError`, `InvalidVolumeTermsError`.
    """
    terms = await _terms(session)
    values = _columns(terms)
    said = fields.model_fields_set
    for name in _PLAIN:
        if getattr(fields, name) is not None:
            values[name] = getattr(fields, name)
    values |= {name: getattr(fields, name) for name in _NULLABLE if name in said}
    if fields.credit is not None:
        values["credit"] = fields.credit.value
    if fields.downgrade is not None:
        values["downgrade"] = fields.downgrade.value
    if fields.tiers is not None:
        values["tiers"] = [_stored(tier) for tier in fields.tiers]
    if fields.asset is not None:
        values["asset_id"] = (await asset_of(session, fields.asset)).id
    _check(values)
    await repository.put_terms(session, {"program_id": session.program_id, **values, "updated_at": now})
    changed = await _terms(session)
    if changed.delivery != Delivered.ON_CLAIM:
        raise AssetNotClaimableError
    if changed.expire_after_days is not None or changed.expire_idle_days is not None:
        await wake(session, EXPIRE, session.program_id)
    return await _view(session, changed, now)


async def standing_of(session: ScopedSession, program_id: UUID, account_id: UUID, now: datetime) -> Standing:
    """An account's tier at `now`, its volume in the window, and what is missing to the next tier."""
    terms = await repository.terms_of(session, program_id)
    if terms is None:
        raise ProgramNotFoundError
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=lookback_days(terms))
    _, known = await repository.accounts(session, program_id, terms.asset_id, [account_id], first, today)
    volumes = known.get(account_id, {})
    for _, campaign, day, volume, _ in await repository.in_review(session, program_id, [account_id]):
        if campaign is None and day in volumes:
            volumes[day] -= volume
    return standing(terms, volumes, today)


async def tier_of(session: ScopedSession, program_id: UUID, account_id: UUID, now: datetime) -> str:
    """The name of an account's tier at `now`."""
    return (await standing_of(session, program_id, account_id, now)).tier.name


async def _terms(session: ProgramSession) -> VolumeTerms:
    terms = await repository.terms_of(session, session.program_id)
    if terms is None:
        raise ProgramNotFoundError
    return terms


def _columns(terms: VolumeTerms) -> dict[str, Any]:
    return {
        **{name: getattr(terms, name) for name in ("asset_id", *_PLAIN, *_NULLABLE)},
        "credit": terms.credit.value,
        "downgrade": terms.downgrade.value,
        "tiers": [
            {
                "name": tier.name,
                "volume_micro_usd": str(tier.volume_micro_usd),
                "multiplier": multiplier_text(tier.multiplier),
            }
            for tier in terms.tiers
        ],
        "version": terms.version + 1,
    }


def _stored(tier: TierConfig) -> dict[str, str]:
    return {"name": tier.name, "volume_micro_usd": str(tier.volume_micro_usd), "multiplier": tier.multiplier}


def _check(values: dict[str, Any]) -> None:
    problems: list[dict[str, str]] = []
    volumes = [int(tier["volume_micro_usd"]) for tier in values["tiers"]]
    if volumes[0] != 0 or sorted(set(volumes)) != volumes:
        problems.append({"field": "tiers", "message": "begin with a volume of 0 and rise"})
    if len({tier["name"] for tier in values["tiers"]}) < len(volumes):
        problems.append({"field": "tiers", "message": "name one tier twice"})
    problems += [
        {"field": "warn_days", "message": f"has to be below {name}: points are warned of while they are there"}
        for name in ("expire_after_days", "expire_idle_days")
        if values[name] is not None and values[name] <= values["warn_days"]
    ]
    if problems:
        raise InvalidVolumeTermsError(" ".join(f"{p['field']} {p['message']}." for p in problems), details=problems)


async def _view(session: ScopedSession, terms: VolumeTerms, updated_at: datetime | None) -> VolumeTermsView:
    symbols = await rules.asset_symbols(session)
    return VolumeTermsView(
        **{name: getattr(terms, name) for name in (*_PLAIN, *_NULLABLE)},
        asset=symbols[terms.asset_id],
        credit=terms.credit,
        tiers=[
            TierConfig(name=tier.name, volume_micro_usd=tier.volume_micro_usd, multiplier=multiplier_text(tier.multiplier))
            for tier in terms.tiers
        ],
        downgrade=terms.downgrade,
        version=terms.version,
        updated_at=updated_at,
    )
