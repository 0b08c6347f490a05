"""Sharing a pool out when it has ended: frozen once, then each share booked once, whatever is killed or repeated.

Freezing counts what is final and reviewed by then; from then on nothing changes a share.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from guerdon.earning import repository_campaigns as repository
from guerdon.earning import repository_volume
from guerdon.earning import repository_volume_write as writing
from guerdon.earning.campaign_config import settle_seconds_of
from guerdon.earning.models_volume import CampaignRow
from guerdon.earning.pools import shares
from guerdon.earning.volume_booking import CAMPAIGN, repayment
from guerdon.earning.volume_terms import CampaignState
from guerdon.kit.database import ScopedSession
from guerdon.kit.ids import uuid7_batch
from guerdon.kit.outbox import append
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement

SHARES_A_TRANSACTION = 500


def frozen_from(campaign: CampaignRow) -> datetime:
    """When a pool may be frozen: its end, and the time for what is reported or final later."""
    return campaign.end_at + timedelta(seconds=settle_seconds_of(campaign.config))


async def freeze(session: ScopedSession, program_id: UUID, campaign_id: UUID, now: datetime) -> bool:
    """Fix every share of an ended pool; whether this call did."""
    row = await repository.lock_campaign(session, program_id, campaign_id)
    if row is None or row.frozen_at is not None or frozen_from(row) > now:
        return False
    # The batches that count for it have ended, and the next ones see that it is frozen.
    await repository.lock_counter(session, program_id, campaign_id)
    config = row.config
    weights = await repository.weights(session, program_id, campaign_id, int(config.get("threshold_volume") or 0))
    cap = config.get("max_points_per_account")
    given = sorted(shares(int(config["pool_points"]), weights, None if cap is None else int(cap)).items())
    ids = uuid7_batch(len(given))
    rows = [(account, share, points, weights[account]) for (account, points), share in zip(given, ids, strict=True)]
    await repository.insert_shares(session, program_id, campaign_id, rows)
    values = {"frozen_at": now, "state": CampaignState.ENDED.value, "updated_at": now, "paid_at": None if rows else now}
    await repository.update_campaign(session, program_id, campaign_id, values)
    told = {"campaignId": str(campaign_id), "accounts": len(rows), "points": str(sum(points for _, points in given))}
    await append(session, "campaign.frozen", told, program_id=program_id)
    return True


async def pay(session: ScopedSession, program_id: UUID, campaign: CampaignRow, now: datetime) -> bool:
    """Book some shares of a frozen pool; whether any are left. Raises `NotEnoughPointsError` without funds for them."""
    terms = await repository_volume.terms_of(session, program_id)
    if terms is None:
        return False
    asset_id = terms.asset_id
    unpaid = await repository.unpaid_accounts(session, program_id, campaign.id, SHARES_A_TRANSACTION)
    # Balances before everything else, then the shares again (SAFETY S10, S15).
    balances = await ledger_repository.lock_account_balances(session, program_id, {(asset_id, account) for account in unpaid})
    due = await repository.lock_unpaid(session, program_id, campaign.id, unpaid)
    debts = {key: balance.debt for key, balance in balances.items()}
    accruals: list[writing.NewAccrual] = []
    movements: list[Movement] = []
    for account, share, points, weight in due:
        reason = {
            "kind": "pool",
            "campaign": str(campaign.id),
            "name": campaign.name,
            "points": str(points),
            "weight": str(weight),
            "text": f"{campaign.name}: a share of {campaign.config['pool_points']} points, by volume.",
        }
        accruals.append(writing.NewAccrual(share, account, CAMPAIGN, points, [reason]))
        movements.append(Movement(PostingKind.REWARD, share, asset_id, points, account))
        movements += repayment(share, asset_id, account, points, debts)
    if due:
        await writing.write(session, program_id, writing.Written(asset_id, accruals), now)
        await repository.mark_paid(session, program_id, campaign.id, [account for account, *_ in due], now)
    more = len(unpaid) == SHARES_A_TRANSACTION
    if not more:
        await repository.note_paid(session, program_id, campaign.id, now)
    # The program's funds last of all: whoever changes the campaign may wait for a batch that waits for them (SAFETY S15).
    await ledger.post_new(session, program_id, movements, balances, now)
    return more
