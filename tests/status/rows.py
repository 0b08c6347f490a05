"""A row of anything that moves, in any state: written past every rule of how it gets there, to see who finds it."""

from __future__ import annotations

from uuid import UUID

from guerdon.kit import driver
from guerdon.kit.ids import uuid7

AGE_SECONDS = 100


def aged_id() -> UUID:
    """A UUIDv7 of so many seconds ago."""
    new = uuid7()
    return UUID(int=new.int - (AGE_SECONDS * 1000 << 80))


async def put(owner: driver.RawConnection, table: str, state: str) -> None:
    """One row of a table in a state, with what carries it where something has to."""
    # Foreign keys are left out: what a row refers to is not what is looked at.
    await owner.execute("set session_replication_role = replica")
    makers = {
        "deliveries": _delivery, "batches": _batch, "intents": _intent, "fundings": _funding, "settlement_hints": _hint,
        "settlements": _settlement, "drops": _drop, "drop_seasons": _season,
    }  # fmt: skip
    await makers[table](owner, state)


async def _delivery(owner: driver.RawConnection, state: str) -> None:
    batch_id = None
    if state not in {"requested", "approved", "in_review", "refused", "returned", "quarantined", "final"}:
        batch_id = await _batch(owner, "frozen")
    await owner.execute(
        f"""
        insert into deliveries (program_id, id, asset_id, account_id, kind, state, points, amount_atomic, destination, batch_id,
            requested_at, updated_at)
        select $1, $2, a.id, $3, 'automatic', $4, 1, 1, '0x', $5, now() - {AGE} , now() - {AGE} from assets a limit 1
        """,
        uuid7(), aged_id(), uuid7(), state, batch_id or uuid7(),
    )  # fmt: skip


async def _batch(owner: driver.RawConnection, state: str) -> UUID:
    batch_id = uuid7()
    intent_id = await _intent(owner, "sent") if state == "frozen" else None
    await owner.execute(
        f"""
        insert into batches (id, treasury_id, state, size, chain_batch_id, intent_id, opened_at)
        values ($1, $2, $3, 1, '0x', $4, now() - {AGE})
        """,
        batch_id, uuid7(), state, intent_id,
    )  # fmt: skip
    return batch_id


async def _intent(owner: driver.RawConnection, state: str) -> UUID:
    intent_id = uuid7()
    landed = 1 if state in {"included", "final", "failed"} else None
    await owner.execute(
        f"""
        insert into intents (id, key_id, network, kind, data, value_wei, state, nonce, block_number, created_at, updated_at)
        values ($1, $2, 'local', 'pay', '', 0, $3, $4, $5, now() - {AGE}, now() - {AGE})
        """,
        intent_id, uuid7(), state, None if state == "queued" else 0, landed,
    )  # fmt: skip
    return intent_id


async def _funding(owner: driver.RawConnection, state: str) -> None:
    await owner.execute(
        f"""
        insert into fundings (id, program_id, asset_id, kind, state, points, amount_atomic, network, created_at, updated_at)
        values ($1, $2, $3, 'mint', $4, 1, 1, 'local', now() - {AGE}, now() - {AGE})
        """,
        uuid7(), uuid7(), uuid7(), state,
    )  # fmt: skip


async def _hint(owner: driver.RawConnection, state: str) -> None:
    await owner.execute(
        f"""
        insert into settlement_hints (program_id, source_id, network, transaction_hash, state, due_at, received_at, updated_at)
        values ($1, $2, 'local', '0x', $3, now() - {AGE}, now() - {AGE}, now() - {AGE})
        """,
        uuid7(), uuid7(), state,
    )  # fmt: skip


async def _settlement(owner: driver.RawConnection, state: str) -> None:
    await owner.execute(
        f"""
        insert into settlements (program_id, id, network, transaction_hash, place, source_id, asset_address, payer, payee,
            amount_atomic, volume_micro_usd, block_number, block_hash, settled_at, state, found_at, updated_at)
        values ($1, $2, 'local', '0x', 0, $3, '0x', '0x', '0x', 1, 1, 1, '0x', now(), $4, now() - {AGE}, now() - {AGE})
        """,
        uuid7(), uuid7(), uuid7(), state,
    )  # fmt: skip


async def _drop(owner: driver.RawConnection, state: str) -> None:
    await owner.execute(
        f"""
        insert into drops (program_id, id, season_id, number, state, opens_at, closes_at, minimum_points, root, intent_id,
            reserved_at, created_at, updated_at)
        values ($1, $2, $3, 1, $4, now(), now(), 1, '0x', $3, now(), now() - {AGE}, now() - {AGE})
        """,
        uuid7(), uuid7(), uuid7(), state,
    )  # fmt: skip


async def _season(owner: driver.RawConnection, state: str) -> None:
    await owner.execute(
        f"""
        insert into drop_seasons (program_id, id, asset_id, treasury_id, network, chain_id, contract, token_address, chain_season,
            atomic_numerator, points_denominator, state, opens_at, closes_at, published_block, created_at, updated_at)
        values ($1, $2, $1, $1, 'local', 1, '0x', '0x', '0x', 1, 1, $3, now(), now(), 1, now() - {AGE}, now() - {AGE})
        """,
        uuid7(), uuid7(), state,
    )  # fmt: skip


AGE = f"interval '{AGE_SECONDS} seconds'"
