"""A campaign's configuration as it is stored: how a version's JSON becomes the terms that decide. Pure.

What makes sense of one as it comes over the wire is `schemas_campaigns.py`. Amounts are decimal strings in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import msgspec

from guerdon.earning.volume_terms import (
    Campaign,
    CampaignState,
    CampaignTerms,
    CampaignType,
    Milestone,
    Stacking,
    multiplier_of,
)

DEFAULT_SETTLE_SECONDS = 3_600
"""How long after its end a pool waits for what was settled before it and is reported or final later."""


def terms_of_row(row: Mapping[str, Any]) -> CampaignTerms:
    """The terms of a row of `campaign_versions`, with `id`, `name` and `type` of its campaign."""
    config: Mapping[str, Any] = msgspec.json.decode(row["config"]) if isinstance(row["config"], str) else row["config"]
    return CampaignTerms(
        campaign_id=row["id"],
        version=row["version"],
        name=row["name"],
        type=CampaignType(row["type"]),
        state=CampaignState(row["state"]),
        effective_from=row["effective_from"],
        start_at=row["start_at"],
        end_at=row["end_at"],
        facilitator_id=row["facilitator_id"],
        multiplier=None if config.get("multiplier") is None else multiplier_of(config["multiplier"]),
        stacking=Stacking(config.get("stacking") or Stacking.BEST),
        milestones=milestones_of(config),
        threshold_volume=_integer(config, "threshold_volume"),
        budget=_integer(config, "max_budget_points"),
        max_participants=_integer(config, "max_participants"),
        account_cap=_integer(config, "max_points_per_account"),
        payer_cap=_integer(config, "max_points_per_payer"),
        pool_points=_integer(config, "pool_points"),
        tier_multipliers=config.get("tier_multipliers", True),
        boosts=tuple((boost["facilitator_id"], multiplier_of(boost["multiplier"])) for boost in config.get("boosts") or ()),
    )


def campaigns_of_rows(rows: Iterable[Mapping[str, Any]]) -> tuple[Campaign, ...]:
    """Campaigns of rows that come by id and version."""
    found: list[Campaign] = []
    for campaign_id, versions in groupby(rows, key=lambda row: row["id"]):
        listed = list(versions)
        found.append(Campaign(campaign_id, tuple(terms_of_row(row) for row in listed), listed[0]["frozen"]))
    return tuple(found)


def milestones_of(config: Mapping[str, Any]) -> tuple[Milestone, ...]:
    """Every flat amount of a bonus or threshold campaign; `bonus_points` alone are for the first payment."""
    found: list[Milestone] = []
    if (bonus := _integer(config, "bonus_points")) is not None:
        found.append(Milestone("count:1", bonus, count=1))
    if (points := _integer(config, "threshold_points")) is not None and (
        volume := _integer(config, "threshold_volume")
    ) is not None:
        found.append(Milestone(f"volume:{volume}", points, volume=volume))
    for milestone in config.get("milestones") or ():
        points = int(milestone["bonus_points"])
        if (volume := _integer(milestone, "volume")) is not None:
            found.append(Milestone(f"volume:{volume}", points, volume=volume))
        else:
            count = int(milestone["count"])
            found.append(Milestone(f"count:{count}", points, count=count))
    return tuple(found)


def settle_seconds_of(config: Mapping[str, Any]) -> int:
    """How long the pool waits after its end."""
    given = config.get("settle_seconds")
    return DEFAULT_SETTLE_SECONDS if given is None else int(given)


def _integer(config: Mapping[str, Any], field: str) -> int | None:
    value = config.get(field)
    return None if value is None else int(value)
