"""What operators see: what was last seen of each network, which processes run."""

from __future__ import annotations

from alembic import op

from guerdon.kit.models import Scope
from guerdon.kit.rls import policies

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SEEN = """
alter table networks
    add column head_block bigint, add column head_at timestamptz, add column final_block bigint,
    add column base_fee_wei numeric(78, 0), add column seen_at timestamptz
"""

_PROCESSES = """
create table processes (
    id uuid not null,
    role text not null,
    place text not null,
    address text,
    version text not null,
    vitals jsonb not null,
    started_at timestamptz default now() not null,
    seen_at timestamptz default now() not null,
    constraint pk_processes primary key (id)
)
"""


def upgrade() -> None:
    op.execute(_SEEN)
    op.execute(_PROCESSES)
    for statement in policies("processes", Scope.PLATFORM):
        op.execute(statement)
    op.execute("grant select, insert, update, delete on processes to guerdon_app")


def downgrade() -> None:
    op.execute("drop table processes")
    op.execute(
        "alter table networks drop column head_block, drop column head_at, drop column final_block, "
        "drop column base_fee_wei, drop column seen_at"
    )
