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


def upgrade() -> None:
    for statement in Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.execute(statement)
    for table, scope in _SCOPES.items():
        for statement in policies(table, scope):
            op.execute(statement)
        # Nothing of a drop is ever deleted.
        op.execute(f"grant select, insert, update on {table} to guerdon_app")
    op.execute(_GAUGES)
    op.execute("revoke all on function guerdon_drop_gauges_v1() from public")
    op.execute("grant execute on function guerdon_drop_gauges_v1() to guerdon_app")


def downgrade() -> None:
    op.execute("drop function guerdon_drop_gauges_v1()")
    for table in ("drop_trees", "drop_leaves", "drops", "drop_seasons"):
        op.execute(f"drop table {table}")
