"""What settled volume earns: terms, volume by day, fractions, campaigns and their counters; accruals that are held."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from guerdon.kit.models import Scope
from guerdon.kit.rls import policies

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLES = (
    "volume_terms", "account_volumes", "point_fractions", "volume_caps", "campaigns", "campaign_versions", "campaign_counters",
    "campaign_accounts", "campaign_payers", "pool_shares", "expiry_warnings",
)  # fmt: skip
# What was said of a campaign stays as it was said.
_APPEND_ONLY = ("campaign_versions",)
_CHANGED_ALL_THE_TIME = ("account_volumes", "point_fractions", "volume_caps", "campaign_counters", "campaign_accounts")
_COLUMNS = {
    "millionths": "numeric(78, 0)",
    "volume_micro_usd": "bigint",
    "settled_at": "timestamptz",
    "counted": "jsonb",
    "held_for": "text",
    "held_until": "timestamptz",
    "final_at": "timestamptz",
}


def upgrade() -> None:
    for statement in Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.execute(statement)
    for table in _TABLES:
        for statement in policies(table, Scope.TENANT):
            op.execute(statement)
        op.execute(f"grant select, insert on {table} to guerdon_app")
        if table not in _APPEND_ONLY:
            op.execute(f"grant update, delete on {table} to guerdon_app")
    for table in _CHANGED_ALL_THE_TIME:
        op.execute(f"alter table {table} set (fillfactor = 75)")
    # Without defaults, so no row is written; the check and the index look at the rows beside the traffic.
    op.execute("alter table accruals " + ", ".join(f"add column {name} {type_}" for name, type_ in _COLUMNS.items()))
    op.execute(
        "alter table accruals add constraint ck_accruals_held_for "
        "check (held_for in ('finality', 'holding', 'review', 'rejected', 'reorganised')) not valid"
    )
    with op.get_context().autocommit_block():
        op.execute("alter table accruals validate constraint ck_accruals_held_for")
        op.execute("drop index concurrently if exists ix_accruals_held")
        op.execute(
            "create index concurrently ix_accruals_held on accruals (program_id, held_for, held_until) "
            "where held_for in ('finality', 'holding', 'review')"
        )


def downgrade() -> None:
    op.execute("drop index ix_accruals_held")
    op.execute("alter table accruals " + ", ".join(f"drop column {name}" for name in _COLUMNS))
    for table in reversed(_TABLES):
        op.execute(f"drop table {table}")
