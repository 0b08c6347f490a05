"""Intents, attempts and keys of Solana: markers, blockhashes, how far a key's transactions were looked through."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_STATES = "'queued', 'bound', 'signed', 'sent', 'included', 'final', 'failed', 'void', 'unknown'"
_CHECKS = {
    "state": (f"state in ({_STATES})", f"state in ({_STATES}, 'expired')"),
    "bound": (
        "nonce is not null or state in ('queued', 'void')",
        "nonce is not null or marker is not null or kind = 'close' or state in ('queued', 'void')",
    ),
    "held_back": ("held_back is null or state = 'queued'", "held_back is null or state in ('queued', 'expired')"),
}


def upgrade() -> None:
    """New columns are empty, and what is checked of the rows that there are holds already: neither is read under a lock."""
    op.execute("alter table networks add column max_unit_price bigint")
    op.execute("alter table keys add column reviewed_signature text, add column reviewed_at timestamptz")
    op.execute("alter table intents add column marker text, add column marker_closed_at timestamptz, add column closed_by uuid")
    op.execute(
        "alter table attempts alter column nonce drop not null, add column blockhash text, add column last_valid_height bigint"
    )
    for name, (_, wanted) in _CHECKS.items():
        _replace("intents", name, wanted)
    _add("attempts", "expiry", "(nonce is null) = (last_valid_height is not null)")
    _add("attempts", "blockhash", "(blockhash is null) = (last_valid_height is null)")
    with op.get_context().autocommit_block():
        # One that a killed run left half-made is invalid, and in the way.
        op.execute("drop index concurrently if exists ix_intents_markers")
        op.execute(
            "create index concurrently ix_intents_markers on intents (key_id, id)"
            " where marker is not null and marker_closed_at is null"
        )


def downgrade() -> None:
    """What was signed for a Solana has to be gone."""
    op.execute("drop index ix_intents_markers")
    for name, (before, _) in _CHECKS.items():
        _replace("intents", name, before)
    op.execute("alter table attempts drop constraint ck_attempts_expiry, drop constraint ck_attempts_blockhash")
    op.execute("alter table attempts drop column blockhash, drop column last_valid_height, alter column nonce set not null")
    op.execute("alter table intents drop column marker, drop column marker_closed_at, drop column closed_by")
    op.execute("alter table keys drop column reviewed_signature, drop column reviewed_at")
    op.execute("alter table networks drop column max_unit_price")


def _replace(table: str, name: str, condition: str) -> None:
    op.execute(f"alter table {table} drop constraint ck_{table}_{name}")
    _add(table, name, condition)


def _add(table: str, name: str, condition: str) -> None:
    op.execute(f"alter table {table} add constraint ck_{table}_{name} check ({condition}) not valid")
    op.execute(f"alter table {table} validate constraint ck_{table}_{name}")
