"""Drops: seasons, their roots, leaves and trees; and gauges that count them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from guerdon.kit.models import Scope
from guerdon.kit.rls import policies

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_SCOPES = {"drop_seasons": Scope.OWNED, "drops": Scope.OWNED, "drop_leaves": Scope.TENANT, "drop_trees": Scope.TENANT}

# Beside the gauges that there are, so that whoever adds others changes nothing here (SAFETY S2, S23).
_GAUGES = """
create function guerdon_drop_gauges_v1()
returns table (gauge text, label text, items bigint, oldest_seconds double precision)
language sql stable security definer set search_path = pg_catalog, public as $$
    select 'drops', state, count(*), extract(epoch from now() - min(updated_at))::double precision
      from drops where state not in ('published', 'cancelled') group by state
    union all
    select 'drop_seasons', state, count(*), extract(epoch from now() - min(updated_at))
      from drop_seasons where state not in ('closed', 'cancelled') group by state
$$
"""

# What leaves that nobody claimed yet fixed of each treasury, over all tenants, for the platform alone (SAFETY S2, S3).
_PROMISED = """
create function promised_drops_v1() returns table (
    asset_id uuid, program_id uuid, network text, atomic_numerator numeric, points_denominator bigint, points numeric,
    amount_atomic numeric)
language sql stable security definer set search_path = pg_catalog, public as $$
    select l.asset_id, l.program_id, s.network, s.atomic_numerator, s.points_denominator, sum(l.points), sum(l.amount_atomic)
      from drop_leaves l join drop_seasons s on s.program_id = l.program_id and s.id = l.season_id
     where l.fate = 'waiting' and (select current_setting('guerdon.platform', true)) = 'on'
     group by 1, 2, 3, 4, 5
$$
"""


def upgrade() -> None:
    for statement in Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.execute(statement)
    for table, scope in _SCOPES.items():
        for statement in policies(table, scope):
            op.execute(statement)
        # Nothing of a drop is ever deleted.
        op.execute(f"grant select, insert, update on {table} to guerdon_app")
    for function, definition in (("guerdon_drop_gauges_v1()", _GAUGES), ("promised_drops_v1()", _PROMISED)):
        op.execute(definition)
        op.execute(f"revoke all on function {function} from public")
        op.execute(f"grant execute on function {function} to guerdon_app")


def downgrade() -> None:
    op.execute("drop function promised_drops_v1()")
    op.execute("drop function guerdon_drop_gauges_v1()")
    for table in ("drop_trees", "drop_leaves", "drops", "drop_seasons"):
        op.execute(f"drop table {table}")
