"""A session that was opened on a program's page is good for that program alone."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_BOUND = """
alter table challenges add constraint ck_challenges_bound check (case when purpose in ('link', 'transfer')
    then program_id is not null and account_id is not null and address_id is not null
    else {program} account_id is null and address_id is null end)
"""


def upgrade() -> None:
    """Both tables are as new as this."""
    op.execute("alter table challenges drop constraint ck_challenges_bound")
    op.execute(_BOUND.format(program=""))
    op.execute(
        "alter table sessions add column program_id uuid, "
        "add constraint fk_sessions_program_id_programs foreign key (program_id) references programs (id)"
    )


def downgrade() -> None:
    """Challenges that say a program are let go: whoever was asked is asked again."""
    op.execute("alter table sessions drop column program_id")
    op.execute("alter table challenges drop constraint ck_challenges_bound")
    op.execute("delete from challenges where purpose in ('sign_in', 'add_identity') and program_id is not null")
    op.execute(_BOUND.format(program="program_id is null and"))
